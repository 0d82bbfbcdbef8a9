// The embedding networks' values and slopes for a few neighbours, and sums over them. Included only by
// deep_potential_kernels.cpp.
#pragma once

#include "deep_potential_slots.hpp"
#include "network_activations.hpp"
#include "network_tiles.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// g and dg/d(place) of slots from their polynomials.
template <class T>
struct TableRows {
    const T* table;
    const int32_t* interval;
    const T* place;
    int64_t row;

    struct Row {
        const T* c;
        int64_t row;
        Vec<T> x;
        MLSAMPLE_INLINE Vec<T> value(int64_t column) const {
            const T* at = c + column;
            Vec<T> y = load(at + 5 * row);
#pragma GCC unroll 5
            for (int k = 4; k >= 0; --k) y = y * x + load(at + k * row);
            return y;
        }
        MLSAMPLE_INLINE Vec<T> both(int64_t column, Vec<T>* slope) const {
            const T* at = c + column;
            Vec<T> y = load(at + 5 * row), dy = y;
#pragma GCC unroll 4
            for (int k = 4; k > 0; --k) {
                y = y * x + load(at + k * row);
                dy = dy * x + y;
            }
            *slope = dy;
            return y * x + load(at);
        }
    };
    MLSAMPLE_INLINE Row operator[](int64_t slot) const {
        return {table + 6 * row * static_cast<int64_t>(interval[slot]), row, splat<T>(place[slot])};
    }
};

// g and dg/ds of slots that were evaluated beforehand, from slot `first` on.
template <class T>
struct GivenRows {
    const T *values, *rates;
    int64_t row, first;

    struct Row {
        const T *g, *dg;
        MLSAMPLE_INLINE Vec<T> value(int64_t column) const { return load(g + column); }
        MLSAMPLE_INLINE Vec<T> both(int64_t column, Vec<T>* slope) const {
            *slope = load(dg + column);
            return load(g + column);
        }
    };
    MLSAMPLE_INLINE Row operator[](int64_t slot) const {
        return {values + (slot - first) * row, rates + (slot - first) * row};
    }
};

// Memory for network_block neighbours.
template <class T>
struct EmbeddingMemory {
    T *values[2], *rates[2], *slopes;
};

// Adds the input of a layer to its output.
template <class T>
void add_copies(const EmbeddingShape& shape, int count, int64_t row, const T* x, T* y) {
    for (int copy = 0; copy < shape.copies; ++copy) {
        for (int k = 0; k < count; ++k) {
            const T* from = x + k * row;
            T* to = y + k * row + copy * shape.inputs;
#pragma omp simd
            for (int c = 0; c < shape.inputs; ++c) to[c] += from[c];
        }
    }
}

// g and, with `rates`, dg/ds of up to network_block neighbours from the layers themselves, which take `scale` times
// the s given.
template <class T, bool rates>
GivenRows<T> embed(const DeepPotentialConstants<T>& c, const Embedding<T>& net, const T* s, T scale, int count,
                   const EmbeddingMemory<T>& m) {
    const int64_t row = c.widest;
    for (int k = 0; k < count; ++k) m.values[0][k * row] = scale * s[k], m.rates[0][k * row] = scale;
    int at = 0;
    for (int l = 0; l < c.n_layers; ++l, at = 1 - at) {
        const EmbeddingShape& shape = c.shapes[l];
        const T *x = m.values[at], *dx = m.rates[at], *bias = net.biases[l];
        T *y = m.values[1 - at], *dy = m.rates[1 - at];
        multiply<T>({x, row, 1}, count, net.weights[l], shape.row, shape.row, shape.inputs,
                    [&](int k, int column, Vec<T> sum) {
                        const Activated<T> a = activate<T, ActivationKind::tanh>(sum + load(bias + column));
                        store<T>(y + k * row + column, a.value);
                        if (rates) store<T>(m.slopes + k * row + column, a.slope);
                    });
        if (rates) {
            multiply<T>({dx, row, 1}, count, net.weights[l], shape.row, shape.row, shape.inputs,
                        [&](int k, int column, Vec<T> sum) {
                            store<T>(dy + k * row + column, sum * load(m.slopes + k * row + column));
                        });
            add_copies(shape, count, row, dx, dy);
        }
        add_copies(shape, count, row, x, y);
    }
    return {m.values[at], m.rates[at], row, 0};
}

