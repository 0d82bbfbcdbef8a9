#include "aev_jacobian.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "aev_jacobian_terms.hpp"
#include "parallel.hpp"

namespace mlsample {
namespace {

template <class T>
int64_t padded(int64_t n) {
    constexpr int64_t step = 64 / sizeof(T);
    return (n + step - 1) / step * step;
}

// Slots of one atom: neighbours within the angular cutoff by species, then the others by species.
struct Slots {
    std::vector<int64_t> edges;
    std::vector<int> inner, outer;  // numbers of neighbours by species
};

void find_slots(const AevSettings& s, const AevGraph& graph, int64_t i, Slots& slots) {
    const auto key = [&](int64_t edge) {
        const double* d = graph.vectors + 3 * edge;
        const double r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        if (!(r > 0)) throw std::invalid_argument("an edge of atom " + std::to_string(i) + " has no length");
        const int species = graph.species[graph.second[edge]];
        return r >= s.radial_cutoff ? -1 : r < s.angular_cutoff ? species : s.num_species + species;
    };
    slots.inner.assign(s.num_species, 0);
    slots.outer.assign(s.num_species, 0);
    std::vector<std::pair<int, int64_t>> order;
    for (int64_t edge = graph.first[i]; edge < graph.first[i + 1]; ++edge) {
        const int k = key(edge);
        if (k < 0) continue;
        order.emplace_back(k, edge);
        ++(k < s.num_species ? slots.inner[k] : slots.outer[k - s.num_species]);
    }
    std::sort(order.begin(), order.end());
    slots.edges.clear();
    for (const auto& item : order) slots.edges.push_back(item.second);
}

int pair_feature(const AevSettings& s, int a, int b) {
    if (a > b) std::swap(a, b);
    const int pair = a * s.num_species - a * (a - 1) / 2 + b - a;
    return static_cast<int>(s.num_species * s.radial_shifts.size() + pair * s.angular_shifts.size() * s.sections.size());
}

// The segments and blocks of one atom, data offsets counted from `data`.
template <class T>
struct AtomLayout {
    std::vector<JacobianSegment> segments;
    std::vector<JacobianBlock> blocks;
    int64_t columns = 0, data = 0;

    void add_block(int feature, int rows, const JacobianSegment& segment, int64_t width) {
        blocks.push_back({data, feature, rows, segment.column, static_cast<int32_t>(width)});
        data += rows * width;
    }

