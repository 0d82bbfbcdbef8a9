#include "aev.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "isa.hpp"
#include "parallel.hpp"

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

template <class T>
AevKernels<T> choose_kernels() {
    AevKernels<T> kernels;
    if constexpr (std::is_same_v<T, float>) MLSAMPLE_PICK_KERNEL(aev_kernels_single)(&kernels);
    else MLSAMPLE_PICK_KERNEL(aev_kernels_double)(&kernels);
    return kernels;
}

// Grow-only memory, one block per thread: nothing is allocated once sizes have settled.
void* thread_scratch(int64_t bytes) {
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    thread_local std::unique_ptr<void, Free> block;
    thread_local int64_t size = 0;
    if (bytes > size) {
        block.reset();
        size = 0;
        block.reset(std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64)));
        if (!block) throw std::bad_alloc();
        size = bytes;
    }
    return block.get();
}

void check_graph(const AevGraph& graph, int num_species) {
    if (graph.first[0] != 0 || graph.first[graph.n_atoms] != graph.n_edges) {
        invalid("first must start at 0 and end at the number of edges (" + std::to_string(graph.n_edges) + ")");
    }
    for (int64_t i = 0; i < graph.n_atoms; ++i) {
        if (graph.first[i + 1] < graph.first[i]) {
            invalid("first must not decrease, but does at atom " + std::to_string(i));
        }
        if (graph.species[i] < 0 || graph.species[i] >= num_species) {
            invalid("species[" + std::to_string(i) + "] is " + std::to_string(graph.species[i]) +
                    ", out of range for num_species = " + std::to_string(num_species));
        }
    }
    const int64_t last = graph.n_frames;
    if (graph.frame_first[0] != 0 || graph.frame_first[last] != graph.n_atoms) {
        invalid("frame_first must start at 0 and end at the number of atoms (" + std::to_string(graph.n_atoms) + ")");
    }
    for (int64_t f = 0; f < last; ++f) {
        if (graph.frame_first[f + 1] < graph.frame_first[f]) invalid("frame_first must not decrease");
    }
}

int64_t most_neighbors(const AevGraph& graph) {
    int64_t most = 0;
    for (int64_t i = 0; i < graph.n_atoms; ++i) most = std::max(most, graph.first[i + 1] - graph.first[i]);
    return most;
}

[[noreturn]] void report_edge(const AevGraph& graph, int64_t edge) {
    const int64_t i = std::upper_bound(graph.first, graph.first + graph.n_atoms + 1, edge) - graph.first - 1;
    const double* d = graph.vectors + 3 * edge;
    const std::string where = "[" + std::to_string(edge) + "] (a neighbour of atom " + std::to_string(i) + ")";
    const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    if (!(r2 > 1e-24 && r2 < 1e200)) {
        invalid("vectors" + where + " is (" + std::to_string(d[0]) + ", " + std::to_string(d[1]) + ", " +
                std::to_string(d[2]) + "): the ends of an edge must be apart by a finite distance");
    }
    invalid("second" + where + " is " + std::to_string(graph.second[edge]) + ", not an atom of the same frame");
}

// The parts of a sweep: contiguous atoms of about equal cost, cut between frames whenever there are enough of them.
struct Parts {
    bool by_frame;
    std::vector<int64_t> bounds;  // frames or atoms
    int count() const { return static_cast<int>(bounds.size()) - 1; }
};

Parts make_parts(const AevGraph& graph) {
    const int wanted = parts_for(graph.n_atoms, 8);
    Parts parts{graph.n_frames >= wanted, {0}};
    const int64_t n = parts.by_frame ? graph.n_frames : graph.n_atoms;
    const auto cost = [&](int64_t item) {
        const int64_t from = parts.by_frame ? graph.frame_first[item] : item;
        const int64_t to = parts.by_frame ? graph.frame_first[item + 1] : item + 1;
        return static_cast<double>(graph.first[to] - graph.first[from] + 8 * (to - from));
    };
    const double total = static_cast<double>(graph.n_edges + 8 * graph.n_atoms);
    double done = 0;
    for (int64_t item = 0; item < n; ++item) {
        const auto cuts = static_cast<int>(parts.bounds.size());
        if (cuts < wanted && item > 0 && done >= total * cuts / wanted) parts.bounds.push_back(item);
        done += cost(item);
    }
    parts.bounds.push_back(n);
    return parts;
}

// Calls body(part, frame, begin, end) for the pieces of frames that make up each part.
template <class Body>
void sweep(const AevGraph& graph, const Parts& parts, const Body& body) {
    parallel_parts(parts.count(), parts.count(), [&](int, int64_t from, int64_t to) {
        for (int64_t part = from; part < to; ++part) {
            int64_t low = parts.bounds[part], high = parts.bounds[part + 1];
            if (parts.by_frame) {
                low = graph.frame_first[low];
                high = graph.frame_first[high];
            }
            const int64_t* frames = graph.frame_first;
            int64_t f = std::upper_bound(frames, frames + graph.n_frames + 1, low) - frames - 1;
            for (; f < graph.n_frames && frames[f] < high; ++f) {
                const int64_t begin = std::max(low, frames[f]), end = std::min(high, frames[f + 1]);
                if (begin < end) body(static_cast<int>(part), f, begin, end);
            }
        }
    });
}

