// Lanes of a vector are edges: the neighbours of several atoms lie one after another in a block. Every edge goes
// through the same operations wherever it lies, so that results do not depend on how atoms are shared out.
#include "environment_kernels.hpp"

#include "aev_simd.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

typedef Vec<double> V;
constexpr int kWidth = width<double>;
constexpr double kNegligible = -40.0;  // exp of it is nothing beside 1

// Rows of the scratch memory; each template has rows for the sums of g and g r0, and for how much they count.
struct Rows {
    double *x, *y, *z, *r, *exponent, *weight, *slope, *species, *gx, *gy;
    double *templates, *values, *parts;
    int64_t row;
    double* of(int64_t l, int k) const { return templates + (kTemplateRows * l + k) * row; }
};

inline Rows make_rows(const EnvironmentTask& task) {
    const int64_t row = environment_row(task.longest);
    double* p = task.scratch;
    Rows s{p, p + row, p + 2 * row, p + 3 * row, p + 4 * row, p + 5 * row, p + 6 * row, p + 7 * row,
           p + 8 * row, p + 9 * row, p + kEnvironmentRows * row, nullptr, nullptr, row};
    s.values = s.templates + kTemplateRows * task.templates * row;
    s.parts = s.values + task.templates;
    return s;
}

inline int64_t atom(const EnvironmentTask& task, int64_t k) { return task.order ? task.order[k] : k; }

// Appends the neighbours of an atom to the rows.
inline void append(const EnvironmentTask& task, const Rows& s, int64_t i, int64_t at) {
    const int64_t from = task.first[i], count = task.first[i + 1] - from;
    const double* d = task.vectors + 3 * from;
    for (int64_t k = 0; k < count; ++k) {
        s.x[at + k] = d[3 * k];
        s.y[at + k] = d[3 * k + 1];
        s.z[at + k] = d[3 * k + 2];
        s.r[at + k] = task.distances[from + k];
    }
    if (task.match_species)
        for (int64_t k = 0; k < count; ++k) s.species[at + k] = task.species[task.second[from + k]];
}

// Weights of the neighbours, 1 up to `inner`, 0 from `outer`, with continuous second derivatives between, and their
// slopes divided by the distance.
void weigh(const EnvironmentTask& task, const Rows& s, int64_t count) {
    const bool smooth = task.inner < task.outer;
    const double inverse = smooth ? 1.0 / (task.outer - task.inner) : 0.0;
    for (int64_t k = 0; k < count; k += kWidth) {
        const V r = load(s.r + k);
        store<double>(s.exponent + k, task.scale * (r * r));
        V u = (r - task.inner) * inverse;
        u = u < splat(0.0) ? V{} : u;
        u = u > splat(1.0) ? splat(1.0) : u;
        const V weight = 1.0 - u * u * u * ((6.0 * u - 15.0) * u + 10.0);
        const V rest = u * (1.0 - u);
        store<double>(s.weight + k, smooth ? weight : r < splat(task.outer) ? splat(1.0) : V{});
        store<double>(s.slope + k, -30.0 * inverse * rest * rest / r);
    }
}

// Sums over the sites of a template of the Gaussians g and of g r0, for every edge.
template <bool match>
void overlap(const EnvironmentTask& task, const Rows& s, int64_t l, int64_t count) {
    double *sum = s.of(l, 0), *sx = s.of(l, 1), *sy = s.of(l, 2), *sz = s.of(l, 3);
    const int64_t begin = task.site_first[l], end = task.site_first[l + 1];
    for (int64_t k = 0; k < count; k += kWidth) {
        const V x = load(s.x + k), y = load(s.y + k), z = load(s.z + k), exponent = load(s.exponent + k);
        V species{}, g{}, gx{}, gy{}, gz{};
        if (match) species = load(s.species + k);
        for (int64_t m = begin; m < end; ++m) {
            const EnvironmentSite& site = task.sites[m];
            V t = exponent + site.offset + x * site.slope[0] + y * site.slope[1] + z * site.slope[2];
            if (match) t = species == splat(site.species) ? t : splat(2.0 * Lanes<double>::lowest);
            const V one = exp2<double>(t);
            g += one;
            gx += one * site.place[0];
            gy += one * site.place[1];
            gz += one * site.place[2];
        }
        store<double>(sum + k, g);
        store<double>(sx + k, gx);
        store<double>(sy + k, gy);
        store<double>(sz + k, gz);
    }
}

