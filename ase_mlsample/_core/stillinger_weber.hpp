// The Stillinger-Weber potential over a neighbour list.
#pragma once

#include <cstdint>
#include <vector>

#include "neighbors.hpp"

namespace mlsample {

struct StillingerWeberParameters {
    double epsilon, sigma, a, lambda, gamma, A, B, cos_theta0;
};

class StillingerWeber {
public:
    explicit StillingerWeber(const StillingerWeberParameters& parameters);
    double cutoff() const { return parameters_.a * parameters_.sigma; }

    // energies (N,), forces (N,3), virial (3,3) = dE/d(strain); returns the sum of the energies.
    double compute(const NeighborList& neighbors, double* energies, double* forces, double* virial);

private:
    StillingerWeberParameters parameters_;
    std::vector<double> scratch_, partial_forces_;
};

}  // namespace mlsample
