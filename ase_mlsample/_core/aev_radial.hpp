// Radial part: sum over the neighbours of one species of 0.25 exp(-eta (r - R_m)^2) f_c(r), vectorised over the
// neighbours. Included only by aev_kernels.cpp.
#pragma once

#include "aev_centre.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// The terms' derivatives by the distance for one vector of neighbours and every shift.
template <class T>
MLSAMPLE_INLINE void radial_slopes(const AevConstants<T>& c, const Workspace<T>& w, int64_t slot) {
    const Vec<T> f = load(w.s.fr + slot) * T(0.25), df = load(w.s.dfr + slot) * T(0.25);
    const Vec<T> factor = f * (-2 * c.radial.eta);
    gaussians<T>(c.radial, load(w.s.r + slot), [&](int m, Vec<T> x, Vec<T> gauss) MLSAMPLE_LAMBDA {
        w.radial_term[m] = gauss * (df + x * factor);
    });
}

template <class T>
void radial_forward(const AevTask<T>& task, const Workspace<T>& w, int kind, T* out) {
    const AevConstants<T>& c = *task.constants;
    const int64_t end = w.s.start[kind] + w.s.all[kind], rows = w.radial_rows;
    for (int64_t m = 0; m < rows; ++m) w.sums[m] = Vec<T>{};
    for (int64_t slot = w.s.start[kind]; slot < end; slot += width<T>) {
        const Vec<T> f = load(w.s.fr + slot) * T(0.25);
        gaussians<T>(c.radial, load(w.s.r + slot), [&](int m, Vec<T>, Vec<T> gauss) MLSAMPLE_LAMBDA {
            w.sums[m] += gauss * f;
        });
    }
    sum_lanes<T>(w.sums, static_cast<int>(rows), w.lane_sums);
    for (int m = 0; m < c.radial.count; ++m) out[w.s.present[kind] * c.radial.count + m] = w.lane_sums[m];
}

// slope (slots) of `Members` members from their rows of g.
template <class T, int Members>
MLSAMPLE_INLINE void radial_contract(const Vec<T>* terms, int count, const T* g, int64_t stride, T* slope,
                                     int64_t slots) {
    Vec<T> sum[Members]{}, odd[Members]{};
    int m = 0;
    for (; m + 1 < count; m += 2) {
#pragma GCC unroll 8
        for (int b = 0; b < Members; ++b) {
            sum[b] += terms[m] * g[b * stride + m];
            odd[b] += terms[m + 1] * g[b * stride + m + 1];
        }
    }
#pragma GCC unroll 8
    for (int b = 0; b < Members; ++b) {
        if (m < count) sum[b] += terms[m] * g[b * stride + m];
        store<T>(slope + b * slots, sum[b] + odd[b]);
    }
}

// slope (M, slots) = dE/dr for g (M rows of one atom, `stride` apart).
template <class T>
void radial_gradient(const AevTask<T>& task, const Workspace<T>& w, int kind, const T* g, int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    const int64_t end = w.s.start[kind] + w.s.all[kind], slots = w.slots;
    g += w.s.present[kind] * c.radial.count;
    for (int64_t slot = w.s.start[kind]; slot < end; slot += width<T>) {
        radial_slopes(c, w, slot);
        T* slope = w.slope + slot;
        int k = 0;
        for (; k + 4 <= task.members; k += 4) {
            radial_contract<T, 4>(w.radial_term, c.radial.count, g + k * stride, stride, slope + k * slots, slots);
        }
        for (; k < task.members; ++k) {
            radial_contract<T, 1>(w.radial_term, c.radial.count, g + k * stride, stride, slope + k * slots, slots);
        }
    }
}

// out (M rows, `stride` apart) from the speeds dr/dt (M, slots).
template <class T>
void radial_tangent(const AevTask<T>& task, const Workspace<T>& w, int kind, T* out, int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    const int64_t end = w.s.start[kind] + w.s.all[kind], rows = w.radial_rows;
    for (int64_t m = 0; m < rows * task.members; ++m) w.sums[m] = Vec<T>{};
    for (int64_t slot = w.s.start[kind]; slot < end; slot += width<T>) {
        radial_slopes(c, w, slot);
        for (int k = 0; k < task.members; ++k) {
            const Vec<T> speed = load(w.speed + k * w.slots + slot);
            for (int m = 0; m < c.radial.count; ++m) w.sums[k * rows + m] += w.radial_term[m] * speed;
        }
    }
    for (int k = 0; k < task.members; ++k) {
        sum_lanes<T>(w.sums + k * rows, static_cast<int>(rows), w.lane_sums);
        T* row = out + k * stride + w.s.present[kind] * c.radial.count;
        for (int m = 0; m < c.radial.count; ++m) row[m] = w.lane_sums[m];
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
