// Angular part: sum over pairs of neighbours of R_m(mean distance) A_p(angle) f_c f_c. Pairs of one pair of species
// are packed into contiguous arrays and treated a vector at a time; R and A are factors, so that the sums, their
// contraction with gradients and their tangents are products of small matrices. Included only by aev_kernels.cpp.
#pragma once

#include "aev_pairs.hpp"
#include "aev_radial.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr double log2_e = 1.4426950408889634;

enum class Mode { forward, gradient, tangent };

// 2 (1 - square)^(zeta - 1), where square = sin^2((theta - theta_p) / 2) = x^2.
template <class T>
MLSAMPLE_INLINE Vec<T> raise(const AevConstants<T>& c, Vec<T> square, Vec<T> x) {
    const AevPower<T>& power = c.power;
    if (power.fitted) {
        Vec<T> rest = square * polynomial<T>(square, power.coefficients, 7);
        for (int k = 0; k < power.early; ++k) rest *= T(2) - rest;
        Vec<T> result = T(1) - rest;
        for (int k = 0; k < power.late; ++k) result *= result;
        return result + result;
    }
    // what rounding 1 - sin^2 loses is put back into the logarithm, as the power would magnify it
    const Vec<T> raw = T(1) - square, lost = (T(1) - raw) - x * x, low = splat<T>(Lanes<T>::tiny);
    const Vec<T> y = raw > low ? raw : low;
    return exp2<T>((log2<T>(y) + lost * T(log2_e)) * (c.zeta - 1)) * T(2);
}

// R_m of the packed pairs [at, at + n) and, on request, dR/d(mean). Without derivatives R carries the weight.
template <class T, bool Derivative>
__attribute__((noinline)) void distance_terms(const AevConstants<T>& c, const Workspace<T>& w, int64_t at, int64_t n) {
    const T twice = -2 * c.angular.eta;
    for (int64_t v = 0; v < n; v += width<T>) {
        const Vec<T> mean = load(w.mean + at + v), weight = load(w.weight + at + v);
        T *radial = w.radial + v, *d_radial = w.d_radial + v;
        gaussians<T>(c.angular, mean, [&](int m, Vec<T> x, Vec<T> gauss) MLSAMPLE_LAMBDA {
            store<T>(radial + m * chunk_row<T>, Derivative ? gauss : gauss * weight);
            if (Derivative) store<T>(d_radial + m * chunk_row<T>, x * gauss * twice);
        });
    }
}

// A_p and, on request, dA/d(0.95 cosine), with y = (1 + cos(theta - theta_p)) / 2 = 1 - sin^2((theta - theta_p) / 2).
template <class T, bool Derivative>
__attribute__((noinline)) void angle_terms(const AevConstants<T>& c, const Workspace<T>& w, int64_t at, int64_t n) {
    const T half_zeta = c.zeta * T(0.5);
    for (int64_t v = 0; v < n; v += width<T>) {
        const Vec<T> cosine = load(w.cosine + at + v);
        const Vec<T> cc = T(0.5) + cosine * T(0.5), ss = T(0.5) - cosine * T(0.5);
        Vec<T> ch, sh, ratio;
        if constexpr (sizeof(T) == 4) {
            const Vec<T> by_ch = inverse_root(cc), by_sh = inverse_root(ss);
            ch = cc * by_ch, sh = ss * by_sh;
            ratio = cosine * T(0.5) * (by_ch * by_sh);
        } else {
            ch = root<T>(cc), sh = root<T>(ss);
            ratio = cosine / (sh * ch * T(2));
        }
        for (int p = 0; p < c.n_sections; ++p) {
            const Vec<T> x = sh * c.cos_half_sections[p] - ch * c.sin_half_sections[p], square = x * x;
            const Vec<T> raised = raise<T>(c, square, x);
            store<T>(w.angle + p * chunk_row<T> + v, raised * (T(1) - square));
            if (Derivative) {
                const Vec<T> slope = (c.cos_sections[p] - ratio * c.sin_sections[p]) * half_zeta;
                store<T>(w.d_angle + p * chunk_row<T> + v, raised * slope);
            }
        }
    }
}

template <class T, bool Derivative>
MLSAMPLE_INLINE void angular_terms(const AevConstants<T>& c, const Workspace<T>& w, int64_t at, int64_t n) {
    distance_terms<T, Derivative>(c, w, at, n);
    angle_terms<T, Derivative>(c, w, at, n);
}

