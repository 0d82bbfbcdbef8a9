// The neighbours of one atom as aligned arrays, sorted by species, and what their gradients add to the atoms. Included
// only by *_kernels.cpp.
#pragma once

#include <cstdint>

#include "aev_simd.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

MLSAMPLE_INLINE int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

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

// Where the neighbours come from: edges of atoms whose ends must be among the atoms [low, high).
struct Edges {
    const int32_t* species;  // (N,)
    const int64_t* first;    // (N+1,)
    const int32_t* second;   // (E,)
    const double* vectors;   // (E, 3)
    int64_t low, high;
    int num_species;
    double cutoff, near_cutoff;  // of all neighbours, and of those that come first
};

// Neighbours lie in slots sorted by species; a species' slots start at a multiple of the vector width, those within
// the near cutoff come first, and the last vector is filled up with slots that add nothing (u = 0).
template <class T>
struct EdgeSlots {
    int32_t *kinds, *used;  // species among the neighbours, slots: one number each
    int32_t *present, *start, *near, *all;  // of each: species, first slot, near neighbours, all neighbours
    int32_t* atom;
    T *r, *inverse, *ux, *uy, *uz;
};

template <class T>
int64_t most_slots(int num_species, int64_t most) {
    const int64_t kinds = most < num_species ? most : num_species;
    return up(most, width<T>) + (kinds + 2) * width<T>;
}

// Sets the pointers into the arena, for so many slots.
template <class T>
void take_slots(EdgeSlots<T>& s, Arena& arena, int num_species, int64_t slots) {
    arena.take(16, s.kinds);
    s.used = s.kinds + 1;
    arena.take(num_species, s.present, s.start, s.near, s.all);
    arena.take(slots, s.atom);
    arena.take(slots, s.r, s.inverse, s.ux, s.uy, s.uz);
}

// What gathering needs besides the slots.
struct Gathering {
    double* r2;       // of the edges
    int32_t* cursor;  // two per species
};

// Squared distances of atom i's edges, their extremes, and how many are within the two cutoffs.
struct Extent {
    double closest, farthest;
    int32_t lowest, highest;  // neighbours
    int64_t near, inside;
};

inline Extent measure_edges(const Edges& edges, int64_t i, double* __restrict r2) {
    const double all2 = edges.cutoff * edges.cutoff, near2 = edges.near_cutoff * edges.near_cutoff;
    const int64_t count = edges.first[i + 1] - edges.first[i];
    const double* __restrict d = edges.vectors + 3 * edges.first[i];
    const int32_t* __restrict second = edges.second + edges.first[i];
    double closest = 1e300, farthest = 0, near = 0, inside = 0;
    int32_t lowest = 0x7fffffff, highest = -1;
    for (int64_t k = 0; k < count; ++k) {
        r2[k] = d[3 * k] * d[3 * k] + d[3 * k + 1] * d[3 * k + 1] + d[3 * k + 2] * d[3 * k + 2];
    }
#pragma omp simd reduction(min : closest) reduction(max : farthest) reduction(+ : near, inside)
    for (int64_t k = 0; k < count; ++k) {
        // a NaN is neither above nor below: it must show in the extremes
        const double square = r2[k] == r2[k] ? r2[k] : 1e300;
        closest = square < closest ? square : closest;
        farthest = square > farthest ? square : farthest;
        near += square < near2 ? 1.0 : 0.0;
        inside += square < all2 ? 1.0 : 0.0;
    }
#pragma omp simd reduction(min : lowest) reduction(max : highest)
    for (int64_t k = 0; k < count; ++k) {
        lowest = second[k] < lowest ? second[k] : lowest;
        highest = second[k] > highest ? second[k] : highest;
    }
    return {closest, farthest, lowest, highest, static_cast<int64_t>(near), static_cast<int64_t>(inside)};
}

// The first edge of atom i that is invalid, or -1.
inline int64_t fault(const Edges& edges, int64_t i, const double* r2, const Extent& x) {
    if (edges.first[i] == edges.first[i + 1]) return -1;
    if (x.closest > 1e-24 && x.farthest < 1e200 && x.lowest >= edges.low && x.highest < edges.high) return -1;
    int64_t edge = edges.first[i];
    for (; edge < edges.first[i + 1] - 1; ++edge) {
        const double square = r2[edge - edges.first[i]];
        const int32_t j = edges.second[edge];
        if (!(square > 1e-24 && square < 1e200) || j < edges.low || j >= edges.high) break;
    }
    return edge;
}

// One edge into one slot; r holds its square until measure_slots.
template <class T>
MLSAMPLE_INLINE void put(const Edges& edges, const EdgeSlots<T>& s, int64_t edge, double r2, int64_t slot) {
    const double* d = edges.vectors + 3 * edge;
    s.atom[slot] = edges.second[edge];
    s.r[slot] = static_cast<T>(r2);
    s.ux[slot] = static_cast<T>(d[0]), s.uy[slot] = static_cast<T>(d[1]), s.uz[slot] = static_cast<T>(d[2]);
}

