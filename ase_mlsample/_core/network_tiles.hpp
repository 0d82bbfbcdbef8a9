// Products of small matrices in register tiles. Included only by network_*kernels.cpp.
#pragma once

#include "aev_simd.hpp"
#include "network_kernels.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// `count` rows of `from`, each `inputs` long and now `row` apart; zeros fill a block.
template <class T>
void put_rows(const T* from, const int32_t* rows, int count, int inputs, int64_t row, T* to) {
    for (int k = 0; k < network_block; ++k, to += row) {
        int c = 0;
        if (k < count) {
            const T* source = from + static_cast<int64_t>(rows[k]) * inputs;
            for (; c < inputs; ++c) to[c] = source[c];
        }
        for (; c < row; ++c) to[c] = 0;
    }
}

#if defined(__AVX512F__)
constexpr int most_columns = 4;  // of a tile, in vectors: 32 registers
constexpr int tile_rows[] = {0, 24, 12, 8, 6};
#else
constexpr int most_columns = 3;  // 16 registers
constexpr int tile_rows[] = {0, 12, 6, 4};
#endif

// A matrix whose element (r, k) is data[r * row + k * step].
template <class T>
struct Factor {
    const T* data;
    int64_t row, step;
};

// sums (height, columns) of x (height, depth) times w (depth, columns), whose rows are w_row apart. Not inlined:
// whatever surrounded the loop would take registers from it.
template <class T, int columns>
__attribute__((noinline)) void tile(Factor<T> x, const T* w, int64_t w_row, int depth, Vec<T>* sums) {
    constexpr int height = tile_rows[columns];
    Vec<T> sum[height][columns]{};
    for (int k = 0; k < depth; ++k) {
        Vec<T> weight[columns];
#pragma GCC unroll 4
        for (int c = 0; c < columns; ++c) weight[c] = load(w + k * w_row + c * width<T>);
#pragma GCC unroll 24
        for (int r = 0; r < height; ++r) {
            const Vec<T> value = splat<T>(x.data[r * x.row + k * x.step]);
#pragma GCC unroll 4
            for (int c = 0; c < columns; ++c) sum[r][c] += value * weight[c];
        }
    }
#pragma GCC unroll 24
    for (int r = 0; r < height; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < columns; ++c) sums[r * columns + c] = sum[r][c];
    }
}

// finish(row, column, sum) over one strip of columns; rows are filled up to whole tiles. Every row is summed in the
// same order, whatever rows it is worked on with.
template <class T, int columns, class Finish>
MLSAMPLE_INLINE void strip(Factor<T> x, int rows, const T* w, int64_t w_row, int depth, const Finish& finish) {
    constexpr int height = tile_rows[columns];
    Vec<T> sums[height * columns];
    for (int row = 0; row < rows; row += height) {
        tile<T, columns>({x.data + row * x.row, x.row, x.step}, w, w_row, depth, sums);
        for (int r = 0; r < height; ++r) {
            for (int c = 0; c < columns; ++c) finish(row + r, c * width<T>, sums[r * columns + c]);
        }
    }
}

// finish(row, column, sum) for sums of x (rows, depth) times w (depth, columns); columns is a multiple of the width.
template <class T, class Finish>
MLSAMPLE_INLINE void multiply(Factor<T> x, int rows, const T* w, int64_t w_row, int columns, int depth,
                              const Finish& finish) {
    const int vectors = columns / width<T>;
    for (int v = 0, taken; v < vectors; v += taken) {
        const int left = vectors - v, first = v * width<T>;
        taken = left % 3 == 0 || left < most_columns ? (left < 3 ? left : 3) : most_columns;
        const auto shifted = [&](int row, int column, Vec<T> sum) { finish(row, first + column, sum); };
        if (taken == 1) strip<T, 1>(x, rows, w + first, w_row, depth, shifted);
        else if (taken == 2) strip<T, 2>(x, rows, w + first, w_row, depth, shifted);
        else if (taken == 3) strip<T, 3>(x, rows, w + first, w_row, depth, shifted);
#if defined(__AVX512F__)
        else strip<T, 4>(x, rows, w + first, w_row, depth, shifted);
#endif
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
