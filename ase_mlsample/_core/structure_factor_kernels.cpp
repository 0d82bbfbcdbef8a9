#include "structure_factor_kernels.hpp"

#include "pair_lanes.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// T_0 .. T_{terms-1} by the recurrence in steps of two, which halves the chain of dependent operations.
MLSAMPLE_EIGHT void chebyshev(const Eight& x, int64_t terms, Eight* T) {
    const Eight twice = 2.0 * (2.0 * x * x - 1.0);  // 2 T_2
    T[0] = splat(1.0);
    T[1] = x;
    T[2] = 0.5 * twice;
    T[3] = (twice - 1.0) * x;
    for (int64_t k = 4; k < terms; ++k) T[k] = twice * T[k - 2] - T[k - 4];
}

struct ValueSlope {
    Eight value, slope;
};

MLSAMPLE_EIGHT ValueSlope series(const double* a, const double* b, const Eight* T, int64_t terms) {
    Eight value[2] = {}, slope[2] = {};
    for (int64_t k = 0; k < terms; k += 2)
        for (int h = 0; h < 2; ++h) {
            value[h] += a[k + h] * T[k + h];
            slope[h] += b[k + h] * T[k + h];
        }
    return {value[0] + value[1], slope[0] + slope[1]};
}

// Horner's rule, even and odd powers apart.
MLSAMPLE_EIGHT ValueSlope powers(const double* a, const double* b, const Eight& x, int64_t terms) {
    const Eight y = x * x;
    Eight value[2], slope[2];
    for (int h = 0; h < 2; ++h) {
        value[h] = splat(a[terms - 2 + h]);
        slope[h] = splat(b[terms - 2 + h]);
    }
    for (int64_t k = terms - 4; k >= 0; k -= 2)
        for (int h = 0; h < 2; ++h) {
            value[h] = value[h] * y + a[k + h];
            slope[h] = slope[h] * y + b[k + h];
        }
    return {value[0] + x * value[1], slope[0] + x * slope[1]};
}

}  // namespace

void pair_series(const PairSeriesTask& task, int64_t begin, int64_t end) {
    Eight T[kMostTerms];
    const double scale = 2.0 / task.cutoff_squared;
    const Eight limit = splat(task.cutoff_squared);
    for (int64_t f = 0; f < task.functions; ++f) {
        const double *a = task.value_series + f * task.terms, *b = task.slope_series + f * task.terms;
        double* values = task.values + f * task.n;
        double* slopes = task.slopes + f * task.lanes;
        for (int64_t i = begin; i < end; ++i) {
            Eight own{};
            for (int64_t e = task.first[i]; e < task.first[i + 1]; e += 8) {
                const Eight square = get(task.square + e), x = square * scale - 1.0;
                ValueSlope found;
                if (task.chebyshev) {
                    chebyshev(x, task.terms, T);
                    found = series(a, b, T, task.terms);
                } else {
                    found = powers(a, b, x, task.terms);
                }
                put(slopes + e, where_less(square, limit, found.slope, Eight{}));
                const Eight kept = where_less(square, limit, found.value, Eight{});
                own += kept;
                double x8[8];
                put(x8, kept);
                for (int k = 0; k < 8; ++k) values[task.second[e + k]] += x8[k];
            }
            values[i] += sum(own);
        }
    }
}

void pair_pull(PairPullTask& task, int64_t begin, int64_t end) {
    Eight virial[6] = {};
    for (int64_t i = begin; i < end; ++i) {
        Eight gx{}, gy{}, gz{};
        for (int64_t e = task.first[i]; e < task.first[i + 1]; e += 8) {
            const int32_t* second = task.second + e;
            Eight along = get(task.slopes + e);
            if (task.weights) {
                double weights[8];
                for (int k = 0; k < 8; ++k) weights[k] = task.weights[second[k]];
                along = along * (get(weights) + task.weights[i]);
            }
            const Eight x = get(task.x + e), y = get(task.y + e), z = get(task.z + e);
            const Eight px = along * x, py = along * y, pz = along * z;
            virial[0] += px * x;
            virial[1] += py * y;
            virial[2] += pz * z;
            virial[3] += py * z;
            virial[4] += px * z;
            virial[5] += px * y;
            gx += px;
            gy += py;
            gz += pz;
            scatter(px, py, pz, second, task.gradient);
        }
        double* own = task.gradient + 4 * i;
        own[0] -= sum(gx);
        own[1] -= sum(gy);
        own[2] -= sum(gz);
    }
    for (int a = 0; a < 6; ++a) task.virial[a] = sum(virial[a]);
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
