// Angular part: sum over pairs of neighbours of R_m(mean distance) A_p(angle) f_c f_c. Pairs of one pair of species
// are packed into contiguous arrays and treated a vector at a time; R and A are factors, so that the sums, their
// contraction with gradients and their tangents are products of small matrices. Included only by aev_kernels.cpp.
#pragma once

#include "aev_radial.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr double shrink = 0.95;  // theta = acos(0.95 cos theta) keeps derivatives finite [TorchANI]

enum class Mode { forward, gradient, tangent };

// The pairs of neighbours of one pair of species: each row is one slot j with a run of slots k.
struct Pairs {
    int64_t start_a, start_b;
    int rows, nb;
    bool same;
    int offset;  // of the pair's block in the AEV
    MLSAMPLE_INLINE int64_t first(int row) const { return same ? start_a + row + 1 : start_b; }
    MLSAMPLE_INLINE int64_t count(int row) const { return same ? nb - row - 1 : nb; }
};

// Mean distance, 0.95 cosine and weight of the pairs of one row, written from `at` on; lanes past the row's end are
// overwritten by the next row.
template <class T>
MLSAMPLE_INLINE void pack_row(const Workspace<T>& w, int64_t j, int64_t first, int64_t count, int64_t at) {
    const T x = w.ux[j] * T(shrink), y = w.uy[j] * T(shrink), z = w.uz[j] * T(shrink), half = T(0.5) * w.r[j];
    for (int64_t q = 0; q < count; q += width<T>) {
        const int64_t k = first + q;
        store<T>(w.cosine + at + q, load(w.ux + k) * x + load(w.uy + k) * y + load(w.uz + k) * z);
        store<T>(w.mean + at + q, load(w.r + k) * T(0.5) + half);
        store<T>(w.weight + at + q, load(w.fa + k) * w.fa[j]);
    }
}

// Rates of change of one row's weight, of weight x mean distance and weight x 0.95 cosine, for one member.
template <class T>
MLSAMPLE_INLINE void pack_rates(const Workspace<T>& w, int k, int64_t j, int64_t first, int64_t count, int64_t at) {
    const T *tx = w.tangent + 3 * k * w.slots, *ty = tx + w.slots, *tz = ty + w.slots;
    const T *speed = w.speed + k * w.slots, fa = w.fa[j], dfa = w.dfa[j] * speed[j];
    T *d_weight = w.packed + 3 * k * w.pairs, *d_mean = d_weight + w.pairs, *d_cosine = d_mean + w.pairs;
    for (int64_t q = 0; q < count; q += width<T>) {
        const int64_t n = first + q;
        const Vec<T> f = load(w.fa + n), rate = load(speed + n), weight = f * fa;
        const Vec<T> turn = load(w.ux + n) * tx[j] + load(w.uy + n) * ty[j] + load(w.uz + n) * tz[j] +
                            load(tx + n) * w.ux[j] + load(ty + n) * w.uy[j] + load(tz + n) * w.uz[j];
        store<T>(d_weight + at + q, f * dfa + load(w.dfa + n) * rate * fa);
        store<T>(d_mean + at + q, weight * T(0.5) * (rate + speed[j]));
        store<T>(d_cosine + at + q, weight * T(shrink) * turn);
    }
}