// Adds the parts' private sums to the first one's, in order, so that timing cannot change the result.
void add_parts(const double* buffers, int count, int64_t size, double* total) {
    parallel_parts(size, parts_for(size, 4096), [&](int, int64_t from, int64_t to) {
        for (int b = 0; b < count; ++b) {
            const double* buffer = buffers + b * size;
            for (int64_t k = from; k < to; ++k) total[k] += buffer[k];
        }
    });
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
    constants.n_radial = static_cast<int>(s.radial_shifts.size());
    constants.n_shifts = static_cast<int>(s.angular_shifts.size());
    constants.n_sections = static_cast<int>(s.sections.size());
    constants.length = s.num_species * constants.n_radial +
                       s.num_species * (s.num_species + 1) / 2 * constants.n_shifts * constants.n_sections;
    constants.smooth = s.smooth;
    constants.radial_cutoff = s.radial_cutoff;
    constants.angular_cutoff = s.angular_cutoff;
    constants.radial_eta = static_cast<T>(s.radial_eta);
    constants.angular_eta = static_cast<T>(s.angular_eta);
    constants.zeta = static_cast<T>(s.zeta);
    constants.radial_shifts = radial_shifts.data();
    constants.angular_shifts = angular_shifts.data();
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
const Aev::Precision<T>& Aev::precision() const {
    if constexpr (std::is_same_v<T, float>) return float_;
    else return double_;
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
    task.most_neighbors = most_neighbors(graph);
    return task;
}

template <class T>
void Aev::forward(const AevGraph& graph, T* aev) const {
    AevTask<T> shared = task<T>(graph, 1);
    shared.aev = aev;
    const auto& kernels = precision<T>().kernels;
    const int64_t bytes = kernels.scratch_bytes(*shared.constants, shared.most_neighbors, 1);
    sweep(graph, make_parts(graph), [&](int, int64_t f, int64_t begin, int64_t end) {
        AevTask<T> mine = shared;
        mine.begin = begin, mine.end = end;
        mine.low = graph.frame_first[f], mine.high = graph.frame_first[f + 1];
        mine.scratch = thread_scratch(bytes);
        const int64_t bad = kernels.forward(mine);
        if (bad >= 0) report_edge(graph, bad);
    });
}

template <class T>
void Aev::gradient(const AevGraph& graph, int members, const T* weights, double* gradient, double* virial) const {
    AevTask<T> shared = task<T>(graph, members);
    shared.weights = weights;
    shared.virial_stride = 9 * graph.n_frames;
    const auto& kernels = precision<T>().kernels;
    const int64_t bytes = kernels.scratch_bytes(*shared.constants, shared.most_neighbors, members);
    const Parts parts = make_parts(graph);
    const int64_t size = 3 * members * graph.n_atoms, virial_size = members * shared.virial_stride;
    const int extra = parts.by_frame ? 0 : parts.count() - 1;
    thread_local std::vector<double> sums;  // private to each part but the first, which writes in place
    sums.assign(static_cast<size_t>(extra * (size + virial_size)), 0.0);
    double* const buffers = sums.data();
    std::fill(gradient, gradient + size, 0.0);
    std::fill(virial, virial + virial_size, 0.0);
    sweep(graph, parts, [&](int part, int64_t f, int64_t begin, int64_t end) {
        const bool direct = extra == 0 || part == 0;
        AevTask<T> mine = shared;
        mine.begin = begin, mine.end = end;
        mine.low = graph.frame_first[f], mine.high = graph.frame_first[f + 1];
        mine.gradient = direct ? gradient : buffers + (part - 1) * size;
        mine.virial = (direct ? virial : buffers + extra * size + (part - 1) * virial_size) + 9 * f;
        mine.scratch = thread_scratch(bytes);
        const int64_t bad = kernels.gradient(mine);
        if (bad >= 0) report_edge(graph, bad);
    });
    add_parts(buffers, extra, size, gradient);
    add_parts(buffers + extra * size, extra, virial_size, virial);
}

template <class T>
void Aev::tangent(const AevGraph& graph, int members, const double* directions, const double* strain, T* aev) const {
    AevTask<T> shared = task<T>(graph, members);
    shared.aev = aev;
    shared.directions = directions;
    shared.strain_stride = 9 * graph.n_frames;
    const auto& kernels = precision<T>().kernels;
    const int64_t bytes = kernels.scratch_bytes(*shared.constants, shared.most_neighbors, members);
    sweep(graph, make_parts(graph), [&](int, int64_t f, int64_t begin, int64_t end) {
        AevTask<T> mine = shared;
        mine.begin = begin, mine.end = end;
        mine.low = graph.frame_first[f], mine.high = graph.frame_first[f + 1];
        mine.strain = strain ? strain + 9 * f : nullptr;
        mine.scratch = thread_scratch(bytes);
        const int64_t bad = kernels.tangent(mine);
        if (bad >= 0) report_edge(graph, bad);
    });
}

template void Aev::forward(const AevGraph&, float*) const;
template void Aev::forward(const AevGraph&, double*) const;
template void Aev::gradient(const AevGraph&, int, const float*, double*, double*) const;
template void Aev::gradient(const AevGraph&, int, const double*, double*, double*) const;
template void Aev::tangent(const AevGraph&, int, const double*, const double*, float*) const;
template void Aev::tangent(const AevGraph&, int, const double*, const double*, double*) const;

}  // namespace mlsample
