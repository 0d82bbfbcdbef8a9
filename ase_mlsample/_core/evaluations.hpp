// What the evaluations of different potentials have in common: the graph of a list's candidates, and energies of
// members or of their mean.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "aev_graph.hpp"
#include "neighbors.hpp"

namespace mlsample {

// One structure whose edges are the candidates of a list; it points into the object and to the species.
struct CandidateGraph {
    CandidateGraph(const NeighborList& neighbors, const int32_t* species) : frame{0, neighbors.size()} {
        const auto& first = neighbors.candidates().first;
        graph = {neighbors.size(), first.back(), 1, species, first.data(), nullptr, nullptr, frame};
    }
    CandidateGraph(const CandidateGraph&) = delete;
    CandidateGraph& operator=(const CandidateGraph&) = delete;

    int64_t frame[2];
    AevGraph graph{};
};

// Throws std::invalid_argument where the list ends before the cutoff (Å) of `what`.
inline void require_reach(const NeighborList& neighbors, double cutoff, const char* what) {
    if (neighbors.cutoff() >= cutoff) return;
    throw std::invalid_argument("the neighbour list ends at " + std::to_string(neighbors.cutoff()) + " Å, before the " +
                                what + "'s cutoff of " + std::to_string(cutoff) + " Å");
}

// Energies of the atoms [begin, end) from (members, stride) to (members, atoms), or (atoms,) of the mean. Where all
// members agree the mean is exactly what they agree on.
template <class T>
void put_member_energies(const T* from, int members, int64_t stride, bool mean, int64_t begin, int64_t end,
                         int64_t atoms, double* energies) {
    for (int64_t k = 0; k < end - begin && mean; ++k) {
        const double first = static_cast<double>(from[k]);
        double sum = 0;
        for (int m = 1; m < members; ++m) sum += static_cast<double>(from[m * stride + k]) - first;
        energies[begin + k] = first + sum / members;
    }
    for (int m = 0; m < members && !mean; ++m) {
        for (int64_t k = 0; k < end - begin; ++k) {
            energies[m * atoms + begin + k] = static_cast<double>(from[m * stride + k]);
        }
    }
}

}  // namespace mlsample