// Adds g(j) r_c(j) of the slots [from, to) to `columns` vectors of each of the four rows of the matrix.
template <class T, int columns, class Rows>
MLSAMPLE_INLINE void add_strip(const Rows& rows, const T* const* r, int64_t from, int64_t to, int64_t column,
                               int64_t row, T* matrix) {
    Vec<T> sum[4][columns];
#pragma GCC unroll 4
    for (int a = 0; a < 4; ++a) {
#pragma GCC unroll 4
        for (int c = 0; c < columns; ++c) sum[a][c] = load(matrix + a * row + column + c * width<T>);
    }
    for (int64_t slot = from; slot < to; ++slot) {
        const auto g = rows[slot];
        Vec<T> value[columns];
#pragma GCC unroll 4
        for (int c = 0; c < columns; ++c) value[c] = g.value(column + c * width<T>);
#pragma GCC unroll 4
        for (int a = 0; a < 4; ++a) {
            const Vec<T> factor = splat<T>(r[a][slot]);
#pragma GCC unroll 4
            for (int c = 0; c < columns; ++c) sum[a][c] += value[c] * factor;
        }
    }
#pragma GCC unroll 4
    for (int a = 0; a < 4; ++a) {
#pragma GCC unroll 4
        for (int c = 0; c < columns; ++c) store<T>(matrix + a * row + column + c * width<T>, sum[a][c]);
    }
}

template <class T, class Rows>
void add_neighbors(const Rows& rows, const T* const* r, int64_t from, int64_t to, int64_t row, T* matrix) {
    int64_t column = 0;
#if defined(__AVX512F__)
    for (; column + 3 * width<T> <= row; column += 3 * width<T>) {
        add_strip<T, 3>(rows, r, from, to, column, row, matrix);
    }
#endif
    for (; column + 2 * width<T> <= row; column += 2 * width<T>) {
        add_strip<T, 2>(rows, r, from, to, column, row, matrix);
    }
    if (column < row) add_strip<T, 1>(rows, r, from, to, column, row, matrix);
}

// For each of the slots [from, to), at most a vector of them: sums over the columns of g A_c, c < 4, and of
// dg/dx sum_c A_c r_c. Places that are left over are nil.
template <class T, class Rows>
MLSAMPLE_INLINE void contract(const Rows& rows, const T* const* r, int64_t from, int64_t to, int64_t row,
                              const T* adjoint, Vec<T>* lanes, Vec<T>* out) {
    for (int64_t slot = from; slot < to; ++slot) {
        const auto g = rows[slot];
        const Vec<T> factor[4] = {splat<T>(r[0][slot]), splat<T>(r[1][slot]), splat<T>(r[2][slot]),
                                  splat<T>(r[3][slot])};
        Vec<T> sum[5]{};
        for (int64_t column = 0; column < row; column += width<T>) {
            Vec<T> slope, along{};
            const Vec<T> value = g.both(column, &slope);
#pragma GCC unroll 4
            for (int a = 0; a < 4; ++a) {
                const Vec<T> A = load(adjoint + a * row + column);
                sum[a] += value * A;
                along += A * factor[a];
            }
            sum[4] += slope * along;
        }
#pragma GCC unroll 5
        for (int a = 0; a < 5; ++a) lanes[a * width<T> + slot - from] = sum[a];
    }
    for (int64_t k = to - from; k < width<T>; ++k) {
        for (int a = 0; a < 5; ++a) lanes[a * width<T> + k] = Vec<T>{};
    }
    for (int a = 0; a < 5; ++a) sum_lanes<T>(lanes + a * width<T>, width<T>, reinterpret_cast<T*>(out + a));
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
