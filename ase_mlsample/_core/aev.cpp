#include "aev.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "aev_power.hpp"
#include "isa.hpp"
#include "scratch.hpp"

namespace mlsample {
namespace {

[[noreturn]] void invalid(const std::string& message) { throw std::invalid_argument(message); }

// Larger parameters mean nothing, and products of them would leave the range of the kernels' exponentials.
constexpr double kLargest = 1e6;
constexpr double kLongest = 1e7;

void require_positive(double value, const char* name) {
    if (!(value > 0 && value <= kLargest)) {
        invalid(std::string(name) + " must be a positive number, at most 1e6, not " + std::to_string(value));
    }
}

void require_finite(const std::vector<double>& values, const char* name) {
    if (values.empty()) invalid(std::string(name) + " is empty: at least one value is needed");
    for (double value : values) {
        if (!(std::abs(value) <= kLargest)) {
            invalid(std::string(name) + " holds a value that is not finite or beyond 1e6");
        }
    }
}

void check_settings(const AevSettings& s) {
    if (s.num_species < 1 || s.num_species > 1000) {
        invalid("num_species must be between 1 and 1000, not " + std::to_string(s.num_species));
    }
    require_positive(s.radial_cutoff, "radial_cutoff");
    require_positive(s.radial_eta, "radial_eta");
    require_positive(s.angular_cutoff, "angular_cutoff");
    require_positive(s.angular_eta, "angular_eta");
    require_positive(s.zeta, "zeta");
    require_finite(s.radial_shifts, "radial_shifts");
    require_finite(s.angular_shifts, "angular_shifts");
    require_finite(s.sections, "sections");
    if (s.angular_cutoff > s.radial_cutoff) {
        invalid("angular_cutoff (" + std::to_string(s.angular_cutoff) + ") must not exceed radial_cutoff (" +
                std::to_string(s.radial_cutoff) + ")");
    }
    const double kinds = s.num_species, radial = static_cast<double>(s.radial_shifts.size()),
                 angular = static_cast<double>(s.angular_shifts.size()) * static_cast<double>(s.sections.size());
    if (const double length = kinds * radial + kinds * (kinds + 1) / 2 * angular; length > kLongest) {
        invalid("an AEV would have " + std::to_string(length) + " entries; at most 1e7 are possible");
    }
}

// Runs a kernel on all pieces of frames; `prepare` sets what differs between the pieces.
template <class T, class Prepare>
void sweep(const AevGraph& graph, const Parts& parts, int64_t (*kernel)(const AevTask<T>&), const AevTask<T>& shared,
           const Prepare& prepare) {
    for_parts(graph, parts, [&](int part, int64_t low, int64_t high) {
        void* const scratch = thread_scratch(shared.scratch_bytes);
        for_pieces(graph, low, high, [&](int64_t f, int64_t begin, int64_t end) {
            AevTask<T> mine = shared;
            mine.begin = begin, mine.end = end;
            mine.low = graph.frame_first[f], mine.high = graph.frame_first[f + 1];
            mine.scratch = scratch;
            prepare(part, f, mine);
            const int64_t bad = kernel(mine);
            if (bad >= 0) report_edge(graph, bad);
        });
    });
}

template <class T>
AevGaussians<T> gaussians(double eta, const std::vector<double>& given, const T* shifts) {
    AevGaussians<T> result{static_cast<int>(given.size()), static_cast<T>(eta), shifts, false, 0, 0, {}};
    if (std::is_same_v<T, double> || given.size() < 3) return result;
    const double step = (given.back() - given.front()) / static_cast<double>(given.size() - 1);
    for (size_t m = 0; m < given.size(); ++m) {
        // as single precision resolves distances
        if (std::abs(given[m] - given[0] - static_cast<double>(m) * step) > 3e-7 * given.back()) return result;
    }
    // beyond this a run reaches from where its middle underflows to where its ends count
    const double rate = 2 * eta * step / std::log(2.0);
    if (!(rate > 0 && rate * step < 4.4)) return result;
    result.even = true;
    result.rate = static_cast<T>(rate);
    result.rate_rest = static_cast<T>(rate - static_cast<double>(result.rate));
    for (int k = 0; k < 8; ++k) result.fall[k] = static_cast<T>(std::exp(-eta * (k - 3) * (k - 3) * step * step));
    return result;
}

template <class T>
AevKernels<T> choose_kernels() {
    AevKernels<T> kernels;
    if constexpr (std::is_same_v<T, float>) MLSAMPLE_PICK_KERNEL(aev_kernels_single)(&kernels);
    else MLSAMPLE_PICK_KERNEL(aev_kernels_double)(&kernels);
    return kernels;
}

}  // namespace

template <class T>
void Aev::Precision<T>::set(const AevSettings& s) {
    radial_shifts.assign(s.radial_shifts.begin(), s.radial_shifts.end());
    angular_shifts.assign(s.angular_shifts.begin(), s.angular_shifts.end());
    for (double section : s.sections) {
        cos_sections.push_back(static_cast<T>(std::cos(section)));
        sin_sections.push_back(static_cast<T>(std::sin(section)));
        cos_half.push_back(static_cast<T>(std::cos(section / 2)));
        sin_half.push_back(static_cast<T>(std::sin(section / 2)));
    }
    constants.num_species = s.num_species;
    constants.n_sections = static_cast<int>(s.sections.size());
    constants.smooth = s.smooth;
    constants.radial_cutoff = s.radial_cutoff;
    constants.angular_cutoff = s.angular_cutoff;
    constants.radial = gaussians<T>(s.radial_eta, s.radial_shifts, radial_shifts.data());
    constants.angular = gaussians<T>(s.angular_eta, s.angular_shifts, angular_shifts.data());
    constants.length = s.num_species * constants.radial.count +
                       s.num_species * (s.num_species + 1) / 2 * constants.angular.count * constants.n_sections;
    constants.zeta = static_cast<T>(s.zeta);
    constants.power = fitted_power<T>(s.zeta - 1);
    constants.cos_sections = cos_sections.data();
    constants.sin_sections = sin_sections.data();
    constants.cos_half_sections = cos_half.data();
    constants.sin_half_sections = sin_half.data();
    kernels = choose_kernels<T>();
}

Aev::Aev(AevSettings settings) : settings_(std::move(settings)) {
    check_settings(settings_);
    float_.set(settings_);
    double_.set(settings_);
}

template <class T>
AevTask<T> Aev::task(const AevGraph& graph, int members) const {
    check_graph(graph, settings_.num_species);
    AevTask<T> task{};
    task.constants = &precision<T>().constants;
    task.species = graph.species;
    task.first = graph.first;
    task.second = graph.second;
    task.vectors = graph.vectors;
    task.n_atoms = graph.n_atoms;
    task.members = members;
    task.stride = graph.n_atoms * length();
    task.virial_stride = task.strain_stride = 9 * graph.n_frames;
    task.most_neighbors = most_neighbors(graph);
    task.slots_bytes = kernels<T>().slots_bytes(*task.constants, task.most_neighbors);
    task.scratch_bytes = kernels<T>().scratch_bytes(*task.constants, task.most_neighbors, members);
    return task;
}

template <class T>
void Aev::forward(const AevGraph& graph, T* aev) const {
    AevTask<T> shared = task<T>(graph, 1);
    shared.aev = aev;
    sweep(graph, make_parts(graph), kernels<T>().forward, shared, [](int, int64_t, AevTask<T>&) {});
}

template <class T>
void Aev::gradient(const AevGraph& graph, int members, const T* weights, double* gradient, double* virial) const {
    AevTask<T> shared = task<T>(graph, members);
    shared.weights = weights;
    const Parts parts = make_parts(graph);
    const PartSums sums(graph, parts, members);
    for_parts(graph, parts, [&](int part, int64_t, int64_t) { sums.clear(part); });
    sweep(graph, parts, kernels<T>().gradient, shared, [&](int part, int64_t f, AevTask<T>& mine) {
        mine.gradient = sums.gradient(part);
        mine.virial = sums.virial(part) + 9 * f;
    });
    sums.finish(gradient, virial);
}

template <class T>
void Aev::tangent(const AevGraph& graph, int members, const double* directions, const double* strain, T* aev) const {
    AevTask<T> shared = task<T>(graph, members);
    shared.aev = aev;
    shared.directions = directions;
    sweep(graph, make_parts(graph), kernels<T>().tangent, shared,
          [&](int, int64_t f, AevTask<T>& mine) { mine.strain = strain ? strain + 9 * f : nullptr; });
}

template AevTask<float> Aev::task(const AevGraph&, int) const;
template AevTask<double> Aev::task(const AevGraph&, int) const;
template void Aev::forward(const AevGraph&, float*) const;
template void Aev::forward(const AevGraph&, double*) const;
template void Aev::gradient(const AevGraph&, int, const float*, double*, double*) const;
template void Aev::gradient(const AevGraph&, int, const double*, double*, double*) const;
template void Aev::tangent(const AevGraph&, int, const double*, const double*, float*) const;
template void Aev::tangent(const AevGraph&, int, const double*, const double*, double*) const;

}  // namespace mlsample