template <class T>
void fill_slots(const EdgeSlots<T>& s, int64_t slot, int64_t end, int64_t i, double cutoff) {
    for (; slot < end; ++slot) {
        s.atom[slot] = static_cast<int32_t>(i);
        s.ux[slot] = s.uy[slot] = s.uz[slot] = 0;
        s.r[slot] = static_cast<T>(1.001 * cutoff * cutoff);
    }
}

// The edges of the only species there is, near ones first.
template <class T>
void sort_one(const Edges& edges, const EdgeSlots<T>& s, int64_t i, const double* r2, const Extent& x) {
    const double all2 = edges.cutoff * edges.cutoff, near2 = edges.near_cutoff * edges.near_cutoff;
    *s.kinds = x.inside > 0;
    s.present[0] = s.start[0] = 0;
    s.near[0] = static_cast<int32_t>(x.near), s.all[0] = static_cast<int32_t>(x.inside);
    *s.used = static_cast<int32_t>(up(x.inside, width<T>));
    int64_t near = 0, far = x.near;
    const int64_t first = edges.first[i], count = edges.first[i + 1] - first;
    for (int64_t k = 0; k < count; ++k) {
        const bool close = r2[k] < near2;
        put(edges, s, first + k, r2[k], close ? near : far);  // beyond the cutoff: overwritten
        near += close;
        far += !close && r2[k] < all2;
    }
    fill_slots(s, x.inside, *s.used + width<T>, i, edges.cutoff);
}

template <class T>
void sort_many(const Edges& edges, const EdgeSlots<T>& s, int64_t i, const Gathering& g) {
    const double all2 = edges.cutoff * edges.cutoff, near2 = edges.near_cutoff * edges.near_cutoff;
    const auto key = [&](int64_t edge, double r2) {
        return 2 * edges.species[edges.second[edge]] + (r2 < near2 ? 0 : 1);
    };
    for (int k = 0; k < 2 * edges.num_species; ++k) g.cursor[k] = 0;
    const int64_t first = edges.first[i], end = edges.first[i + 1];
    for (int64_t edge = first; edge < end; ++edge) {
        if (g.r2[edge - first] < all2) ++g.cursor[key(edge, g.r2[edge - first])];
    }
    int32_t kinds = 0, used = 0;
    for (int species = 0; species < edges.num_species; ++species) {
        const int near = g.cursor[2 * species], all = near + g.cursor[2 * species + 1];
        if (all == 0) continue;
        s.present[kinds] = species, s.near[kinds] = near, s.all[kinds] = all;
        s.start[kinds] = g.cursor[2 * species] = used;
        g.cursor[2 * species + 1] = used + near;
        used += static_cast<int32_t>(up(all, width<T>));
        fill_slots(s, s.start[kinds] + all, used, i, edges.cutoff);
        ++kinds;
    }
    fill_slots(s, used, used + width<T>, i, edges.cutoff);  // read, but never counted
    for (int64_t edge = first; edge < end; ++edge) {
        const double r2 = g.r2[edge - first];
        if (r2 < all2) put(edges, s, edge, r2, g.cursor[key(edge, r2)]++);
    }
    *s.kinds = kinds, *s.used = used;
}

// Distances and directions; one vector more than is used.
template <class T>
void measure_slots(const EdgeSlots<T>& s) {
    const int64_t end = *s.used + width<T>;
    for (int64_t k = 0; k < end; k += width<T>) {
        const Vec<T> r = root<T>(load(s.r + k)), inverse = T(1) / r;
        store<T>(s.r + k, r), store<T>(s.inverse + k, inverse);
        store<T>(s.ux + k, load(s.ux + k) * inverse);
        store<T>(s.uy + k, load(s.uy + k) * inverse);
        store<T>(s.uz + k, load(s.uz + k) * inverse);
    }
}

// Fills the slots of atom i; returns -1, or the edge that is invalid.
template <class T>
int64_t gather_edges(const Edges& edges, const EdgeSlots<T>& s, const Gathering& g, int64_t i) {
    const Extent extent = measure_edges(edges, i, g.r2);
    const int64_t bad = fault(edges, i, g.r2, extent);
    if (bad >= 0) return bad;
    if (edges.num_species == 1) sort_one(edges, s, i, g.r2, extent);
    else sort_many(edges, s, i, g);
    measure_slots(s);
    return -1;
}

