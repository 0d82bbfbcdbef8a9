// Pairs of one atom with all later ones by the minimum image, and by the next ones where they are in reach. Atoms are
// looked at in an order of their own, eight at a time; a box around the eight tells whether any of them may be near.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

struct MinimumImageTask {
    const double* fractions;     // three rows in that order
    const int32_t* order;        // (row,) atoms in that order
    const uint8_t* valid;        // (row/8,) a bit for each place that has an atom
    int64_t row;                 // a multiple of eight
    const double* boxes;         // six rows: middles and half widths of each eight, or nullptr: look at all
    int64_t box_row;             // a multiple of eight, filled up with boxes that are nowhere
    double height[3];            // distances between the faces of the cell
    double cell[9];
    double periodic[3];          // 1 or 0
    double far[3];               // where |fraction| is larger, the image on the other side may be in reach too
    double cutoff_squared, overlap_squared;
    bool rectangular;            // the cell's vectors lie along x, y and z
    // results, written from `out` on
    double *x, *y, *z, *square;
    int32_t* second;
    bool overlap;                // set when atoms are closer than the square root of overlap_squared
};

// Pairs of the atom at a place in the order. Returns the end of what it wrote; there must be room for all images of the
// atoms from there on, and sixteen more.
MLSAMPLE_DECLARE_KERNEL(int64_t, minimum_image_pairs, (MinimumImageTask& task, int64_t place, int64_t out))

}  // namespace mlsample