    void make(const AevSettings& s, const Slots& slots) {
        segments.clear(), blocks.clear();
        columns = data = 0;
        const int radial = static_cast<int>(s.radial_shifts.size());
        const int angular = static_cast<int>(s.angular_shifts.size() * s.sections.size());
        int32_t slot = 0;
        for (const auto* counts : {&slots.inner, &slots.outer}) {
            for (int k = 0; k < s.num_species; ++k) {
                const int32_t n = (*counts)[k];
                if (n == 0) continue;
                segments.push_back({slot, n, static_cast<int32_t>(columns), 0});
                add_block(k * radial, radial, segments.back(), padded<T>(n));
                columns += padded<T>(n), slot += n;
            }
        }
        std::vector<std::pair<int, JacobianSegment>> present;
        slot = 0;
        for (int k = 0; k < s.num_species; ++k) {
            const int32_t n = slots.inner[k];
            if (n == 0) continue;
            present.push_back({k, {slot, n, static_cast<int32_t>(columns), 1}});
            segments.push_back(present.back().second);
            columns += padded<T>(3 * n), slot += n;
        }
        for (const auto& [a, own] : present) {
            for (const auto& [b, other] : present) {
                if (a == b && own.count < 2) continue;
                add_block(pair_feature(s, a, b), angular, own, padded<T>(3 * own.count));
            }
        }
    }
};

}  // namespace

template <class T>
int64_t AevJacobian<T>::bytes_needed(const AevSettings& settings, const AevGraph& graph) {
    Slots slots;
    AtomLayout<T> layout;
    int64_t numbers = 0, tables = 0;
    for (int64_t i = 0; i < graph.n_atoms; ++i) {
        find_slots(settings, graph, i, slots);
        layout.make(settings, slots);
        const auto n = static_cast<int64_t>(slots.edges.size());
        numbers += layout.data + 6 * padded<T>(n);
        tables += static_cast<int64_t>(layout.blocks.size() * sizeof(JacobianBlock) +
                                       layout.segments.size() * sizeof(JacobianSegment)) + 12 * n;
    }
    return numbers * static_cast<int64_t>(sizeof(T)) + tables;
}

template <class T>
void AevJacobian<T>::lay_out(const AevSettings& settings, const AevGraph& graph) {
    Slots slots;
    AtomLayout<T> layout;
    for (int64_t f = 0; f < frames(); ++f) {
        for (int64_t i = frame_first_[f]; i < frame_first_[f + 1]; ++i) {
            find_slots(settings, graph, i, slots);
            layout.make(settings, slots);
            JacobianAtom atom{};
            atom.blocks = static_cast<int64_t>(blocks_.size());
            atom.segments = static_cast<int64_t>(segments_.size());
            atom.neighbors = static_cast<int64_t>(neighbors_.size());
            atom.count = static_cast<int32_t>(slots.edges.size());
            atom.stride = static_cast<int32_t>(padded<T>(atom.count));
            atom.columns = static_cast<int32_t>(layout.columns);
            for (JacobianBlock block : layout.blocks) {
                block.data += size_;
                blocks_.push_back(block);
            }
            segments_.insert(segments_.end(), layout.segments.begin(), layout.segments.end());
            for (int64_t edge : slots.edges) {
                neighbors_.push_back(static_cast<int32_t>(graph.second[edge] - frame_first_[f]));
                edge_of_slot_.push_back(edge);
            }
            size_ += layout.data;
            atom.edges = size_;
            size_ += 6 * static_cast<int64_t>(atom.stride);
            most_columns_ = std::max<int64_t>(most_columns_, atom.columns);
            longest_stride_ = std::max<int64_t>(longest_stride_, atom.stride);
            atoms_.push_back(atom);
        }
    }
    JacobianAtom end{};
    end.blocks = static_cast<int64_t>(blocks_.size());
    end.segments = static_cast<int64_t>(segments_.size());
    atoms_.push_back(end);
}

template <class T>
void AevJacobian<T>::fill(const AevSettings& settings, const AevGraph& graph) {
    const int64_t n = graph.n_atoms;
    parallel_parts(n, parts_for(n, 64), [&](int, int64_t begin, int64_t end) {
        AevTerms terms(settings);
        for (int64_t i = begin; i < end; ++i) {
            const JacobianAtom& atom = atoms_[i];
            terms.start(atom.count);
            T* edges = numbers_.get() + atom.edges;
            for (int k = 0; k < atom.count; ++k) {
                const int64_t edge = edge_of_slot_[atom.neighbors + k];
                terms.set_neighbor(k, graph.vectors + 3 * edge);
                for (int a = 0; a < 3; ++a) {
                    edges[a * atom.stride + k] = static_cast<T>(terms.direction(k)[a]);
                    edges[(3 + a) * atom.stride + k] = static_cast<T>(graph.vectors[3 * edge + a]);
                }
            }
            for (int64_t b = atom.blocks; b < atoms_[i + 1].blocks; ++b) {
                const JacobianBlock& block = blocks_[b];
                const JacobianSegment *own = nullptr, *other = nullptr;
                for (int64_t s = atom.segments; s < atoms_[i + 1].segments; ++s) {
                    if (segments_[s].column == block.column) own = &segments_[s];
                }
                T* out = numbers_.get() + block.data;
                if (!own->angular) {
                    terms.radial(*own, out, block.columns);
                    continue;
                }
                // the partner is the species whose pair with this one has the block's features
                const auto species = [&](const JacobianSegment& g) {
                    return graph.species[graph.second[edge_of_slot_[atom.neighbors + g.slot]]];
                };
                for (int64_t s = atom.segments; s < atoms_[i + 1].segments; ++s) {
                    const JacobianSegment& g = segments_[s];
                    if (g.angular && pair_feature(settings, species(*own), species(g)) == block.feature) other = &g;
                }
                terms.angular(*own, *other, out, block.columns);
            }
        }
    });
}

template <class T>
AevJacobian<T>::AevJacobian(const AevSettings& settings, const AevGraph& graph)
    : frame_first_(graph.frame_first, graph.frame_first + graph.n_frames + 1) {
    const auto radial = static_cast<int64_t>(settings.radial_shifts.size());
    const auto angular = static_cast<int64_t>(settings.angular_shifts.size() * settings.sections.size());
    const int64_t kinds = settings.num_species;
    length_ = kinds * radial + kinds * (kinds + 1) / 2 * angular;
    lay_out(settings, graph);
    const size_t bytes = std::max<size_t>(64, (static_cast<size_t>(size_) * sizeof(T) + 63) / 64 * 64);
    numbers_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (!numbers_) throw std::bad_alloc();
    std::fill(numbers_.get(), numbers_.get() + size_, T(0));
    fill(settings, graph);
    edge_of_slot_ = {};
}

template <class T>
JacobianTask<T> AevJacobian<T>::task(int members, int64_t atoms, int64_t frames) const {
    JacobianTask<T> task{};
    task.blocks = blocks_.data();
    task.segments = segments_.data();
    task.neighbors = neighbors_.data();
    task.numbers = numbers_.get();
    task.members = members;
    task.length = length_;
    task.member_features = atoms * length_;
    task.member_positions = 3 * atoms;
    task.member_strain = 9 * frames;
    return task;
}

// Frames are cut into runs of about equal numbers of atoms; a frame's sums are made by one thread, in order.
template <class T>
template <class Kernel>
void AevJacobian<T>::sweep(const int64_t* chosen, int64_t n, const JacobianTask<T>& shared, Kernel kernel) const {
    std::vector<int64_t> starts(n + 1, 0);
    for (int64_t k = 0; k < n; ++k) starts[k + 1] = starts[k] + frame_atoms(chosen[k]);
    const int parts = static_cast<int>(std::min<int64_t>(n, parts_for(starts[n], 16)));
    const auto bound = [&](int64_t atoms) { return std::lower_bound(starts.begin(), starts.end(), atoms) - starts.begin(); };
    parallel_parts(parts, parts, [&](int, int64_t from, int64_t to) {
        const auto numbers = static_cast<size_t>(4 * most_columns_ + 3 * longest_stride_);
        std::unique_ptr<T, Free> scratch(static_cast<T*>(std::aligned_alloc(64, (numbers * sizeof(T) + 63) / 64 * 64)));
        if (!scratch) throw std::bad_alloc();
        const int64_t first = bound(starts[n] * from / parts), last = to == parts ? n : bound(starts[n] * to / parts);
        for (int64_t k = first; k < last; ++k) {
            JacobianTask<T> mine = shared;
            const int64_t at = starts[k];
            mine.atoms = atoms_.data() + frame_first_[chosen[k]];
            mine.begin = 0, mine.end = frame_atoms(chosen[k]);
            mine.scratch = scratch.get();
            if (mine.weights) mine.weights += at * length_;
            if (mine.aev) mine.aev += at * length_;
            if (mine.gradient) mine.gradient += 3 * at, mine.virial += 9 * k;
            if (mine.directions) mine.directions += 3 * at;
            if (mine.strain) mine.strain += 9 * k;
            kernel(mine);
        }
    });
}

template <class T>
void AevJacobian<T>::gradient(const int64_t* chosen, int64_t n, int members, const T* weights, double* gradient,
                              double* virial) const {
    int64_t atoms = 0;
    for (int64_t k = 0; k < n; ++k) atoms += frame_atoms(chosen[k]);
    JacobianTask<T> shared = task(members, atoms, n);
    shared.weights = weights, shared.gradient = gradient, shared.virial = virial;
    std::fill(gradient, gradient + 3 * atoms * members, 0.0);
    std::fill(virial, virial + 9 * n * members, 0.0);
    if constexpr (std::is_same_v<T, float>) sweep(chosen, n, shared, MLSAMPLE_PICK_KERNEL(jacobian_gradient));
    else sweep(chosen, n, shared, MLSAMPLE_PICK_KERNEL(jacobian_gradient_double));
}

template <class T>
void AevJacobian<T>::tangent(const int64_t* chosen, int64_t n, int members, const double* directions,
                             const double* strain, T* aev) const {
    int64_t atoms = 0;
    for (int64_t k = 0; k < n; ++k) atoms += frame_atoms(chosen[k]);
    JacobianTask<T> shared = task(members, atoms, n);
    shared.aev = aev, shared.directions = directions, shared.strain = strain;
    if constexpr (std::is_same_v<T, float>) sweep(chosen, n, shared, MLSAMPLE_PICK_KERNEL(jacobian_tangent));
    else sweep(chosen, n, shared, MLSAMPLE_PICK_KERNEL(jacobian_tangent_double));
}

template class AevJacobian<float>;
template class AevJacobian<double>;

}  // namespace mlsample
