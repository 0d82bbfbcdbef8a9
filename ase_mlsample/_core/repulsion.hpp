// Screened nuclear repulsion (Ziegler, Biersack, Littmark 1985), switched off smoothly with distance.
#pragma once

#include <cstdint>

namespace mlsample {

struct RepulsionTask {
    const int32_t* numbers;      // (N,) atomic numbers
    const int64_t* first;        // (N+1,)
    const int32_t* second;       // (E,) both directions of each pair
    const double* vectors;       // (E,3)
    const double* inner;         // (Z,Z) where the switch begins, by atomic numbers, Å
    const double* outer;         // (Z,Z) where the repulsion ends, Å
    int64_t table;               // Z
    const int64_t* frame_first;  // (S+1,)
    int64_t frames;
    double* energies;            // (N,) half of each pair's energy
    double* gradient;            // (N,3) dE/dr
    double* virial;              // (S,3,3) dE/d(strain)
};

// Throws std::invalid_argument for atomic numbers outside the tables or without a range there (outer = 0).
void zbl(const RepulsionTask& task);

}  // namespace mlsample
