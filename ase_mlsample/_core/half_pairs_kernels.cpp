#include "half_pairs_kernels.hpp"

#include "pair_lanes.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

struct Vector {
    Eight x, y, z;
};

MLSAMPLE_EIGHT Vector from_fractions(const MinimumImageTask& task, const Eight& a, const Eight& b, const Eight& c) {
    const double* cell = task.cell;
    if (task.rectangular) return {a * cell[0], b * cell[4], c * cell[8]};
    return {a * cell[0] + b * cell[3] + c * cell[6], a * cell[1] + b * cell[4] + c * cell[7],
            a * cell[2] + b * cell[5] + c * cell[8]};
}

// Appends those of the pairs with the atoms at the places j .. j + 8 whose bit is set.
MLSAMPLE_EIGHT int64_t append(const MinimumImageTask& task, const Vector& d, const Eight& square, int64_t j,
                              unsigned keep, int64_t out) {
#if defined(__AVX512F__) && defined(__AVX512VL__)
    const auto mask = static_cast<__mmask8>(keep);
    const __m256i atoms = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(task.order + j));
    const Eight* from[4] = {&d.x, &d.y, &d.z, &square};
    double* to[4] = {task.x, task.y, task.z, task.square};
    for (int k = 0; k < 4; ++k)
        _mm512_storeu_pd(to[k] + out, _mm512_maskz_compress_pd(mask, (__m512d)from[k]->part[0]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(task.second + out), _mm256_maskz_compress_epi32(mask, atoms));
    return out + __builtin_popcount(keep);
#else
    double rows[4][8];
    put(rows[0], d.x);
    put(rows[1], d.y);
    put(rows[2], d.z);
    put(rows[3], square);
    for (; keep; keep &= keep - 1, ++out) {
        const int k = __builtin_ctz(keep);
        task.x[out] = rows[0][k];
        task.y[out] = rows[1][k];
        task.z[out] = rows[2][k];
        task.square[out] = rows[3][k];
        task.second[out] = task.order[j + k];
    }
    return out;
#endif
}

MLSAMPLE_EIGHT int64_t place(MinimumImageTask& task, const Eight (&s)[3], int64_t j, unsigned valid, int64_t out) {
    const Vector d = from_fractions(task, s[0], s[1], s[2]);
    const Eight square = d.x * d.x + d.y * d.y + d.z * d.z;
    const unsigned keep = less(square, splat(task.cutoff_squared)) & valid;
    if (less(square, splat(task.overlap_squared)) & valid) task.overlap = true;
    return keep ? append(task, d, square, j, keep, out) : out;
}

// Pairs of an atom with the eight at the places j .. j + 8 that come after it.
MLSAMPLE_EIGHT int64_t pairs_with(MinimumImageTask& task, const double* own, int64_t after, int64_t j, int64_t out) {
    unsigned valid = task.valid[j / 8];
    if (j <= after) valid &= 0xffu << (after + 1 - j);
    Eight s[3];
    unsigned twice = 0;  // directions in which a second image may be in reach
    for (int a = 0; a < 3; ++a) {
        const Eight f = get(task.fractions + a * task.row + j) - own[a];
        s[a] = f - task.periodic[a] * nearest(f);
        if (task.far[a] < 0.5) twice |= static_cast<unsigned>(less(splat(task.far[a]), size(s[a])) != 0) << a;
    }
    out = place(task, s, j, valid, out);
    if (!twice) return out;
    for (unsigned flips = 1; flips < 8; ++flips) {
        if (flips & ~twice) continue;
        Eight other[3];
        for (int a = 0; a < 3; ++a) {
            other[a] = s[a];
            if (flips >> a & 1) other[a] = where_less(s[a], Eight{}, s[a] + 1.0, s[a] - 1.0);
        }
        out = place(task, other, j, valid, out);
    }
    return out;
}

// Bit k is set where the box k places on may hold an atom in reach.
MLSAMPLE_EIGHT unsigned near_boxes(const MinimumImageTask& task, const double* own, int64_t box) {
    Eight total{};
    for (int a = 0; a < 3; ++a) {
        const Eight f = get(task.boxes + a * task.box_row + box) - own[a];
        Eight gap = size(f - task.periodic[a] * nearest(f)) - get(task.boxes + (a + 3) * task.box_row + box);
        gap = where_less(gap, Eight{}, Eight{}, gap) * task.height[a];
        const Eight square = gap * gap;
        // in an oblique cell gaps do not add up, but none is wider than the distance
        total = task.rectangular ? total + square : where_less(total, square, square, total);
    }
    return less(total, splat(task.cutoff_squared));
}

}  // namespace

int64_t minimum_image_pairs(MinimumImageTask& task, int64_t place, int64_t out) {
    const double own[3] = {task.fractions[place], task.fractions[task.row + place],
                           task.fractions[2 * task.row + place]};
    const int64_t start = out, from = (place + 1) / 8;
    if (task.boxes) {
        for (int64_t box = from / 8 * 8; box < task.box_row; box += 8) {
            unsigned bits = near_boxes(task, own, box);
            if (box < from) bits &= 0xffu << (from - box);
            for (; bits; bits &= bits - 1)
                out = pairs_with(task, own, place, 8 * (box + __builtin_ctz(bits)), out);
        }
    } else {
        for (int64_t j = 8 * from; j < task.row; j += 8) out = pairs_with(task, own, place, j, out);
    }
    for (; (out - start) % 8; ++out) {
        task.x[out] = task.y[out] = task.z[out] = 0.0;
        task.square[out] = task.cutoff_squared;
        task.second[out] = task.order[place];
    }
    return out;
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
