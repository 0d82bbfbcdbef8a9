// The per-step part of a neighbour list: measure the candidates and keep those inside the cutoff.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

struct CutTask {
    const double* images;          // (I,8) atom's position and the lattice vector, padded
    const int64_t* first;          // (N+1,) of the candidates
    const int32_t* image;          // (C,)
    const int32_t* image_atom;     // (I,)
    double cutoff_squared;
    double* scratch;               // four rows
    int64_t row;                   // length of a scratch row
    int64_t* count_end;            // (N+1,) receives the running end at index i + 1
    int32_t* second;
    int32_t* kept;
    double* vectors;
    double* distances;
    double closest_squared;        // out: the shortest squared distance met
};

// Writes from index first[begin] on; returns the end of what was written.
MLSAMPLE_DECLARE_KERNEL(int64_t, cut_candidates, (CutTask& task, int64_t begin, int64_t end))

}  // namespace mlsample
