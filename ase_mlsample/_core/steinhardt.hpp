// Bond order of atoms from spherical harmonics of their neighbours: local, averaged over neighbours, and its
// correlation between neighbours.
#pragma once

#include <cstdint>
#include <vector>

#include "steinhardt_kernels.hpp"

namespace mlsample {

enum class BondOrderKind { local, averaged, correlation };

// Pairs of a full neighbour list, both directions; they must outlive what is made of them.
struct BondPairs {
    int64_t n_atoms, n_edges;
    const int64_t* first;
    const int32_t* second;
    const double *vectors, *distances;
};

class BondOrder {
public:
    // Throws std::invalid_argument for a degree outside 1 .. kLargestDegree, or radii out of order.
    BondOrder(const BondPairs& pairs, BondOrderKind kind, int degree, double inner, double outer);
    BondOrder(const BondOrder&) = delete;
    BondOrder& operator=(const BondOrder&) = delete;
    const std::vector<double>& values() const { return values_; }

    // gradient (N,3) and virial (3,3) of the weighted sum of the values
    void pull(const double* weights, double* gradient, double* virial) const;

private:
    struct Derivatives {
        std::vector<double> by_moments, by_numbers, by_switches;
    };
    void sum_moments();
    void mix(const std::vector<double>& others, std::vector<double>& out) const;
    void multiply(const std::vector<double>& moments, const std::vector<double>& others,
                  std::vector<double>& out) const;
    void pull_local(const double* weights, Derivatives& d) const;
    void pull_averaged(const double* weights, Derivatives& d) const;
    void pull_correlation(const double* weights, Derivatives& d) const;

    BondPairs pairs_;
    BondOrderKind kind_;
    SteinhardtTask task_{};
    int64_t row_;
    int64_t longest_ = 1;
    std::vector<double> moments_, numbers_, switches_;
    std::vector<double> mixed_;   // averaged: means over the neighbours; correlation: sums over them, over the root
    std::vector<double> unit_, inverse_;   // correlation: moments over their length, and one over it
    std::vector<double> values_;
};

}  // namespace mlsample
