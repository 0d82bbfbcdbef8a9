// Quantities of atoms that depend on the vectors to their own neighbours, pulled back to positions and strain.
#pragma once

#include <cstdint>

namespace mlsample {

struct Edges {
    int64_t n_atoms, n_edges;
    const int64_t* first;     // (N+1,)
    const int32_t* second;    // (E,)
    const double* vectors;    // (E,3) from an atom to its neighbour
};

// Throws std::invalid_argument unless `first` rises from 0 to E and `second` names atoms.
void check_edges(const Edges& edges);

// The derivative of sum_i w_i k_i, with edge_gradient (E,3) = dk_i/d(vector) of the edges of atom i, by positions (N,3)
// and by symmetric strain (3,3). Bit for bit the same for any number of threads.
void pull_edges(const Edges& edges, const double* edge_gradient, const double* weights, double* gradient,
                double* virial);

}  // namespace mlsample