// sums (shifts, sections) += radial angle^T [+ d_radial d_angle^T] over n pairs, lane by lane, in 2 x 4 blocks.
template <class T, bool Both>
void outer(const Workspace<T>& w, const T* radial, const T* d_radial, int64_t n, Vec<T>* sums) {
    for (int m = 0; m < w.shifts; m += 2) {
        for (int p = 0; p < w.sections; p += 4) {
            Vec<T> s[2][4];
            for (int a = 0; a < 2; ++a) {
                for (int b = 0; b < 4; ++b) s[a][b] = sums[(m + a) * w.sections + p + b];
            }
            for (int64_t v = 0; v < n; v += width<T>) {
                const T *x = radial + m * chunk_row<T> + v, *y = w.angle + p * chunk_row<T> + v;
                const T *dx = d_radial + m * chunk_row<T> + v, *dy = w.d_angle + p * chunk_row<T> + v;
                for (int a = 0; a < 2; ++a) {
                    for (int b = 0; b < 4; ++b) {
                        s[a][b] += load(x + a * chunk_row<T>) * load(y + b * chunk_row<T>);
                        if (Both) s[a][b] += load(dx + a * chunk_row<T>) * load(dy + b * chunk_row<T>);
                    }
                }
            }
            for (int a = 0; a < 2; ++a) {
                for (int b = 0; b < 4; ++b) sums[(m + a) * w.sections + p + b] = s[a][b];
            }
        }
    }
}

// For `Members` members from `member` on and `Vectors` vectors of pairs: with F = sum_mp g_mp R_m A_p, stores
// F, weight / 2 dF/d(mean) and weight dF/d(0.95 cosine).
template <class T, int Members, int Vectors>
MLSAMPLE_INLINE void contract(const AevConstants<T>& c, const Workspace<T>& w, const T* g, int64_t stride, int member,
                              int64_t at, int64_t v) {
    Vec<T> value[Members][Vectors]{}, by_mean[Members][Vectors]{}, by_cosine[Members][Vectors]{};
    g += member * stride;
    for (int p = 0; p < c.n_sections; ++p) {
        Vec<T> h[Members][Vectors]{}, dh[Members][Vectors]{};
        const T *r = w.radial + v, *dr = w.d_radial + v;
        for (int m = 0; m < c.angular.count; ++m) {
            const T* factors = g + m * c.n_sections + p;
#pragma GCC unroll 8
            for (int b = 0; b < Members; ++b) {
                const Vec<T> factor = splat<T>(factors[b * stride]);
#pragma GCC unroll 8
                for (int q = 0; q < Vectors; ++q) {
                    h[b][q] += load(r + m * chunk_row<T> + q * width<T>) * factor;
                    dh[b][q] += load(dr + m * chunk_row<T> + q * width<T>) * factor;
                }
            }
        }
        const T *a = w.angle + p * chunk_row<T> + v, *da = w.d_angle + p * chunk_row<T> + v;
#pragma GCC unroll 8
        for (int q = 0; q < Vectors; ++q) {
            const Vec<T> angle = load(a + q * width<T>), d_angle = load(da + q * width<T>);
#pragma GCC unroll 8
            for (int b = 0; b < Members; ++b) {
                value[b][q] += h[b][q] * angle;
                by_mean[b][q] += dh[b][q] * angle;
                by_cosine[b][q] += h[b][q] * d_angle;
            }
        }
    }
#pragma GCC unroll 8
    for (int q = 0; q < Vectors; ++q) {
        const int64_t pair = at + v + q * width<T>;
        const Vec<T> weight = load(w.weight + pair);
#pragma GCC unroll 8
        for (int b = 0; b < Members; ++b) {
            T* out = w.packed + 3 * (member + b) * w.pairs + pair;
            store<T>(out, value[b][q]);
            store<T>(out + w.pairs, by_mean[b][q] * weight * T(0.5));
            store<T>(out + 2 * w.pairs, by_cosine[b][q] * weight);
        }
    }
}

template <class T, int Members, int Vectors>
__attribute__((noinline)) void contract_chunk(const AevConstants<T>& c, const Workspace<T>& w, const T* g,
                                              int64_t stride, int member, int64_t at, int64_t n) {
    int64_t v = 0;
    for (; v + Vectors * width<T> <= n; v += Vectors * width<T>) {
        contract<T, Members, Vectors>(c, w, g, stride, member, at, v);
    }
    for (; v < n; v += width<T>) contract<T, Members, 1>(c, w, g, stride, member, at, v);
}

template <class T, int Members>
MLSAMPLE_INLINE void add_to_ends(const Workspace<T>& w, const Pairs& pairs, int member, int row, int end) {
    add_to_lanes<T, Members>(w, pairs, member, row, end);
    add_to_tiles<T, Members>(w, pairs, member, row, end);
}

template <class T>
void gradient_pairs(const AevTask<T>& task, const Workspace<T>& w, const Pairs& pairs, const T* g, int64_t stride,
                    int64_t total, int row, int end) {
    const AevConstants<T>& c = *task.constants;
    for (int64_t at = 0; at < total; at += chunk_pairs) {
        const int64_t n = total - at < chunk_pairs ? up(total - at, width<T>) : chunk_pairs;
        angular_terms<T, true>(c, w, at, n);
        int k = 0;
        for (; k + 4 <= task.members; k += 4) contract_chunk<T, 4, 1>(c, w, g + pairs.offset, stride, k, at, n);
        for (; k + 2 <= task.members; k += 2) contract_chunk<T, 2, 2>(c, w, g + pairs.offset, stride, k, at, n);
        for (; k < task.members; ++k) contract_chunk<T, 1, 4>(c, w, g + pairs.offset, stride, k, at, n);
    }
    int k = 0;
    for (; k + 4 <= task.members; k += 4) add_to_ends<T, 4>(w, pairs, k, row, end);
    for (; k < task.members; ++k) add_to_ends<T, 1>(w, pairs, k, row, end);
}

