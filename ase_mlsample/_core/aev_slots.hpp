// One atom's surroundings as aligned arrays. Included only by aev_kernels.cpp.
#pragma once

#include "aev_kernels.hpp"
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

// Neighbours lie in slots sorted by species; a species' slots start at a multiple of the vector width, those within
// the angular cutoff come first, and the last vector is filled up with slots that add nothing (u = 0, f = 0).
template <class T>
struct Slots {
    int32_t *kinds, *used;  // species among the neighbours, slots: one number each
    int32_t *present, *start, *angular, *all;  // of each: species, first slot, angular neighbours, all neighbours
    int32_t* atom;
    T *r, *inverse, *ux, *uy, *uz, *fr, *dfr, *fa, *dfa;  // fa and dfa up to one vector past the angular neighbours
};

template <class T>
int64_t most_slots(const AevConstants<T>& c, int64_t most) {
    const int64_t kinds = most < c.num_species ? most : c.num_species;
    return up(most, width<T>) + (kinds + 2) * width<T>;
}

// Sets the pointers into the memory at `base` and returns the bytes needed.
template <class T>
int64_t layout(Slots<T>& s, const AevConstants<T>& c, int64_t most, void* base) {
    const int64_t slots = most_slots(c, most);
    Arena arena{reinterpret_cast<uintptr_t>(base)};
    arena.take(16, s.kinds);
    s.used = s.kinds + 1;
    arena.take(c.num_species, s.present, s.start, s.angular, s.all);
    arena.take(slots, s.atom);
    arena.take(slots, s.r, s.inverse, s.ux, s.uy, s.uz, s.fr, s.dfr, s.fa, s.dfa);
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
    constexpr int skip = sizeof(T) == 4 ? 3 : 0;  // terms below single precision
    const Vec<T> x = r / rc, x2 = x * x, rest = (T(1) - x) * (T(1) + x), zero{};
    Vec<T> value, slope;
    if (smooth) {
        const Vec<T> low = splat<T>(T(1e-10)), q = rest > low ? rest : low;
        value = exp2<T>((T(1) - T(1) / q) * T(1.4426950408889634));
        slope = rest > low ? value * (x * T(-2 / rc)) / (q * q) : zero;
    } else {
        const Vec<T> cosine = rest * polynomial<T>(x2, c + skip, 9 - skip);
        const Vec<T> sine = x * polynomial<T>(x2, s + skip, 10 - skip);
        value = cosine * cosine;
        slope = sine * cosine * T(-3.14159265358979323846 / rc);
    }
    store<T>(f, r < splat<T>(rc) ? value : zero);
    store<T>(df, r < splat<T>(rc) ? slope : zero);
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

template <class T>
Extent measure_edges(const AevTask<T>& task, int64_t i, double* __restrict r2) {
    const double radial2 = task.constants->radial_cutoff * task.constants->radial_cutoff;
    const double angular2 = task.constants->angular_cutoff * task.constants->angular_cutoff;
    const int64_t count = task.first[i + 1] - task.first[i];
    const double* __restrict d = task.vectors + 3 * task.first[i];
    const int32_t* __restrict second = task.second + task.first[i];
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
        near += square < angular2 ? 1.0 : 0.0;
        inside += square < radial2 ? 1.0 : 0.0;
    }
#pragma omp simd reduction(min : lowest) reduction(max : highest)
    for (int64_t k = 0; k < count; ++k) {
        lowest = second[k] < lowest ? second[k] : lowest;
        highest = second[k] > highest ? second[k] : highest;
    }
    return {closest, farthest, lowest, highest, static_cast<int64_t>(near), static_cast<int64_t>(inside)};
}

// The first edge of atom i that is invalid, or -1.
template <class T>
int64_t fault(const AevTask<T>& task, int64_t i, const double* r2, const Extent& x) {
    if (task.first[i] == task.first[i + 1]) return -1;
    if (x.closest > 1e-24 && x.farthest < 1e200 && x.lowest >= task.low && x.highest < task.high) return -1;
    int64_t edge = task.first[i];
    for (; edge < task.first[i + 1] - 1; ++edge) {
        const double square = r2[edge - task.first[i]];
        const int32_t j = task.second[edge];
        if (!(square > 1e-24 && square < 1e200) || j < task.low || j >= task.high) break;
    }
    return edge;
}

// One edge into one slot; r holds its square until measure_slots.
template <class T>
MLSAMPLE_INLINE void put(const AevTask<T>& task, const Slots<T>& s, int64_t edge, double r2, int64_t slot) {
    const double* d = task.vectors + 3 * edge;
    s.atom[slot] = task.second[edge];
    s.r[slot] = static_cast<T>(r2);
    s.ux[slot] = static_cast<T>(d[0]), s.uy[slot] = static_cast<T>(d[1]), s.uz[slot] = static_cast<T>(d[2]);
}

