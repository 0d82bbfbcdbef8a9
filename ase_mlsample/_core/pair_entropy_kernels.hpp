// Gaussian-broadened distributions of distances on a grid, and the pair entropies that they make.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

// Distances are spread over the six next grid points by B-splines of the fifth degree, and the Gaussian is a sum of
// these splines: everything that follows is smooth in the distances, and zero beyond the reach.
struct EntropyGrid {
    int64_t points;        // K: the integral ends at r = K step
    int64_t width;         // M: the Gaussian reaches M + 3 steps
    double step;
    const double* gauss;   // (M+1,) coefficients of the splines at |distance| 0 .. M
    int64_t offset;        // place of r = 0 in a row
    int64_t length;        // of a row
};

struct EntropyTask {
    EntropyGrid grid;
    double spline[6][8];         // coefficient of t^p for the spline j
    // pairs
    const int64_t* first;
    const int32_t* second;
    const double* square;
    int64_t stride;              // from the row of one atom to that of the next; 0: all have one row
    double* rows;                // counts of distances by deposit(); dS/d(count) by differentiate()
    const double* weights;       // (N,)
    double* slopes;              // (lanes,) of the sum of w_i s_i: s'(r)/r, zero beyond the reach
    double cutoff_squared;
};

struct EntropyRows {
    EntropyGrid grid;
    const double* shares;        // (K+1,) of the points in the integral, zeros up to whole vectors; none at r = 0
    double density, atoms;       // atoms whose neighbours a row counts
    double* rows;                // read, and replaced by the derivatives
    double* values;              // entropies of the rows
    double* by_density;          // ds/d(ln density) at fixed distances
    double* scratch;             // sixteen rows, aligned to 64 bytes
};

MLSAMPLE_DECLARE_KERNEL(void, entropy_deposit, (const EntropyTask& task, int64_t begin, int64_t end))
MLSAMPLE_DECLARE_KERNEL(void, entropy_rows, (const EntropyRows& task, int64_t begin, int64_t end))
MLSAMPLE_DECLARE_KERNEL(void, entropy_slopes, (const EntropyTask& task, int64_t begin, int64_t end))

}  // namespace mlsample