template <class T>
void tangent_pairs(const AevTask<T>& task, const Workspace<T>& w, int64_t total) {
    const AevConstants<T>& c = *task.constants;
    const int64_t size = w.angular_rows;
    for (int64_t at = 0; at < total; at += chunk_pairs) {
        const int64_t n = total - at < chunk_pairs ? up(total - at, width<T>) : chunk_pairs;
        angular_terms<T, true>(c, w, at, n);
        for (int k = 0; k < task.members; ++k) {
            const T* rates = w.packed + 3 * k * w.pairs + at;
            for (int64_t v = 0; v < n; v += width<T>) {
                const Vec<T> a = load(rates + v), b = load(rates + w.pairs + v), d = load(rates + 2 * w.pairs + v);
                for (int m = 0; m < c.angular.count; ++m) {
                    const int64_t t = m * chunk_row<T> + v;
                    const Vec<T> r = load(w.radial + t);
                    store<T>(w.product + t, r * a + load(w.d_radial + t) * b);
                    store<T>(w.d_product + t, r * d);
                }
            }
            outer<T, true>(w, w.product, w.d_product, n, w.sums + k * size);
        }
    }
}

template <class T>
void forward_pairs(const AevTask<T>& task, const Workspace<T>& w, int64_t total) {
    for (int64_t at = 0; at < total; at += chunk_pairs) {
        const int64_t n = total - at < chunk_pairs ? up(total - at, width<T>) : chunk_pairs;
        angular_terms<T, false>(*task.constants, w, at, n);
        outer<T, false>(w, w.radial, w.radial, n, w.sums);
    }
}

// One pair of species. The atom's weights g (gradient) or results out are `stride` apart for the members.
template <class T, Mode mode>
void angular_pairs(const AevTask<T>& task, const Workspace<T>& w, const Pairs& pairs, const T* g, T* out,
                   int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    const int64_t size = w.angular_rows;
    if (mode != Mode::gradient) {
        for (int64_t k = 0; k < size * task.members; ++k) w.sums[k] = Vec<T>{};
    }
    repeat_partners(w, pairs);
    if (mode == Mode::gradient) clear_tiles(w, pairs, task.members);
    if (mode == Mode::tangent) repeat_rates(w, pairs, task.members);
    for (int row = pairs.first, end; row < pairs.end; row = end) {
        const int rows = block_pairs > pairs.lanes ? block_pairs / pairs.lanes : 1;
        end = row + rows < pairs.end ? row + rows : pairs.end;
        const int64_t total = static_cast<int64_t>(end - row) * pairs.lanes;
        pack_rows(w, pairs, row, end);
        for (int k = 0; k < task.members && mode == Mode::tangent; ++k) pack_rates(w, pairs, k, row, end);
        if (mode == Mode::forward) forward_pairs(task, w, total);
        if (mode == Mode::gradient) gradient_pairs(task, w, pairs, g, stride, total, row, end);
        if (mode == Mode::tangent) tangent_pairs(task, w, total);
    }
    if (mode == Mode::gradient) fold_tiles(w, pairs, task.members);
    for (int k = 0; k < task.members && mode != Mode::gradient; ++k) {
        sum_lanes<T>(w.sums + k * size, static_cast<int>(size), w.lane_sums);
        T* block = out + k * stride + pairs.offset;
        for (int m = 0; m < c.angular.count; ++m) {
            for (int p = 0; p < c.n_sections; ++p) block[m * c.n_sections + p] = w.lane_sums[m * w.sections + p];
        }
    }
}

template <class T, Mode mode>
void angular(const AevTask<T>& task, const Workspace<T>& w, int kinds, const T* g, T* out, int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    for (int a = 0; a < kinds; ++a) {
        for (int b = a; b < kinds; ++b) {
            // the side with more neighbours in lanes
            const int sa = w.s.present[a], sb = w.s.present[b], na = w.s.near[a], nb = w.s.near[b];
            const int lanes = na > nb ? na : nb, partners = na > nb ? nb : na;
            if (partners == 0 || (a == b && partners == 1)) continue;
            const int index = sa * c.num_species - sa * (sa - 1) / 2 + sb - sa;
            const Pairs pairs{w.s.start[na > nb ? a : b], w.s.start[na > nb ? b : a], lanes, partners, a == b,
                              a == b ? partners / 2 + 1 : partners, a == b,
                              c.num_species * c.radial.count + index * c.angular.count * c.n_sections};
            angular_pairs<T, mode>(task, w, pairs, g, out, stride);
        }
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
