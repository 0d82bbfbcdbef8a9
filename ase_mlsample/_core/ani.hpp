// A whole ANI evaluation: AEVs, networks and the sweep back, a block of atoms at a time while it is in the caches.
#pragma once

#include <cstdint>

#include "aev.hpp"
#include "neighbors.hpp"
#include "networks.hpp"

namespace mlsample {

// energies (m, N) of each member's networks (m = members), or of their mean (m = 1) where `mean`; gradient (m, N, 3)
// and virial (m, S, 3, 3): the derivatives of their sums. Throws std::invalid_argument.
template <class T>
void evaluate_ani(const Aev& aev, const Networks<T>& networks, const AevGraph& graph, bool mean, double* energies,
                  double* gradient, double* virial);

// The same for one structure whose neighbours are found block by block as well: their vectors never leave the caches.
template <class T>
void evaluate_ani(const Aev& aev, const Networks<T>& networks, const NeighborList& neighbors, const int32_t* species,
                  bool mean, double* energies, double* gradient, double* virial);

}  // namespace mlsample
