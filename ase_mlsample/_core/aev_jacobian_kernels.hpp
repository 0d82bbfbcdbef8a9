// What the kept Jacobian (aev_jacobian.cpp) and its kernels, compiled once per instruction set, agree on.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

// Rows (features) × columns of derivatives; columns are padded with zeros to a multiple of 64 bytes.
struct JacobianBlock {
    int64_t data;                       // offset of the block's numbers
    int32_t feature, rows;              // features it belongs to
    int32_t column, columns;            // columns of the atom it belongs to
};

// Neighbours [slot, slot + count) of one species. A radial segment has one column a neighbour (the derivative by
// distance), an angular one three runs of `count` columns: derivatives by x, by y, by z.
struct JacobianSegment {
    int32_t slot, count, column;
    int32_t angular;
};

struct JacobianAtom {
    int64_t blocks, segments;           // first of its own; those of the next atom end them
    int64_t neighbors;                  // first of its neighbour numbers
    int64_t edges;                      // offset of ux uy uz dx dy dz, each `stride` long
    int32_t count, stride, columns;
};

// The centres [begin, end) of one frame.
template <class T>
struct JacobianTask {
    const JacobianAtom* atoms;
    const JacobianBlock* blocks;
    const JacobianSegment* segments;
    const int32_t* neighbors;           // within the frame
    const T* numbers;
    int64_t begin, end;
    int members;
    int64_t length;                     // features
    const T* weights;                   // gradient: (M, member_features) from the frame's first atom on
    T* aev;                             // tangent: the same, overwritten
    int64_t member_features;
    double* gradient;                   // gradient: (M, member_positions), added to
    const double* directions;           // tangent: the same
    int64_t member_positions;
    double* virial;                     // gradient: (M, member_strain), added to
    const double* strain;               // tangent: the same, or null
    int64_t member_strain;
    T* scratch;                         // 64-byte aligned, 4 · (most columns) + 3 · (longest stride) numbers
};

MLSAMPLE_DECLARE_KERNEL(void, jacobian_gradient, (const JacobianTask<float>& task))
MLSAMPLE_DECLARE_KERNEL(void, jacobian_gradient_double, (const JacobianTask<double>& task))
MLSAMPLE_DECLARE_KERNEL(void, jacobian_tangent, (const JacobianTask<float>& task))
MLSAMPLE_DECLARE_KERNEL(void, jacobian_tangent_double, (const JacobianTask<double>& task))

}  // namespace mlsample
