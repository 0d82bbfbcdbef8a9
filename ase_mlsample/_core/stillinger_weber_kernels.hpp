// Stillinger-Weber energies and gradients of a run of centres, eight centres at a time.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

struct StillingerWeberTask {
    // parameters, already multiplied out
    double cutoff;             // a sigma
    double sigma;
    double gamma_sigma;
    double pair_scale;         // epsilon A
    double B_sigma4;           // B sigma^4
    double triplet_scale;      // epsilon lambda
    double cos_theta0;
    // pairs
    const int64_t* first;
    const int32_t* second;
    const double* vectors;
    const double* distances;
    // results
    double* energies;          // (N,) of the centres of this run
    double* forces;            // (N,3) added to
    double virial[6];          // xx yy zz yz xz xy of dE/d(strain)
    double* scratch;           // kStillingerWeberRows rows of 8 for each neighbour of the longest run
    int64_t longest;
};

constexpr int kStillingerWeberRows = 8;

MLSAMPLE_DECLARE_KERNEL(void, stillinger_weber, (StillingerWeberTask& task, int64_t begin, int64_t end))

}  // namespace mlsample
