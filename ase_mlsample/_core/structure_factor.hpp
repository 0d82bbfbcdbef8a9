// Sums of pair functions over half pairs: values of the atoms, and the derivatives of their weighted sums.
#pragma once

#include <cstdint>

#include "half_pairs.hpp"

namespace mlsample {

// values (functions, N): for each atom the sum of F over all its neighbours, with F given as series in
// 2 r^2/cutoff^2 - 1 of F and F'(r)/r, (functions, terms), of Chebyshev polynomials or powers;
// slopes (functions, lanes) for pull_pairs.
void pair_sums(HalfPairArrays& pairs, bool chebyshev, int64_t functions, int64_t terms, const double* value_series,
               const double* slope_series, double* values, double* slopes);

// gradient (N,3) and virial (3,3) of sum over pairs of (w_i + w_j) F(r_ij), slopes (lanes,) F'(r)/r;
// without weights (nullptr) of the sum of F.
void pull_pairs(HalfPairArrays& pairs, const double* slopes, const double* weights, double* gradient,
                double* virial);

}  // namespace mlsample
