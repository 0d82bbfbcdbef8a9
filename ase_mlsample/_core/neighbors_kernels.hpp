// The per-step part of a neighbour list: measure the candidates and keep those inside the cutoff.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

struct CutTask {
    const double* images;          // (I,8) atom's position and the lattice vector, each padded by a zero
    const int64_t* first;          // (N+1,) of the candidates
    const int32_t* image;          // (C,)
    const int32_t* image_atom;     // (I,)
    double cutoff_squared;
    int64_t start;                 // where to write the first pair
    int64_t* count_end;            // (N+1,) receives the running end at index i + 1
    int32_t* second;
    int32_t* kept;                 // null if neither this nor the distances are wanted; then
    double* vectors;               // one number after the last pair is written over
    double* distances;
    double closest_squared;        // out: the shortest squared distance met
};

// Pairs of the centres [begin, end), one after the other; returns the end of what was written. There must be room for
// all their candidates.
MLSAMPLE_DECLARE_KERNEL(int64_t, cut_candidates, (CutTask& task, int64_t begin, int64_t end))

}  // namespace mlsample
