// One atom's surroundings as aligned arrays, and the memory that the sweep over an atom works in. Included only by
// aev_kernels.cpp.
#pragma once

#include "aev_kernels.hpp"
#include "aev_simd.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr int block_pairs = 512;  // pairs packed at a time, so that they stay in the first two caches
constexpr int chunk_pairs = 128;  // pairs whose terms are held at a time

MLSAMPLE_INLINE int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Neighbours lie in slots sorted by species; a species' slots start at a multiple of the vector width, those within
// the angular cutoff come first, and the last vector is filled up with slots that add nothing (u = 0, f = 0).
template <class T>
struct Workspace {
    int64_t slots, pairs;      // capacities
    int shifts, sections;      // of the angular terms, rounded up to the register blocks of their sums
    int radial_rows, angular_rows;  // of the lane sums, rounded up to the vector width
    // neighbours within the radial cutoff, in the order of the edges
    int32_t *raw_edge, *raw_key;
    double* raw_r2;
    // slots
    int32_t *atom;
    double *x, *y, *z, *r2;
    T *r, *inverse, *ux, *uy, *uz, *fr, *dfr, *fa, *dfa;
    // species present: first slot, angular neighbours, all neighbours
    int32_t *cursor, *present, *start, *angular, *all;
    // packed pairs of neighbours: mean distance, 0.95 cosine, product of cutoffs, and three numbers per member
    T *mean, *cosine, *weight, *packed;
    // terms of a chunk of pairs and their derivatives, products for one member, sums per lane
    T *radial, *d_radial, *angle, *d_angle, *product, *d_product;
    Vec<T>*sums, *radial_term;
    T* lane_sums;
    // per member and slot: dE/dr and the sums behind the pair gradients, or the tangents of the edges
    T *slope, *along, *turn, *p, *tangent, *speed;
};

struct Arena {
    uintptr_t at;
    template <class... Pointers>
    void take(int64_t count, Pointers*&... pointers) {
        (one(count, pointers), ...);
    }
    template <class U>
    void one(int64_t count, U*& pointer) {
        pointer = reinterpret_cast<U*>(at);
        at += static_cast<uintptr_t>(up(count * static_cast<int64_t>(sizeof(U)), 64));
    }
};

// Sets the pointers into the memory at `base` and returns the bytes needed.
template <class T>
int64_t layout(Workspace<T>& w, const AevConstants<T>& c, int64_t most, int members, void* base) {
    const int64_t kinds = most < c.num_species ? most : c.num_species, M = members;
    w.slots = up(most, width<T>) + (kinds + 2) * width<T>;
    w.pairs = up(block_pairs, width<T>) + w.slots;
    w.shifts = static_cast<int>(up(c.n_shifts, 2));
    w.sections = static_cast<int>(up(c.n_sections, 4));
    w.radial_rows = static_cast<int>(up(c.n_radial, width<T>));
    w.angular_rows = static_cast<int>(up(w.shifts * w.sections, width<T>));
    const int64_t rows = w.radial_rows > w.angular_rows ? w.radial_rows : w.angular_rows;
    Arena arena{reinterpret_cast<uintptr_t>(base)};
    arena.take(most, w.raw_edge, w.raw_key, w.raw_r2);
    arena.take(c.num_species, w.present, w.start, w.angular, w.all);
    arena.take(2 * c.num_species, w.cursor);
    arena.take(w.slots, w.atom, w.x, w.y, w.z, w.r2);
    arena.take(w.slots, w.r, w.inverse, w.ux, w.uy, w.uz, w.fr, w.dfr, w.fa, w.dfa);
    arena.take(w.pairs, w.mean, w.cosine, w.weight);
    arena.take(3 * M * w.pairs, w.packed);
    arena.take(w.shifts * chunk_pairs, w.radial, w.d_radial, w.product, w.d_product);
    arena.take(w.sections * chunk_pairs, w.angle, w.d_angle);
    arena.take(M * rows, w.sums);
    arena.take(rows, w.lane_sums);
    arena.take(w.radial_rows, w.radial_term);
    arena.take(M * w.slots, w.slope, w.along, w.speed);
    arena.take(3 * M * w.slots, w.turn, w.tangent);
    arena.take(3 * w.slots, w.p);
    return static_cast<int64_t>(arena.at - reinterpret_cast<uintptr_t>(base));
}

