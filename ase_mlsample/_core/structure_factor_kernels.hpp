// Sums over pairs of functions that are analytic in the squared distance, and their derivatives. Eight pairs at a time.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

struct PairSeriesTask {
    int64_t n, lanes;
    const int64_t* first;
    const int32_t* second;
    const double* square;
    double cutoff_squared;
    // series in x = 2 r^2/cutoff^2 - 1 of F(r^2) and of F'(r)/r, (functions, terms), in powers or Chebyshev polynomials
    bool chebyshev;
    int64_t functions, terms;
    const double* value_series;
    const double* slope_series;
    // results
    double* values;              // (functions, N) added to, for both atoms of a pair
    double* slopes;              // (functions, lanes)
};

struct PairPullTask {
    const int64_t* first;
    const int32_t* second;
    const double *x, *y, *z;
    const double* slopes;        // (lanes,) F'(r)/r, zero in places without a pair
    const double* weights;       // (N,), added for the two atoms of a pair; nullptr: 1 in all
    double* gradient;            // (N,4) added to
    double virial[6];            // xx yy zz yz xz xy
};

constexpr int64_t kMostTerms = 256;

MLSAMPLE_DECLARE_KERNEL(void, pair_series, (const PairSeriesTask& task, int64_t begin, int64_t end))
MLSAMPLE_DECLARE_KERNEL(void, pair_pull, (PairPullTask & task, int64_t begin, int64_t end))

}  // namespace mlsample