// x, y, z and nothing of each slot, slot after slot within groups of four: slot 4 q + c goes to out[c], place 4 q.
template <class T>
MLSAMPLE_INLINE void interleave(const Vec<T>* xyz, T* out) {
    if constexpr (width<T> >= 4) {
        typedef typename Lanes<T>::I I;
        I low{}, high{}, first{}, second{};
#pragma GCC unroll 16
        for (int k = 0; k < width<T>; ++k) {
            low[k] = k / 4 * 4 + k % 4 / 2 + k % 2 * width<T>;
            high[k] = low[k] + 2;
            first[k] = k / 4 * 4 + k % 2 + k % 4 / 2 * width<T>;
            second[k] = first[k] + 2;
        }
        const Vec<T> zero{}, xy_low = __builtin_shuffle(xyz[0], xyz[1], low),
                     xy_high = __builtin_shuffle(xyz[0], xyz[1], high), z_low = __builtin_shuffle(xyz[2], zero, low),
                     z_high = __builtin_shuffle(xyz[2], zero, high);
        store<T>(out, __builtin_shuffle(xy_low, z_low, first));
        store<T>(out + width<T>, __builtin_shuffle(xy_low, z_low, second));
        store<T>(out + 2 * width<T>, __builtin_shuffle(xy_high, z_high, first));
        store<T>(out + 3 * width<T>, __builtin_shuffle(xy_high, z_high, second));
    } else {
        for (int k = 0; k < width<T>; ++k) {
            for (int a = 0; a < 4; ++a) out[4 * k + a] = a < 3 ? xyz[a][k] : T(0);
        }
    }
}

// Sums over lanes of the gradients by the edges' vectors and of p_a d_b.
template <class T>
struct EdgeSums {
    Vec<T> net[3]{}, virial[3][3]{};
};

// Counts the gradients p of the edges of one vector of slots in the sums, and interleaves them.
template <class T>
MLSAMPLE_INLINE void put_edges(const EdgeSlots<T>& s, int64_t slot, const Vec<T>* p, EdgeSums<T>& sums, T* out) {
    const Vec<T> u[3] = {load(s.ux + slot), load(s.uy + slot), load(s.uz + slot)}, r = load(s.r + slot);
#pragma GCC unroll 3
    for (int a = 0; a < 3; ++a) {
        sums.net[a] += p[a];
        const Vec<T> pr = p[a] * r;
#pragma GCC unroll 3
        for (int b = 0; b < 3; ++b) sums.virial[a][b] += pr * u[b];
    }
    interleave<T>(p, out + 4 * slot);
}

template <class T>
MLSAMPLE_INLINE void store_sums(const EdgeSums<T>& sums, Vec<T>* out) {
#pragma GCC unroll 3
    for (int a = 0; a < 3; ++a) {
        out[a] = sums.net[a];
#pragma GCC unroll 3
        for (int b = 0; b < 3; ++b) out[3 + 3 * a + b] = sums.virial[a][b];
    }
}

// Adds four numbers.
template <class T>
MLSAMPLE_INLINE void add_four(double* at, const T* p) {
    typedef T Four __attribute__((vector_size(4 * sizeof(T))));
    typedef double Sum __attribute__((vector_size(32)));
    Four add;
    Sum sum;
    __builtin_memcpy(&add, p, sizeof add);
    __builtin_memcpy(&sum, at, sizeof sum);
#if defined(__AVX__)
    if constexpr (sizeof(T) == 4) sum += (Sum)_mm256_cvtps_pd((__m128)add);
    else sum += __builtin_convertvector(add, Sum);
#else
    sum += __builtin_convertvector(add, Sum);
#endif
    __builtin_memcpy(at, &sum, sizeof sum);
}

// Adds the interleaved gradients p to the neighbours' rows of out (N, 4); slots that fill up add nothing to the atom.
template <class T>
MLSAMPLE_INLINE void scatter(const EdgeSlots<T>& s, const T* p, double* out) {
    constexpr int quads = width<T> >= 4 ? width<T> / 4 : 1;
    for (int kind = 0; kind < *s.kinds; ++kind) {
        const int64_t end = s.start[kind] + s.all[kind];
        for (int64_t slot = s.start[kind]; slot < end; slot += width<T>) {
            const T* from = p + 4 * slot;
            const int32_t* atom = s.atom + slot;
#pragma GCC unroll 4
            for (int q = 0; q < quads; ++q) {
#pragma GCC unroll 4
                for (int c = 0; c < width<T> / quads; ++c) {
                    const int place = width<T> >= 4 ? c * width<T> + 4 * q : 4 * c;
                    add_four<T>(out + 4 * static_cast<int64_t>(atom[4 * q + c]), from + place);
                }
            }
        }
    }
}

// Takes the summed gradients (three, and nine of the virial) off the atom's own and adds them to the virial.
template <class T>
MLSAMPLE_INLINE void add_totals(const T* total, double* own, double* virial) {
    for (int a = 0; a < 3; ++a) own[a] -= static_cast<double>(total[a]);
    for (int a = 0; a < 9; ++a) virial[a] += static_cast<double>(total[3 + a]);
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
