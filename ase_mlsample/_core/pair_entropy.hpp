// Pair entropies of a structure or of its atoms over half pairs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "half_pairs.hpp"
#include "pair_entropy_kernels.hpp"

namespace mlsample {

// Where the integral ends (Å), its points, the coefficients of the Gaussian's splines,
// and the points' shares (K+1,) in the integral, in steps.
struct EntropySettings {
    double cutoff;
    int64_t points;
    std::vector<double> gauss, shares;
    double reach() const { return cutoff * (points + static_cast<double>(gauss.size()) + 2.0) / points; }
};

class PairEntropy {
public:
    // density in atoms/Å^3; local: an entropy for each atom, otherwise one. Throws std::invalid_argument.
    PairEntropy(std::shared_ptr<HalfPairArrays> pairs, const EntropySettings& settings, double density, bool local);
    PairEntropy(const PairEntropy&) = delete;
    PairEntropy& operator=(const PairEntropy&) = delete;
    const std::vector<double>& values() const { return values_; }
    const std::vector<double>& by_density() const { return by_density_; }
    int64_t atoms() const { return pairs_->n; }

    // gradient (N,3) and virial (3,3), at fixed density, of the sum of weights times values.
    void pull(const double* weights, double* gradient, double* virial) const;

private:
    void deposit();

    std::shared_ptr<HalfPairArrays> pairs_;
    EntropySettings settings_;
    EntropyTask task_;
    bool local_;
    std::vector<double> values_, by_density_, rows_;
};

}  // namespace mlsample
