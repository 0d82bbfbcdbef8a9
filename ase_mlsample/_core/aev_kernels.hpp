// What the AEV driver (aev.cpp) and its kernels, compiled once per instruction set, agree on: plain data only.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

// Gaussians exp(-eta (r - shift)^2). Where the shifts are evenly spaced those of a run of eight follow from the one
// in its middle, g, as g q^j fall[j + 3], -3 <= j <= 4, with q = 2^(rate (r - shift of the middle)).
template <class T>
struct AevGaussians {
    int count;
    T eta;
    const T* shifts;
    bool even;
    T rate, rate_rest;  // 2 eta step / ln 2 and what its rounding leaves out
    T fall[8];          // exp(-eta (j step)^2)
};

// (1 - s)^power for 0 <= s <= 1 as (1 - s Q(s))^(2^(early + late)); the early squarings are done on 1 - x, so that
// they do not magnify its rounding.
template <class T>
struct AevPower {
    bool fitted;
    int early, late;
    T coefficients[7];  // of Q, highest power first
};

// Hyperparameters in the precision of the sums. Shifts and sections are owned by the driver.
template <class T>
struct AevConstants {
    int num_species, n_sections;
    int length;  // of one atom's AEV
    bool smooth;
    double radial_cutoff, angular_cutoff;
    AevGaussians<T> radial, angular;
    T zeta;
    AevPower<T> power;  // zeta - 1
    const T *cos_sections, *sin_sections, *cos_half_sections, *sin_half_sections;  // of section and section / 2
};

// Work on the centres [begin, end), whose neighbours must be among the atoms [low, high).
template <class T>
struct AevTask {
    const AevConstants<T>* constants;
    const int32_t* species;   // (N,)
    const int64_t* first;     // (N+1,)
    const int32_t* second;    // (E,)
    const double* vectors;    // (E, 3)
    int64_t n_atoms, begin, end, low, high;
    int64_t most_neighbors;   // of any atom: the size that scratch was asked for
    int members;              // of the arrays below
    int64_t stride;           // between the members of aev and weights: N L for whole arrays
    T* aev;                   // (M, N, L): result of forward (M = 1) and tangent
    const T* weights;         // (M, N, L): gradient
    double* gradient;         // (M, N, 4): gradient, added to; the fourth is nothing
    double* virial;           // (M, virial_stride): gradient, nine numbers added to
    int64_t virial_stride;
    const double* directions; // (M, N, 3): tangent
    const double* strain;     // (M, strain_stride): tangent, nine numbers, or null
    int64_t strain_stride;
    int64_t scratch_bytes;
    void* scratch;            // aligned to 64 bytes
    int64_t slots_bytes;      // of one atom's gathered surroundings
    char* kept;               // surroundings of the atoms from kept_begin on, which forward writes and gradient reads;
    int64_t kept_begin;       // or null: each gathers its own
};

// Each kernel returns -1, or the first edge whose vector or neighbour is invalid.
template <class T>
struct AevKernels {
    int64_t (*scratch_bytes)(const AevConstants<T>&, int64_t most_neighbors, int members);
    int64_t (*slots_bytes)(const AevConstants<T>&, int64_t most_neighbors);
    int64_t (*forward)(const AevTask<T>&);
    int64_t (*gradient)(const AevTask<T>&);
    int64_t (*tangent)(const AevTask<T>&);
};

MLSAMPLE_DECLARE_KERNEL(void, aev_kernels_single, (AevKernels<float>*))
MLSAMPLE_DECLARE_KERNEL(void, aev_kernels_double, (AevKernels<double>*))

}  // namespace mlsample