// Four sums side by side: an addition need not wait for the one before it.
inline double dot(const double* a, const double* b, int64_t count) {
    double s = 0.0, t = 0.0, u = 0.0, v = 0.0;
    int64_t k = 0;
    for (; k + 4 <= count; k += 4) {
        s += a[k] * b[k];
        t += a[k + 1] * b[k + 1];
        u += a[k + 2] * b[k + 2];
        v += a[k + 3] * b[k + 3];
    }
    for (; k < count; ++k) s += a[k] * b[k];
    return (s + t) + (u + v);
}

// The smooth maximum over the templates, and how much each edge's part in each template counts.
double combine(const EnvironmentTask& task, const Rows& s, int64_t at, int64_t count) {
    const int64_t templates = task.templates;
    double largest = -1.0, total = 0.0;
    for (int64_t l = 0; l < templates; ++l) {
        s.values[l] = task.share[l] * dot(s.weight + at, s.of(l, 0) + at, count);
        largest = s.values[l] > largest ? s.values[l] : largest;
    }
    for (int64_t l = 0; l < templates; ++l) {
        const double below = task.lambda * (s.values[l] - largest);
        s.parts[l] = below == 0.0 ? 1.0 : below < kNegligible ? 0.0 : __builtin_exp(below);
        total += s.parts[l];
    }
    for (int64_t l = 0; l < templates; ++l) {
        const double coefficient = task.share[l] * s.parts[l] / total;
        double* row = s.of(l, 4) + at;
        for (int64_t k = 0; k < count; ++k) row[k] = coefficient;
    }
    return total == 1.0 ? largest : largest + __builtin_log(total) / task.lambda;
}

// Derivatives of the values by the vectors to the neighbours, left in gx, gy and z.
void differentiate(const EnvironmentTask& task, const Rows& s, int64_t count) {
    for (int64_t k = 0; k < count; k += kWidth) {
        V g{}, gx{}, gy{}, gz{};
        for (int64_t l = 0; l < task.templates; ++l) {
            const V c = load(s.of(l, 4) + k);
            g += c * load(s.of(l, 0) + k);
            gx += c * load(s.of(l, 1) + k);
            gy += c * load(s.of(l, 2) + k);
            gz += c * load(s.of(l, 3) + k);
        }
        const V across = task.stiffness * load(s.weight + k), along = g * (load(s.slope + k) - across);
        store<double>(s.gx + k, along * load(s.x + k) + across * gx);
        store<double>(s.gy + k, along * load(s.y + k) + across * gy);
        store<double>(s.z + k, along * load(s.z + k) + across * gz);
    }
}

// The atoms `begin` to `end`, whose neighbours fill the first `count` places of the rows.
void finish(const EnvironmentTask& task, const Rows& s, int64_t begin, int64_t end, int64_t count) {
    for (int64_t k = count; k % kWidth != 0; ++k) {  // fill the last vector with places that count for nothing
        s.x[k] = s.y[k] = s.z[k] = s.species[k] = 0.0;
        s.r[k] = task.outer;
        for (int64_t l = 0; l < task.templates; ++l) s.of(l, 4)[k] = 0.0;
    }
    weigh(task, s, count);
    for (int64_t l = 0; l < task.templates; ++l)
        task.match_species ? overlap<true>(task, s, l, count) : overlap<false>(task, s, l, count);
    int64_t at = 0;
    for (int64_t k = begin; k < end; ++k) {
        const int64_t i = atom(task, k), edges = task.first[i + 1] - task.first[i];
        task.values[i] = combine(task, s, at, edges);
        at += edges;
    }
    differentiate(task, s, count);
    at = 0;
    for (int64_t k = begin; k < end; ++k) {
        const int64_t i = atom(task, k);
        double* out = task.edge_gradient + 3 * task.first[i];
        for (int64_t e = task.first[i]; e < task.first[i + 1]; ++e, ++at, out += 3) {
            out[0] = s.gx[at];
            out[1] = s.gy[at];
            out[2] = s.z[at];
        }
    }
}

}  // namespace

void environment_similarity(const EnvironmentTask& task, int64_t begin, int64_t end) {
    const Rows s = make_rows(task);
    int64_t start = begin, count = 0;
    for (int64_t k = begin; k < end; ++k) {
        const int64_t i = atom(task, k);
        append(task, s, i, count);
        count += task.first[i + 1] - task.first[i];
        if (count < kEnvironmentBlock && k + 1 < end) continue;
        finish(task, s, start, k + 1, count);
        start = k + 1;
        count = 0;
    }
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
