// Similarity of atomic environments to those of a crystal, over a neighbour list.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "environment_kernels.hpp"
#include "neighbors.hpp"

namespace mlsample {

// Templates as they are given: template l has the sites site_first[l] .. site_first[l + 1].
struct EnvironmentTemplates {
    int64_t count;
    const int32_t* center;       // (L,) species of the atom in the middle
    const int64_t* site_first;   // (L+1,)
    const double* sites;         // (M,3) from the atom to its neighbours
    const int32_t* site_species; // (M,)
};

class EnvironmentKernel {
public:
    // Neighbours count fully up to `inner` and not at all from `outer`; throws std::invalid_argument.
    EnvironmentKernel(const EnvironmentTemplates& templates, double sigma, double lambda, double inner, double outer);
    double cutoff() const { return outer_; }
    std::atomic<bool>& in_use() { return in_use_; }

    // values (N,) and their derivatives by the vectors of the edges (E,3); species (N,), of which those that no
    // template is for have the value 0.
    void compute(const NeighborList& neighbors, const int32_t* species, double* values, double* edge_gradient);

private:
    struct Group {  // the templates of one species of the atom in the middle
        int32_t species;
        std::vector<int64_t> site_first;
        std::vector<EnvironmentSite> sites;
        std::vector<double> share;
    };
    Group& group(int32_t species);
    void sort_atoms(const int32_t* species, int64_t n);

    std::atomic<bool> in_use_{false};
    double sigma_, lambda_, inner_, outer_;
    std::vector<Group> groups_;
    std::vector<int32_t> order_;     // atoms by group, those of no group last
    std::vector<int64_t> ends_;      // of the groups in it
};

}  // namespace mlsample