// R_m and A_p of the packed pairs [at, at + n) and, on request, dR/d(mean) and dA/d(0.95 cosine). Without
// derivatives R carries the weight.
template <class T, bool Derivative>
void angular_terms(const AevConstants<T>& c, const Workspace<T>& w, int64_t at, int64_t n) {
    const T scale = -c.angular_eta * T(log2_e), twice = -2 * c.angular_eta;
    const T power = Derivative ? c.zeta - 1 : c.zeta;
    for (int64_t v = 0; v < n; v += width<T>) {
        const Vec<T> mean = load(w.mean + at + v), cosine = load(w.cosine + at + v), weight = load(w.weight + at + v);
        for (int m = 0; m < c.n_shifts; ++m) {
            const Vec<T> x = mean - c.angular_shifts[m], gauss = exp2<T>(x * x * scale);
            store<T>(w.radial + m * chunk_pairs + v, Derivative ? gauss : gauss * weight);
            if (Derivative) store<T>(w.d_radial + m * chunk_pairs + v, x * gauss * twice);
        }
        // y = (1 + cos(theta - theta_p)) / 2 = 1 - sin^2((theta - theta_p) / 2): what rounding 1 - sin^2 loses is
        // put back into the logarithm, as the power would magnify it
        const Vec<T> ch = root<T>(T(0.5) + cosine * T(0.5)), sh = root<T>(T(0.5) - cosine * T(0.5));
        const Vec<T> ratio = cosine / (sh * ch * T(2)), low = splat<T>(Lanes<T>::tiny);
        for (int p = 0; p < c.n_sections; ++p) {
            const Vec<T> x = sh * c.cos_half_sections[p] - ch * c.sin_half_sections[p];
            const Vec<T> raw = T(1) - x * x, lost = (T(1) - raw) - x * x, y = raw > low ? raw : low;
            const Vec<T> raised = exp2<T>((log2<T>(y) + lost * T(log2_e)) * power) * T(2);
            store<T>(w.angle + p * chunk_pairs + v, Derivative ? raised * y : raised);
            if (Derivative) {
                const Vec<T> slope = (c.cos_sections[p] - ratio * c.sin_sections[p]) * (c.zeta * T(0.5));
                store<T>(w.d_angle + p * chunk_pairs + v, raised * slope);
            }
        }
    }
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
                const T *x = radial + m * chunk_pairs + v, *y = w.angle + p * chunk_pairs + v;
                const T *dx = d_radial + m * chunk_pairs + v, *dy = w.d_angle + p * chunk_pairs + v;
                for (int a = 0; a < 2; ++a) {
                    for (int b = 0; b < 4; ++b) {
                        s[a][b] += load(x + a * chunk_pairs) * load(y + b * chunk_pairs);
                        if (Both) s[a][b] += load(dx + a * chunk_pairs) * load(dy + b * chunk_pairs);
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
    for (int m = 0; m < c.n_shifts; ++m) {
        Vec<T> h[Members][Vectors]{}, dh[Members][Vectors]{};
        for (int p = 0; p < c.n_sections; ++p) {
            const T *a = w.angle + p * chunk_pairs + v, *da = w.d_angle + p * chunk_pairs + v;
            for (int b = 0; b < Members; ++b) {
                const T factor = g[(member + b) * stride + m * c.n_sections + p];
                for (int q = 0; q < Vectors; ++q) {
                    h[b][q] += load(a + q * width<T>) * factor;
                    dh[b][q] += load(da + q * width<T>) * factor;
                }
            }
        }
        for (int q = 0; q < Vectors; ++q) {
            const Vec<T> r = load(w.radial + m * chunk_pairs + v + q * width<T>);
            const Vec<T> dr = load(w.d_radial + m * chunk_pairs + v + q * width<T>);
            for (int b = 0; b < Members; ++b) {
                value[b][q] += r * h[b][q];
                by_mean[b][q] += dr * h[b][q];
                by_cosine[b][q] += r * dh[b][q];
            }
        }
    }
    for (int q = 0; q < Vectors; ++q) {
        const int64_t pair = at + v + q * width<T>;
        const Vec<T> weight = load(w.weight + pair);
        for (int b = 0; b < Members; ++b) {
            T* out = w.packed + 3 * (member + b) * w.pairs + pair;
            store<T>(out, value[b][q]);
            store<T>(out + w.pairs, by_mean[b][q] * weight * T(0.5));
            store<T>(out + 2 * w.pairs, by_cosine[b][q] * weight);
        }
    }
}

template <class T, int Members, int Vectors>
void contract_chunk(const AevConstants<T>& c, const Workspace<T>& w, const T* g, int64_t stride, int member,
                    int64_t at, int64_t n) {
    int64_t v = 0;
    for (; v + Vectors * width<T> <= n; v += Vectors * width<T>) {
        contract<T, Members, Vectors>(c, w, g, stride, member, at, v);
    }
    for (; v < n; v += width<T>) contract<T, Members, 1>(c, w, g, stride, member, at, v);
}

// Distributes what contract stored for one row onto its atom j and onto the slots k: the part of dE/d(vector) along
// the direction, and the sum over partners of dE/d(0.95 cosine) times their direction.
template <class T, int Members>
MLSAMPLE_INLINE void unpack_row(const Workspace<T>& w, int member, int64_t j, int64_t first, int64_t count,
                                int64_t at) {
    typedef typename Lanes<T>::I I;
    constexpr int rows = (4 * Members + width<T> - 1) / width<T> * width<T>;
    Vec<T> mine[rows]{};
    const T fj = w.fa[j], dfj = w.dfa[j], inverse = w.inverse[j], x = w.ux[j], y = w.uy[j], z = w.uz[j];
    I lane{};
    for (int k = 0; k < width<T>; ++k) lane[k] = k;
    for (int64_t q = 0; q < count; q += width<T>) {
        const int64_t k = first + q;
        const I inside = lane < (I{} + static_cast<decltype(+lane[0])>(count - q));
        const Vec<T> cosine = load(w.cosine + at + q), ux = load(w.ux + k), uy = load(w.uy + k), uz = load(w.uz + k);
        const Vec<T> by_j = load(w.fa + k) * dfj, by_k = load(w.dfa + k) * fj;
        const Vec<T> turn_j = cosine * inverse, turn_k = cosine * load(w.inverse + k);
        for (int b = 0; b < Members; ++b) {
            const T* in = w.packed + 3 * (member + b) * w.pairs + at + q;
            const Vec<T> e0 = (Vec<T>)((I)load(in) & inside), e1 = (Vec<T>)((I)load(in + w.pairs) & inside),
                         e2 = (Vec<T>)((I)load(in + 2 * w.pairs) & inside);
            mine[4 * b] += e1 + by_j * e0 - turn_j * e2;
            mine[4 * b + 1] += ux * e2;
            mine[4 * b + 2] += uy * e2;
            mine[4 * b + 3] += uz * e2;
            T *along = w.along + (member + b) * w.slots + k, *tx = w.turn + 3 * (member + b) * w.slots + k;
            T *ty = tx + w.slots, *tz = ty + w.slots;
            store<T>(along, load(along) + (e1 + by_k * e0 - turn_k * e2));
            store<T>(tx, load(tx) + e2 * x);
            store<T>(ty, load(ty) + e2 * y);
            store<T>(tz, load(tz) + e2 * z);
        }
    }
    T total[rows];
    sum_lanes<T>(mine, rows, total);
    for (int b = 0; b < Members; ++b) {
        w.along[(member + b) * w.slots + j] += total[4 * b];
        for (int a = 0; a < 3; ++a) w.turn[(3 * (member + b) + a) * w.slots + j] += total[4 * b + 1 + a];
    }
}

template <class T, int Members>
void unpack_rows(const Workspace<T>& w, const Pairs& pairs, int member, int row, int end) {
    int64_t at = 0;
    for (; row < end; ++row) {
        unpack_row<T, Members>(w, member, pairs.start_a + row, pairs.first(row), pairs.count(row), at);
        at += pairs.count(row);
    }
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
    for (; k + 4 <= task.members; k += 4) unpack_rows<T, 4>(w, pairs, k, row, end);
    for (; k < task.members; ++k) unpack_rows<T, 1>(w, pairs, k, row, end);
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
                for (int m = 0; m < c.n_shifts; ++m) {
                    const int64_t t = m * chunk_pairs + v;
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
    for (int row = 0; row < pairs.rows;) {
        const int begin = row;
        int64_t total = 0;
        for (; row < pairs.rows && (row == begin || total + pairs.count(row) <= block_pairs); ++row) {
            const int64_t j = pairs.start_a + row, first = pairs.first(row), count = pairs.count(row);
            pack_row(w, j, first, count, total);
            if (mode == Mode::tangent) {
                for (int k = 0; k < task.members; ++k) pack_rates(w, k, j, first, count, total);
            }
            total += count;
        }
        // lanes past the end must not count
        store<T>(w.mean + total, Vec<T>{}), store<T>(w.cosine + total, Vec<T>{}), store<T>(w.weight + total, Vec<T>{});
        if (mode == Mode::tangent) {
            for (int k = 0; k < 3 * task.members; ++k) store<T>(w.packed + k * w.pairs + total, Vec<T>{});
        }
        if (mode == Mode::forward) forward_pairs(task, w, total);
        if (mode == Mode::gradient) gradient_pairs(task, w, pairs, g, stride, total, begin, row);
        if (mode == Mode::tangent) tangent_pairs(task, w, total);
    }
    for (int k = 0; k < task.members && mode != Mode::gradient; ++k) {
        sum_lanes<T>(w.sums + k * size, static_cast<int>(size), w.lane_sums);
        T* block = out + k * stride + pairs.offset;
        for (int m = 0; m < c.n_shifts; ++m) {
            for (int p = 0; p < c.n_sections; ++p) block[m * c.n_sections + p] = w.lane_sums[m * w.sections + p];
        }
    }
}

template <class T, Mode mode>
void angular(const AevTask<T>& task, const Workspace<T>& w, int kinds, const T* g, T* out, int64_t stride) {
    const AevConstants<T>& c = *task.constants;
    for (int a = 0; a < kinds; ++a) {
        for (int b = a; b < kinds; ++b) {
            const int sa = w.present[a], sb = w.present[b], rows = a == b ? w.angular[a] - 1 : w.angular[a];
            if (rows <= 0 || w.angular[b] == 0) continue;
            const int index = sa * c.num_species - sa * (sa - 1) / 2 + sb - sa;
            const Pairs pairs{w.start[a],  w.start[b], rows, w.angular[b],
                              a == b,      c.num_species * c.n_radial + index * c.n_shifts * c.n_sections};
            angular_pairs<T, mode>(task, w, pairs, g, out, stride);
        }
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
