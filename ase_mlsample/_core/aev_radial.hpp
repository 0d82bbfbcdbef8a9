// Radial part: sum over the neighbours of one species of 0.25 exp(-eta (r - R_m)^2) f_c(r), vectorised over the
// neighbours. Included only by aev_kernels.cpp.
#pragma once

#include "aev_centre.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr double log2_e = 1.4426950408889634;

// The terms of one vector of neighbours (or their derivatives by the distance) for every shift.
template <class T, bool Derivative>
MLSAMPLE_INLINE void radial_terms(const AevConstants<T>& c, const Workspace<T>& w, int64_t slot) {
    const Vec<T> r = load(w.r + slot), f = load(w.fr + slot) * T(0.25), df = load(w.dfr + slot) * T(0.25);
    const T scale = -c.radial_eta * T(log2_e), twice = -2 * c.radial_eta;
    for (int m = 0; m < c.n_radial; ++m) {
        const Vec<T> x = r - c.radial_shifts[m], gauss = exp2<T>(x * x * scale);
        w.radial_term[m] = Derivative ? gauss * (df + x * f * twice) : gauss * f;
    }
}

template <class T>
void radial_forward(const AevTask<T>& task, const Workspace<T>& w, int kind, T* out) {
    const AevConstants<T>& c = *task.constants;
    const int64_t end = w.start[kind] + w.all[kind], rows = w.radial_rows;
    for (int64_t m = 0; m < rows; ++m) w.sums[m] = Vec<T>{};
    for (int64_t slot = w.start[kind]; slot < end; slot += width<T>) {
        radial_terms<T, false>(c, w, slot);
        for (int m = 0; m < c.n_radial; ++m) w.sums[m] += w.radial_term[m];
    }
    sum_lanes<T>(w.sums, static_cast<int>(rows), w.lane_sums);
    for (int m = 0; m < c.n_radial; ++m) out[w.present[kind] * c.n_radial + m] = w.lane_sums[m];
}

// slope (M, slots) = dE/dr for g (M rows of one atom, `stride` apart).
template <class T>
void radial_gradient(const AevTask<T>& task, const Workspace<T>& w, int kind, const T* g, int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    const int64_t end = w.start[kind] + w.all[kind];
    for (int64_t slot = w.start[kind]; slot < end; slot += width<T>) {
        radial_terms<T, true>(c, w, slot);
        for (int k = 0; k < task.members; ++k) {
            const T* row = g + k * stride + w.present[kind] * c.n_radial;
            Vec<T> even{}, odd{};
            int m = 0;
            for (; m + 1 < c.n_radial; m += 2) {
                even += w.radial_term[m] * row[m];
                odd += w.radial_term[m + 1] * row[m + 1];
            }
            if (m < c.n_radial) even += w.radial_term[m] * row[m];
            store<T>(w.slope + k * w.slots + slot, even + odd);
        }
    }
}

// out (M rows, `stride` apart) from the speeds dr/dt (M, slots).
template <class T>
void radial_tangent(const AevTask<T>& task, const Workspace<T>& w, int kind, T* out, int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    const int64_t end = w.start[kind] + w.all[kind], rows = w.radial_rows;
    for (int64_t m = 0; m < rows * task.members; ++m) w.sums[m] = Vec<T>{};
    for (int64_t slot = w.start[kind]; slot < end; slot += width<T>) {
        radial_terms<T, true>(c, w, slot);
        for (int k = 0; k < task.members; ++k) {
            const Vec<T> speed = load(w.speed + k * w.slots + slot);
            for (int m = 0; m < c.n_radial; ++m) w.sums[k * rows + m] += w.radial_term[m] * speed;
        }
    }
    for (int k = 0; k < task.members; ++k) {
        sum_lanes<T>(w.sums + k * rows, static_cast<int>(rows), w.lane_sums);
        for (int m = 0; m < c.n_radial; ++m) out[k * stride + w.present[kind] * c.n_radial + m] = w.lane_sums[m];
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
