// Sums of spherical harmonics over neighbours, and their derivatives; lanes of a vector are eight atoms.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

constexpr int kLargestDegree = 16;

// Real harmonics of degree l of a unit vector, scaled by sqrt(4 pi/(2l + 1)): P_m Re and P_m Im of (x + iy)^m with
// P_m(z) = raise[m] z P_{m+1} - lower[m] (x^2 + y^2) P_{m+2} downwards from P_l = top, and dP_m/dz = slope[m] P_{m+1}.
struct HarmonicTerms {
    int degree;
    double top, raise[kLargestDegree + 1], lower[kLargestDegree + 1], slope[kLargestDegree + 1];
};

struct SteinhardtTask {
    HarmonicTerms terms;
    double inner, outer;         // a neighbour counts fully up to the first, and not at all from the second
    double floor_squared;        // added to the square of the number of neighbours under the root
    // pairs
    const int64_t* first;
    const int32_t* second;
    const double *vectors, *distances;
    int64_t row;                 // of an atom's moments: 2l + 1 rounded up to eight
    // moments: m = 0, then real and imaginary part of m = 1 .. l
    double* moments;             // (N, row) sum of s Y over neighbours, over the root
    double* numbers;             // (N,) sum of s
    double* switches;            // (E,) s
    // derivatives
    const double* by_moments;    // (N, row)
    const double* by_numbers;    // (N,), at fixed moments
    const double* by_switches;   // (E,), at fixed moments; nullptr: none
    double* gradient;            // (N,4) added to
    double virial[6];
    double* scratch;             // kSteinhardtRows rows of 8 for each neighbour of the longest run
};

constexpr int kSteinhardtRows = 5;

// Combinations of the moments of an atom and its neighbours.
struct MixTask {
    int64_t row;
    const int64_t* first;
    const int32_t* second;
    const double* switches;
    const double *moments, *others;
    double* out;
};

MLSAMPLE_DECLARE_KERNEL(void, steinhardt_moments, (const SteinhardtTask& task, int64_t begin, int64_t end))
MLSAMPLE_DECLARE_KERNEL(void, steinhardt_pull, (SteinhardtTask & task, int64_t begin, int64_t end))
// out (N, row): the sum of s_ij others(j) over the neighbours j of i
MLSAMPLE_DECLARE_KERNEL(void, steinhardt_gather, (const MixTask& task, int64_t begin, int64_t end))
// out (E,): moments(i).others(j) for each pair
MLSAMPLE_DECLARE_KERNEL(void, steinhardt_products, (const MixTask& task, int64_t begin, int64_t end))

}  // namespace mlsample
