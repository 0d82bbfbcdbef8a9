// A whole ANI evaluation: AEVs, networks and the sweep back, a block of atoms at a time while it is in the caches.
#pragma once

#include <cstdint>

#include "aev.hpp"
#include "networks.hpp"

namespace mlsample {

// energies (members, N) of the networks; gradient (m, N, 3) and virial (m, S, 3, 3): derivatives of each member's
// energy (m = members), or of the mean over members (m = 1) where `mean`. Throws std::invalid_argument.
template <class T>
void evaluate_ani(const Aev& aev, const Networks<T>& networks, const AevGraph& graph, bool mean, double* energies,
                  double* gradient, double* virial);

}  // namespace mlsample
