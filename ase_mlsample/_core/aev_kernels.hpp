// What the AEV driver (aev.cpp) and its kernels, compiled once per instruction set, agree on: plain data only.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

// Hyperparameters in the precision of the sums. Shifts and sections are owned by the driver.
template <class T>
struct AevConstants {
    int num_species, n_radial, n_shifts, n_sections;
    int length;  // of one atom's AEV
    bool smooth;
    double radial_cutoff, angular_cutoff;
    T radial_eta, angular_eta, zeta;
    const T *radial_shifts, *angular_shifts;
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
    double* gradient;         // (M, N, 3): gradient, added to
    double* virial;           // (M, virial_stride): gradient, nine numbers added to
    int64_t virial_stride;
    const double* directions; // (M, N, 3): tangent
    const double* strain;     // (M, strain_stride): tangent, nine numbers, or null
    int64_t strain_stride;
    int64_t scratch_bytes;
    void* scratch;            // aligned to 64 bytes
};

// Each kernel returns -1, or the first edge whose vector or neighbour is invalid.
template <class T>
struct AevKernels {
    int64_t (*scratch_bytes)(const AevConstants<T>&, int64_t most_neighbors, int members);
    int64_t (*forward)(const AevTask<T>&);
    int64_t (*gradient)(const AevTask<T>&);
    int64_t (*tangent)(const AevTask<T>&);
};

MLSAMPLE_DECLARE_KERNEL(void, aev_kernels_single, (AevKernels<float>*))
MLSAMPLE_DECLARE_KERNEL(void, aev_kernels_double, (AevKernels<double>*))

}  // namespace mlsample
