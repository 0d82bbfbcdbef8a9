#include "stillinger_weber.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "parallel.hpp"
#include "stillinger_weber_kernels.hpp"

namespace mlsample {

StillingerWeber::StillingerWeber(const StillingerWeberParameters& p) : parameters_(p) {
    const double all[] = {p.epsilon, p.sigma, p.a, p.lambda, p.gamma, p.A, p.B, p.cos_theta0};
    for (double value : all)
        if (!std::isfinite(value)) throw std::invalid_argument("the Stillinger-Weber parameters must be finite");
    if (!(p.sigma > 0) || !(p.a > 0) || !(p.gamma > 0))  // gamma = 0 would end the triplets in a step
        throw std::invalid_argument("sigma, a and gamma of Stillinger-Weber must be positive, not " +
                                    std::to_string(p.sigma) + ", " + std::to_string(p.a) + " and " +
                                    std::to_string(p.gamma));
}

double StillingerWeber::compute(const NeighborList& neighbors, double* energies, double* forces, double* virial) {
    if (!neighbors.ready()) throw std::runtime_error("the neighbour list is empty: update it first");
    if (neighbors.cutoff() < cutoff())
        throw std::invalid_argument("the neighbour list ends at " + std::to_string(neighbors.cutoff()) +
                                    " Å, before the potential's cutoff a*sigma = " + std::to_string(cutoff()) + " Å");
    const int64_t n = neighbors.size();
    const int64_t* first = neighbors.first();
    int64_t longest = 1;
    for (int64_t i = 0; i < n; ++i) longest = std::max(longest, first[i + 1] - first[i]);
    const int parts = parts_for(n, 256);
    const int64_t row = 8 * kStillingerWeberRows * longest;
    scratch_.resize(row * parts + 8);
    partial_forces_.resize(3 * n * (parts - 1));
    // rows on a cache line: a row of eight doubles is then one aligned vector
    auto* scratch = reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(scratch_.data()) + 63) & ~uintptr_t{63});
    double virials[kMostThreads][6];
    const auto& p = parameters_;
    const auto kernel = MLSAMPLE_PICK_KERNEL(stillinger_weber);
    parallel_parts(n, parts, [&](int part, int64_t begin, int64_t end) {
        double* own = part == 0 ? forces : partial_forces_.data() + 3 * n * (part - 1);
        std::fill(own, own + 3 * n, 0.0);
        StillingerWeberTask task{cutoff(), p.sigma, p.gamma * p.sigma, p.epsilon * p.A,
                                 p.B * std::pow(p.sigma, 4), p.epsilon * p.lambda, p.cos_theta0, first,
                                 neighbors.second(), neighbors.vectors(), neighbors.distances(), energies, own,
                                 {}, scratch + row * part, longest};
        kernel(task, begin, end);
        std::copy(task.virial, task.virial + 6, virials[part]);
    });
    for (int part = 1; part < parts; ++part) {  // in the order of the parts, so that sums are reproducible
        const double* own = partial_forces_.data() + 3 * n * (part - 1);
        for (int64_t k = 0; k < 3 * n; ++k) forces[k] += own[k];
        for (int a = 0; a < 6; ++a) virials[0][a] += virials[part][a];
    }
    constexpr int kVoigt[9] = {0, 5, 4, 5, 1, 3, 4, 3, 2};
    for (int k = 0; k < 9; ++k) virial[k] = virials[0][kVoigt[k]];
    double total = 0.0;
    for (int64_t i = 0; i < n; ++i) total += energies[i];
    return total;
}

}  // namespace mlsample
