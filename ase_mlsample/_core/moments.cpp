#include "moments.hpp"

#include <algorithm>
#include <cmath>

#include "parallel.hpp"

namespace mlsample {
namespace {

constexpr int64_t kChunk = 256;  // numbers at a time, in the first cache with those of a few members

// Differences from the first member are summed: rounding of plain sums would make identical members differ.
void chunk(const double* values, int64_t members, int64_t stride, int64_t count, double* __restrict mean,
           double* __restrict deviation) {
    double shift[kChunk] = {}, square[kChunk] = {};
    for (int64_t m = 1; m < members; ++m) {
        const double* other = values + m * stride;
        for (int64_t k = 0; k < count; ++k) shift[k] += other[k] - values[k];
    }
    for (int64_t k = 0; k < count; ++k) {
        shift[k] /= static_cast<double>(members);
        mean[k] = values[k] + shift[k];
    }
    for (int64_t m = 0; m < members; ++m) {
        const double* other = values + m * stride;
        for (int64_t k = 0; k < count; ++k) {
            const double off = other[k] - values[k] - shift[k];
            square[k] += off * off;
        }
    }
    for (int64_t k = 0; k < count; ++k) deviation[k] = std::sqrt(square[k] / static_cast<double>(members - 1));
}

}  // namespace

void moments(const double* values, int64_t members, int64_t count, double* mean, double* deviation) {
    parallel_parts(count, parts_for(count, 8192), [&](int, int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; k += kChunk) {
            chunk(values + k, members, count, std::min(kChunk, end - k), mean + k, deviation + k);
        }
    });
}

}  // namespace mlsample
