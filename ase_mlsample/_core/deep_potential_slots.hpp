// An atom's neighbours and their rows of the environment matrix. Included only by deep_potential_kernels.cpp.
#pragma once

#include "deep_potential_kernels.hpp"
#include "edge_slots.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// s = w/r, the slope ds/dr, the row (s, s u), and where s lies in the tables: interval, place in it, and the slope of
// the place by r. Slots that fill up have s = 0.
template <class T>
struct Environment : EdgeSlots<T> {
    T *s, *slope, *sx, *sy, *sz;
    int32_t* interval;
    T *place, *place_slope;
};

template <class T>
int64_t layout(Environment<T>& e, const DeepPotentialConstants<T>& c, int64_t most, void* base) {
    const int64_t slots = most_slots<T>(c.num_species, most);
    Arena arena{reinterpret_cast<uintptr_t>(base)};
    take_slots<T>(e, arena, c.num_species, slots);
    arena.take(slots, e.s, e.slope, e.sx, e.sy, e.sz, e.interval, e.place, e.place_slope);
    return static_cast<int64_t>(arena.at - reinterpret_cast<uintptr_t>(base));
}

template <class T>
void measure_environment(const DeepPotentialConstants<T>& c, const Environment<T>& e) {
    const T start = static_cast<T>(c.switch_start), scale = static_cast<T>(1 / (c.cutoff - c.switch_start));
    typedef int32_t Whole __attribute__((vector_size(4 * width<T>)));
    const Vec<T> zero{}, one = splat<T>(T(1));
    const Whole last = c.intervals - 1 - Whole{};
    for (int64_t k = 0; k < *e.used; k += width<T>) {
        const Vec<T> inverse = load(e.inverse + k), x = (load(e.r + k) - start) * scale;
        const Vec<T> u = x < zero ? zero : x > one ? one : x, rest = one - u;
        // 1 - w = u^3 (6 u^2 - 15 u + 10) from the side where it is small: w must vanish at the cutoff exactly
        const Vec<T> w = rest * rest * rest * (T(1) + u * (T(3) + T(6) * u));
        const Vec<T> s = w * inverse, slope = (T(-30) * scale * u * u * rest * rest - s) * inverse;
        store<T>(e.s + k, s), store<T>(e.slope + k, slope);
        store<T>(e.sx + k, s * load(e.ux + k));
        store<T>(e.sy + k, s * load(e.uy + k));
        store<T>(e.sz + k, s * load(e.uz + k));
        if (c.intervals == 0) continue;
        const Vec<T> share = T(1) / (s + T(1)), at = s * share * T(c.intervals);
        const Whole below = __builtin_convertvector(at, Whole), interval = below > last ? last : below;
        __builtin_memcpy(e.interval + k, &interval, sizeof interval);
        store<T>(e.place + k, at - __builtin_convertvector(interval, Vec<T>));
        store<T>(e.place_slope + k, slope * share * share * T(c.intervals));
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
