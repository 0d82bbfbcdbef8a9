// Structures and their neighbours as the AEV kernels take them, and how a sweep over them is shared out to threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "parallel.hpp"

namespace mlsample {

// Frames are concatenated structures; frame f holds the atoms [frame_first[f], frame_first[f + 1]).
struct AevGraph {
    int64_t n_atoms, n_edges, n_frames;
    const int32_t* species;
    const int64_t* first;
    const int32_t* second;
    const double* vectors;
    const int64_t* frame_first;
};

// Throws std::invalid_argument for inconsistent arrays.
void check_graph(const AevGraph& graph, int num_species);

int64_t most_neighbors(const AevGraph& graph);

// Throws the std::invalid_argument that says what is wrong with an edge.
[[noreturn]] void report_edge(const AevGraph& graph, int64_t edge);

// The parts of a sweep: contiguous atoms of about equal cost, cut between frames whenever there are enough of them.
struct Parts {
    bool by_frame;
    std::vector<int64_t> bounds;  // frames or atoms
    int count() const { return static_cast<int>(bounds.size()) - 1; }
};

Parts make_parts(const AevGraph& graph);

// The same for atoms of one structure whose edges are not known yet: as many in each part.
Parts even_parts(int64_t atoms);

// Calls body(frame, begin, end) for the pieces of frames among the atoms [low, high).
template <class Body>
void for_pieces(const AevGraph& graph, int64_t low, int64_t high, const Body& body) {
    const int64_t* frames = graph.frame_first;
    int64_t f = std::upper_bound(frames, frames + graph.n_frames + 1, low) - frames - 1;
    for (; f < graph.n_frames && frames[f] < high; ++f) {
        const int64_t begin = std::max(low, frames[f]), end = std::min(high, frames[f + 1]);
        if (begin < end) body(f, begin, end);
    }
}

// Calls body(part, begin, end) with the atoms of each part, on the pool's threads.
template <class Body>
void for_parts(const AevGraph& graph, const Parts& parts, const Body& body) {
    parallel_parts(parts.count(), parts.count(), [&](int, int64_t from, int64_t to) {
        for (int64_t part = from; part < to; ++part) {
            const int64_t low = parts.bounds[part], high = parts.bounds[part + 1];
            if (parts.by_frame) body(static_cast<int>(part), graph.frame_first[low], graph.frame_first[high]);
            else body(static_cast<int>(part), low, high);
        }
    });
}

// Gradients (members, N, 4), of which three count, and virials (members, S, 3, 3) that parts add to: each in memory of
// its own, which `finish` sums in order, so that timing cannot change the result.
class PartSums {
public:
    PartSums(const AevGraph& graph, const Parts& parts, int members);
    double* gradient(int part) const { return buffers_ + part * stride_; }
    double* virial(int part) const { return gradient(part) + 4 * atoms_; }
    void clear(int part) const;  // by the thread that is going to use it
    void finish(double* gradient, double* virial) const;

private:
    int count_;
    int64_t atoms_, virials_, stride_;  // members x atoms, numbers of the virials, between parts
    double* buffers_;
};

}  // namespace mlsample