template <class T>
void fill_slots(const Slots<T>& s, int64_t slot, int64_t end, int64_t i, double cutoff) {
    for (; slot < end; ++slot) {
        s.atom[slot] = static_cast<int32_t>(i);
        s.ux[slot] = s.uy[slot] = s.uz[slot] = 0;
        s.r[slot] = static_cast<T>(1.001 * cutoff * cutoff);
    }
}

// The edges of the only species there is, near ones first.
template <class T>
void sort_one(const AevTask<T>& task, const Slots<T>& s, int64_t i, const double* r2, const Extent& x) {
    const double radial2 = task.constants->radial_cutoff * task.constants->radial_cutoff;
    const double angular2 = task.constants->angular_cutoff * task.constants->angular_cutoff;
    *s.kinds = x.inside > 0;
    s.present[0] = s.start[0] = 0;
    s.angular[0] = static_cast<int32_t>(x.near), s.all[0] = static_cast<int32_t>(x.inside);
    *s.used = static_cast<int32_t>(up(x.inside, width<T>));
    int64_t near = 0, far = x.near;
    const int64_t first = task.first[i], count = task.first[i + 1] - first;
    for (int64_t k = 0; k < count; ++k) {
        const bool close = r2[k] < angular2;
        put(task, s, first + k, r2[k], close ? near : far);  // beyond the cutoff: overwritten
        near += close;
        far += !close && r2[k] < radial2;
    }
    fill_slots(s, x.inside, *s.used + width<T>, i, task.constants->radial_cutoff);
}

template <class T>
void sort_many(const AevTask<T>& task, const Slots<T>& s, int64_t i, const Gathering& g) {
    const AevConstants<T>& c = *task.constants;
    const double radial2 = c.radial_cutoff * c.radial_cutoff, angular2 = c.angular_cutoff * c.angular_cutoff;
    const auto key = [&](int64_t edge, double r2) {
        return 2 * task.species[task.second[edge]] + (r2 < angular2 ? 0 : 1);
    };
    for (int k = 0; k < 2 * c.num_species; ++k) g.cursor[k] = 0;
    const int64_t first = task.first[i], end = task.first[i + 1];
    for (int64_t edge = first; edge < end; ++edge) {
        if (g.r2[edge - first] < radial2) ++g.cursor[key(edge, g.r2[edge - first])];
    }
    int32_t kinds = 0, used = 0;
    for (int species = 0; species < c.num_species; ++species) {
        const int near = g.cursor[2 * species], all = near + g.cursor[2 * species + 1];
        if (all == 0) continue;
        s.present[kinds] = species, s.angular[kinds] = near, s.all[kinds] = all;
        s.start[kinds] = g.cursor[2 * species] = used;
        g.cursor[2 * species + 1] = used + near;
        used += static_cast<int32_t>(up(all, width<T>));
        fill_slots(s, s.start[kinds] + all, used, i, c.radial_cutoff);
        ++kinds;
    }
    fill_slots(s, used, used + width<T>, i, c.radial_cutoff);  // read, but never counted
    for (int64_t edge = first; edge < end; ++edge) {
        const double r2 = g.r2[edge - first];
        if (r2 < radial2) put(task, s, edge, r2, g.cursor[key(edge, r2)]++);
    }
    *s.kinds = kinds, *s.used = used;
}

// Distances, directions and cutoffs.
template <class T>
void measure_slots(const AevConstants<T>& c, const Slots<T>& s) {
    const int64_t end = *s.used + width<T>;
    for (int64_t k = 0; k < end; k += width<T>) {
        const Vec<T> r = root<T>(load(s.r + k)), inverse = T(1) / r;
        store<T>(s.r + k, r), store<T>(s.inverse + k, inverse);
        store<T>(s.ux + k, load(s.ux + k) * inverse);
        store<T>(s.uy + k, load(s.uy + k) * inverse);
        store<T>(s.uz + k, load(s.uz + k) * inverse);
        cutoff<T>(r, static_cast<T>(c.radial_cutoff), c.smooth, s.fr + k, s.dfr + k);
    }
    for (int kind = 0; kind < *s.kinds; ++kind) {
        const int64_t start = s.start[kind], near = up(s.angular[kind], width<T>) + width<T>;
        for (int64_t k = start; k < start + near; k += width<T>) {
            cutoff<T>(load(s.r + k), static_cast<T>(c.angular_cutoff), c.smooth, s.fa + k, s.dfa + k);
        }
    }
}

// Fills the slots of atom i; returns -1, or the edge that is invalid.
template <class T>
int64_t gather(const AevTask<T>& task, const Slots<T>& s, const Gathering& g, int64_t i) {
    const Extent extent = measure_edges(task, i, g.r2);
    const int64_t bad = fault(task, i, g.r2, extent);
    if (bad >= 0) return bad;
    if (task.constants->num_species == 1) sort_one(task, s, i, g.r2, extent);
    else sort_many(task, s, i, g);
    measure_slots(*task.constants, s);
    return -1;
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
