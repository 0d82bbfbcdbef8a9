// What the evaluations of different potentials have in common: the graph of a list's candidates, blocks of atoms and
// the memory for their pairs, and energies of members or of their mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "aev_graph.hpp"
#include "neighbors.hpp"
#include "scratch.hpp"

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

// body(block, begin, end, gradient, virial) for blocks of up to `most` atoms, of about the same size and whole `rows`, on
// the pool's threads, each of which gets its block from memory(); gradient (members, N, 3) and virial (members, S, 3, 3)
// are the sums of what the bodies add to theirs. Of a list's candidates the graph says nothing but their number, which
// depends on the list's age and must not change the order of any sum.
template <class Memory, class Body>
void sweep_blocks(const AevGraph& graph, bool listed, int members, int64_t most, int64_t rows, double* gradient,
                  double* virial, const Memory& memory, const Body& body) {
    const Parts parts = listed ? even_parts(graph.n_atoms) : make_parts(graph);
    const PartSums sums(graph, parts, members);
    for_parts(graph, parts, [&](int part, int64_t low, int64_t high) {
        const auto block = memory();
        sums.clear(part);
        const int64_t blocks = rounded_up(high - low, most) / most;
        const int64_t size = blocks > 0 ? rounded_up(rounded_up(high - low, blocks) / blocks, rows) : 0;
        for (int64_t begin = low; begin < high; begin += size) {
            body(block, begin, std::min(high, begin + size), sums.gradient(part), sums.virial(part));
        }
    });
    sums.finish(gradient, virial);
}

constexpr int64_t kCutAtoms = 16;  // whose pairs are found at a time, and stay in the first cache until they are gathered

// Bytes that the pairs of kCutAtoms atoms take, and their place in memory.
inline int64_t pair_bytes(int64_t most_neighbors) {
    return aligned(8 * (kCutAtoms + 1)) + aligned(4 * (kCutAtoms * most_neighbors + 1)) +
           aligned(24 * (kCutAtoms * most_neighbors + 1));
}

inline PairBlock pairs_at(char* at, int64_t most_neighbors) {
    PairBlock pairs{};
    pairs.first = reinterpret_cast<int64_t*>(at);
    pairs.second = reinterpret_cast<int32_t*>(at += aligned(8 * (kCutAtoms + 1)));
    pairs.vectors = reinterpret_cast<double*>(at + aligned(4 * (kCutAtoms * most_neighbors + 1)));
    return pairs;
}

// gather(from, to) for a few of the atoms [begin, end) at a time, with the task's edges set to their pairs.
template <class Task, class Gather>
void cut_pairs(const NeighborList& list, const PairBlock& pairs, Task& task, int64_t begin, int64_t end,
               const Gather& gather) {
    for (int64_t from = begin; from < end; from += kCutAtoms) {
        const int64_t to = std::min(end, from + kCutAtoms);
        list.cut(from, to, pairs);
        task.first = pairs.first - from;
        task.second = pairs.second;
        task.vectors = pairs.vectors;
        gather(from, to);
    }
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
