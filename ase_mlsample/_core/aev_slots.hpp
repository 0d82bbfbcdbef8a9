// One atom's surroundings as aligned arrays. Included only by aev_kernels.cpp.
#pragma once

#include "aev_kernels.hpp"
#include "edge_slots.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// The near neighbours are those within the angular cutoff; slots that fill up have f = 0.
template <class T>
struct Slots : EdgeSlots<T> {
    T *fr, *dfr, *fa, *dfa;  // fa and dfa up to one vector past the angular neighbours
};

// Sets the pointers into the memory at `base` and returns the bytes needed.
template <class T>
int64_t layout(Slots<T>& s, const AevConstants<T>& c, int64_t most, void* base) {
    const int64_t slots = most_slots<T>(c.num_species, most);
    Arena arena{reinterpret_cast<uintptr_t>(base)};
    take_slots<T>(s, arena, c.num_species, slots);
    arena.take(slots, s.fr, s.dfr, s.fa, s.dfa);
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

template <class T>
void measure_cutoffs(const AevConstants<T>& c, const Slots<T>& s) {
    const int64_t end = *s.used + width<T>;
    for (int64_t k = 0; k < end; k += width<T>) {
        cutoff<T>(load(s.r + k), static_cast<T>(c.radial_cutoff), c.smooth, s.fr + k, s.dfr + k);
    }
    for (int kind = 0; kind < *s.kinds; ++kind) {
        const int64_t start = s.start[kind], near = up(s.near[kind], width<T>) + width<T>;
        for (int64_t k = start; k < start + near; k += width<T>) {
            cutoff<T>(load(s.r + k), static_cast<T>(c.angular_cutoff), c.smooth, s.fa + k, s.dfa + k);
        }
    }
}

// Fills the slots of atom i; returns -1, or the edge that is invalid.
template <class T>
int64_t gather(const AevTask<T>& task, const Slots<T>& s, const Gathering& g, int64_t i) {
    const AevConstants<T>& c = *task.constants;
    const Edges edges{task.species, task.first,    task.second,     task.vectors,    task.low,
                      task.high,    c.num_species, c.radial_cutoff, c.angular_cutoff};
    const int64_t bad = gather_edges<T>(edges, s, g, i);
    if (bad < 0) measure_cutoffs(c, s);
    return bad;
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
