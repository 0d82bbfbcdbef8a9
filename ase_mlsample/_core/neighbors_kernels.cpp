#include "neighbors_kernels.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

typedef double Four __attribute__((vector_size(32)));

// Branch-free: a pair that is not kept is overwritten by the next.
template <bool all>
int64_t cut(CutTask& task, int64_t begin, int64_t end) {
    const double* const images = task.images;
    const int32_t *const image = task.image, *const image_atom = task.image_atom;
    int32_t *const second = task.second, *const kept = task.kept;
    double *const vectors = task.vectors, *const distances = task.distances;
    const double limit = task.cutoff_squared;
    int64_t out = task.start;
    double closest = 1e300;
    for (int64_t i = begin; i < end; ++i) {
        Four centre, atom, shift;
        __builtin_memcpy(&centre, images + 8 * i, sizeof centre);
        const int64_t last = task.first[i + 1];
        for (int64_t c = task.first[i]; c < last; ++c) {
            const double* at = images + 8 * static_cast<int64_t>(image[c]);
            __builtin_memcpy(&atom, at, sizeof atom);
            __builtin_memcpy(&shift, at + 4, sizeof shift);
            // in this order the two directions of a pair are exact negatives: both are kept or neither
            const Four d = (atom - centre) + shift, square = d * d;
            const double squared = square[0] + square[1] + square[2];
            second[out] = image_atom[image[c]];
            if (all) {
                for (int a = 0; a < 3; ++a) vectors[3 * out + a] = d[a];
                kept[out] = static_cast<int32_t>(c);
                distances[out] = squared;
            } else {
                __builtin_memcpy(vectors + 3 * out, &d, sizeof d);
            }
            closest = squared < closest ? squared : closest;
            out += squared < limit;
        }
        task.count_end[i + 1] = out;
    }
    task.closest_squared = closest;
    return out;
}

}  // namespace

int64_t cut_candidates(CutTask& task, int64_t begin, int64_t end) {
    if (!task.kept) return cut<false>(task, begin, end);
    const int64_t out = cut<true>(task, begin, end);
    double* __restrict distances = task.distances;
#pragma omp simd
    for (int64_t e = task.start; e < out; ++e) distances[e] = __builtin_sqrt(distances[e]);
    return out;
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
