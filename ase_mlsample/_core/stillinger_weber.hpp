// The Stillinger-Weber potential over a neighbour list.
#pragma once

#include <atomic>
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
    std::atomic<bool>& in_use() { return in_use_; }

    // energies (N,), forces (N,3), virial (3,3) = dE/d(strain); returns the sum of the energies.
    double compute(const NeighborList& neighbors, double* energies, double* forces, double* virial);

private:
    std::atomic<bool> in_use_{false};
    StillingerWeberParameters parameters_;
    std::vector<double> scratch_, partial_forces_;
};

}  // namespace mlsample