// f_c and its derivative: cos^2(pi x / 2) (cosine cutoff) or exp(1 - 1 / (1 - x^2)) (TorchANI's smooth one).
template <class T>
MLSAMPLE_INLINE void cutoff(Vec<T> r, T rc, bool smooth, T* f, T* df) {
    const T c[] = {T(5.10846968542241e-13),    T(-6.51052915679768461e-11), T(6.32144090425835745e-9),
                   T(-4.64765991595297768e-7), T(2.47372763588367309e-5),   T(-8.94522998473644435e-4),
                   T(0.0199689577648780762),   T(-0.233700550136169823),    T(1)};
    const T s[] = {T(-4.25028079236926439e-14), T(6.0642540263155524e-12),  T(-6.68800363215679146e-10),
                   T(5.69217269847811612e-8),   T(-3.59884323422955852e-6), T(1.60441184787096792e-4),
                   T(-4.68175413531864765e-3),  T(0.079692626246167042),    T(-0.645964097506246254),
                   T(1.57079632679489662)};
    const Vec<T> x = r / rc, x2 = x * x, rest = (T(1) - x) * (T(1) + x), zero{};
    Vec<T> value, slope;
    if (smooth) {
        const Vec<T> low = splat<T>(T(1e-10)), q = rest > low ? rest : low;
        value = exp2<T>((T(1) - T(1) / q) * T(1.4426950408889634));
        slope = rest > low ? value * (x * T(-2 / rc)) / (q * q) : zero;
    } else {
        const Vec<T> cosine = rest * polynomial<T>(x2, c, 9), sine = x * polynomial<T>(x2, s, 10);
        value = cosine * cosine;
        slope = sine * cosine * T(-3.14159265358979323846 / rc);
    }
    store<T>(f, r < splat<T>(rc) ? value : zero);
    store<T>(df, r < splat<T>(rc) ? slope : zero);
}

// Edges of atom i within the radial cutoff; returns their number, or -1 - edge for an invalid edge.
template <class T>
int64_t collect(const AevTask<T>& task, const Workspace<T>& w, int64_t i) {
    const double radial2 = task.constants->radial_cutoff * task.constants->radial_cutoff;
    const double angular2 = task.constants->angular_cutoff * task.constants->angular_cutoff;
    int64_t n = 0;
    for (int64_t edge = task.first[i]; edge < task.first[i + 1]; ++edge) {
        const double* d = task.vectors + 3 * edge;
        const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        const int32_t j = task.second[edge];
        if (!(r2 > 1e-24 && r2 < 1e200) || j < task.low || j >= task.high) return -1 - edge;
        if (r2 < radial2) {
            w.raw_edge[n] = static_cast<int32_t>(edge - task.first[i]);
            w.raw_key[n] = 2 * task.species[j] + (r2 < angular2 ? 0 : 1);
            w.raw_r2[n] = r2;
            ++n;
        }
    }
    return n;
}

// Distances, directions and cutoffs of the first `used` slots.
template <class T>
void measure(const AevConstants<T>& c, const Workspace<T>& w, int64_t used) {
#pragma omp simd
    for (int64_t k = 0; k < used; ++k) {
        const double r = __builtin_sqrt(w.r2[k]), inverse = 1 / r;
        w.r[k] = static_cast<T>(r);
        w.inverse[k] = static_cast<T>(inverse);
        w.ux[k] = static_cast<T>(w.x[k] * inverse);
        w.uy[k] = static_cast<T>(w.y[k] * inverse);
        w.uz[k] = static_cast<T>(w.z[k] * inverse);
    }
    for (int64_t k = 0; k < used; k += width<T>) {
        cutoff<T>(load(w.r + k), static_cast<T>(c.radial_cutoff), c.smooth, w.fr + k, w.dfr + k);
        cutoff<T>(load(w.r + k), static_cast<T>(c.angular_cutoff), c.smooth, w.fa + k, w.dfa + k);
    }
}

// Slots that add nothing.
template <class T>
void fill_slots(const Workspace<T>& w, int64_t slot, int64_t end, int64_t i, double cutoff) {
    for (; slot < end; ++slot) {
        w.atom[slot] = static_cast<int32_t>(i);
        w.x[slot] = w.y[slot] = w.z[slot] = 0;
        w.r2[slot] = cutoff * cutoff;
    }
}

struct Counts {
    int kinds;      // species among the neighbours
    int64_t used;   // slots
    int64_t fault;  // edge, or -1
};

template <class T>
Counts gather(const AevTask<T>& task, const Workspace<T>& w, int64_t i) {
    const AevConstants<T>& c = *task.constants;
    const int64_t n = collect(task, w, i);
    if (n < 0) return {0, 0, -1 - n};
    for (int k = 0; k < 2 * c.num_species; ++k) w.cursor[k] = 0;
    for (int64_t k = 0; k < n; ++k) ++w.cursor[w.raw_key[k]];
    Counts counts{0, 0, -1};
    for (int s = 0; s < c.num_species; ++s) {
        const int near = w.cursor[2 * s], all = near + w.cursor[2 * s + 1], k = counts.kinds;
        if (all == 0) continue;
        w.present[k] = s, w.angular[k] = near, w.all[k] = all;
        w.start[k] = w.cursor[2 * s] = static_cast<int32_t>(counts.used);
        w.cursor[2 * s + 1] = w.start[k] + near;
        counts.used += up(all, width<T>);
        fill_slots(w, w.start[k] + all, counts.used, i, c.radial_cutoff);
        ++counts.kinds;
    }
    fill_slots(w, counts.used, counts.used + width<T>, i, c.radial_cutoff);  // read, but never counted
    for (int64_t k = 0; k < n; ++k) {
        const int64_t edge = task.first[i] + w.raw_edge[k], slot = w.cursor[w.raw_key[k]]++;
        w.atom[slot] = task.second[edge];
        w.x[slot] = task.vectors[3 * edge], w.y[slot] = task.vectors[3 * edge + 1];
        w.z[slot] = task.vectors[3 * edge + 2], w.r2[slot] = w.raw_r2[k];
    }
    measure(c, w, counts.used + width<T>);
    return counts;
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
