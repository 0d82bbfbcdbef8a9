#include "structure_factor.hpp"

#include <algorithm>
#include <vector>

#include "parallel.hpp"
#include "structure_factor_kernels.hpp"

namespace mlsample {
namespace {

constexpr int64_t kGrain = 512;  // atoms worth a thread of their own

}  // namespace

void pair_sums(HalfPairArrays& pairs, bool chebyshev, int64_t functions, int64_t terms, const double* value_series,
               const double* slope_series, double* values, double* slopes) {
    const int64_t size = functions * pairs.n;
    const int parts = parts_for(pairs.n, kGrain);
    std::vector<double> partial(size * (parts - 1));
    const auto kernel = MLSAMPLE_PICK_KERNEL(pair_series);
    std::fill(values, values + size, 0.0);
    parallel_parts(pairs.n, parts, [&](int part, int64_t begin, int64_t end) {
        double* own = part == 0 ? values : partial.data() + size * (part - 1);
        const PairSeriesTask task{pairs.n, pairs.lanes(), pairs.first.data(), pairs.second.data(), pairs.square(),
                                  pairs.cutoff * pairs.cutoff, chebyshev, functions, terms, value_series, slope_series,
                                  own, slopes};
        kernel(task, begin, end);
    });
    for (int part = 1; part < parts; ++part)  // in the order of the parts, so that sums are reproducible
        for (int64_t k = 0; k < size; ++k) values[k] += partial[size * (part - 1) + k];
}

void pull_pairs(HalfPairArrays& pairs, const double* slopes, const double* weights, double* gradient,
                double* virial) {
    const int parts = parts_for(pairs.n, kGrain);
    std::vector<double> partial(4 * pairs.n * parts);
    double virials[kMostThreads][6];
    const auto kernel = MLSAMPLE_PICK_KERNEL(pair_pull);
    parallel_parts(pairs.n, parts, [&](int part, int64_t begin, int64_t end) {
        PairPullTask task{pairs.first.data(), pairs.second.data(), pairs.x(), pairs.y(), pairs.z(), slopes, weights,
                          partial.data() + 4 * pairs.n * part, {}};
        kernel(task, begin, end);
        std::copy_n(task.virial, 6, virials[part]);
    });
    for (int part = 1; part < parts; ++part) {
        const double* own = partial.data() + 4 * pairs.n * part;
        for (int64_t k = 0; k < 4 * pairs.n; ++k) partial[k] += own[k];
        for (int a = 0; a < 6; ++a) virials[0][a] += virials[part][a];
    }
    for (int64_t i = 0; i < pairs.n; ++i) std::copy_n(partial.data() + 4 * i, 3, gradient + 3 * i);
    constexpr int kVoigt[9] = {0, 5, 4, 5, 1, 3, 4, 3, 2};
    for (int k = 0; k < 9; ++k) virial[k] = virials[0][kVoigt[k]];
}

}  // namespace mlsample
