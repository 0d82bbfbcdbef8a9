// The memory that the sweep over an atom works in. Included only by aev_kernels.cpp.
#pragma once

#include "aev_slots.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr int block_pairs = 256;  // pairs packed at a time, so that they stay in the first cache
constexpr int chunk_pairs = 128;  // pairs whose terms are held at a time

// Rows are an odd number of cache lines apart, lest they fall into the same sets of the cache.
MLSAMPLE_INLINE int64_t odd_lines(int64_t bytes) { return up(bytes, 64) / 64 % 2 ? up(bytes, 64) : up(bytes, 64) + 64; }
template <class T>
constexpr int64_t chunk_row = chunk_pairs + 64 / sizeof(T);

template <class T>
struct Workspace {
    Slots<T> s;                // of the atom at hand
    int64_t slots, pairs, tile_row;  // capacities
    int shifts, sections;      // of the angular terms, rounded up to the register blocks of their sums
    int radial_rows, angular_rows;  // of the lane sums, rounded up to the vector width
    void* own_slots;
    Gathering gathering;
    // packed pairs of neighbours: mean distance, 0.95 cosine, product of cutoffs, and three numbers per member
    T *mean, *cosine, *weight, *packed;
    // terms of a chunk of pairs and their derivatives, products for one member, sums per lane
    T *radial, *d_radial, *angle, *d_angle, *product, *d_product;
    Vec<T>*sums, *radial_term;
    T* lane_sums;
    Vec<T>* edge_sums;  // twelve for each member
    T* edge_totals;
    // per member and slot: dE/dr and the sums behind the pair gradients, or the tangents of the edges
    T *slope, *along, *turn, *p, *tangent, *speed;
    // partners of pairs, repeated: directions, distances and cutoffs; for each member what is added to them or, in
    // tangents, their rates of change
    T *tiles, *tile_sums;
};

// Sets the pointers into the memory at `base` and returns the bytes needed.
template <class T>
int64_t layout(Workspace<T>& w, const AevConstants<T>& c, int64_t most, int members, void* base) {
    const int64_t M = members;
    const int64_t size = sizeof(T);
    w.slots = odd_lines(size * most_slots<T>(c.num_species, most)) / size;
    w.pairs = odd_lines(size * (up(block_pairs, width<T>) + w.slots)) / size;
    w.tile_row = odd_lines(size * 2 * w.slots) / size;
    w.shifts = static_cast<int>(up(c.angular.count, 2));
    w.sections = static_cast<int>(up(c.n_sections, 4));
    w.radial_rows = static_cast<int>(up(c.radial.count, width<T>));
    w.angular_rows = static_cast<int>(up(w.shifts * w.sections, width<T>));
    const int64_t rows = w.radial_rows > w.angular_rows ? w.radial_rows : w.angular_rows;
    Arena arena{reinterpret_cast<uintptr_t>(base)};
    char* own;
    arena.take(layout(w.s, c, most, nullptr), own);
    w.own_slots = own;
    arena.take(most, w.gathering.r2);
    arena.take(2 * c.num_species, w.gathering.cursor);
    arena.at += 64;  // a row may be read from one vector before it
    arena.take(w.pairs, w.mean, w.cosine, w.weight);
    arena.take(3 * M * w.pairs, w.packed);
    arena.take(w.shifts * chunk_row<T>, w.radial, w.d_radial, w.product, w.d_product);
    arena.take(w.sections * chunk_row<T>, w.angle, w.d_angle);
    arena.take(M * rows, w.sums);
    arena.take(rows, w.lane_sums);
    arena.take(up(12 * M, width<T>), w.edge_sums, w.edge_totals);
    arena.take(w.radial_rows, w.radial_term);
    arena.take(M * w.slots, w.slope, w.along, w.speed);
    arena.take(3 * M * w.slots, w.turn, w.tangent);
    arena.take(4 * w.slots, w.p);
    arena.take(6 * w.tile_row, w.tiles);
    arena.take(4 * M * w.tile_row, w.tile_sums);
    return static_cast<int64_t>(arena.at - reinterpret_cast<uintptr_t>(base));
}

// use(m, r - shift[m], exp(-eta (r - shift[m])^2)) for up to eight evenly spaced shifts from `first` on.
template <class Use>
MLSAMPLE_INLINE void run_of_gaussians(const AevGaussians<float>& g, Vec<float> r, int first, int count,
                                      const Use& use) {
    const int middle = count > 3 ? 3 : count - 1;
    const float* shifts = g.shifts + first;
    const Vec<float> x = r - shifts[middle], limit = splat<float>(125 / g.rate);
    const Vec<float> bounded = x > limit ? limit : x < -limit ? -limit : x;
    const Vec<float> start = exp2_product(x * x, -g.eta * 1.44269504f);
    Vec<float> q, inverse, value = start;
    exp2_both(bounded, g.rate, g.rate_rest, &q, &inverse);
    use(first + middle, x, start);
#pragma GCC unroll 4
    for (int j = 1; j <= 4; ++j) {
        if (middle + j >= count) break;
        value *= q;
        use(first + middle + j, r - shifts[middle + j], value * g.fall[3 + j]);
    }
    value = start;
#pragma GCC unroll 3
    for (int j = 1; j <= 3; ++j) {
        if (middle - j < 0) break;
        value *= inverse;
        use(first + middle - j, r - shifts[middle - j], value * g.fall[3 - j]);
    }
}

// The same for all shifts.
template <class T, class Use>
MLSAMPLE_INLINE void gaussians(const AevGaussians<T>& g, Vec<T> r, const Use& use) {
    if constexpr (sizeof(T) == 4) {
        if (g.even) {
            int first = 0;
            for (; first + 8 <= g.count; first += 8) run_of_gaussians(g, r, first, 8, use);
            if (first < g.count) run_of_gaussians(g, r, first, g.count - first, use);
            return;
        }
    }
    const T scale = -g.eta * T(1.4426950408889634);
    for (int m = 0; m < g.count; ++m) {
        const Vec<T> x = r - g.shifts[m];
        use(m, x, exp2<T>(x * x * scale));
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
