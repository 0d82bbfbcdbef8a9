#include "neighbors_kernels.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// Displacements and squared distances of one centre's candidates, into the four scratch rows.
double measure(const CutTask& task, int64_t centre, int64_t from, int64_t count) {
    const double* __restrict images = task.images;
    const int32_t* __restrict image = task.image + from;
    double* __restrict dx = task.scratch;
    double* __restrict dy = dx + task.row;
    double* __restrict dz = dy + task.row;
    double* __restrict d2 = dz + task.row;
    const double x = images[8 * centre], y = images[8 * centre + 1], z = images[8 * centre + 2];
    double closest = 1e300;
#pragma omp simd reduction(min : closest)
    for (int64_t c = 0; c < count; ++c) {
        const int64_t k = 8 * static_cast<int64_t>(image[c]);
        // in this order the two directions of a pair are exact negatives: both are kept or neither
        const double a = (images[k] - x) + images[k + 4];
        const double b = (images[k + 1] - y) + images[k + 5];
        const double e = (images[k + 2] - z) + images[k + 6];
        const double squared = a * a + b * b + e * e;
        dx[c] = a;
        dy[c] = b;
        dz[c] = e;
        d2[c] = squared;
        closest = squared < closest ? squared : closest;
    }
    return closest;
}

}  // namespace

int64_t cut_candidates(CutTask& task, int64_t begin, int64_t end) {
    const double* dx = task.scratch;
    const double* dy = dx + task.row;
    const double* dz = dy + task.row;
    const double* d2 = dz + task.row;
    const double limit = task.cutoff_squared;
    const int64_t start = task.first[begin];
    int64_t out = start;
    double closest = 1e300;
    for (int64_t i = begin; i < end; ++i) {
        const int64_t from = task.first[i], count = task.first[i + 1] - from;
        const double shortest = measure(task, i, from, count);
        closest = shortest < closest ? shortest : closest;
        for (int64_t c = 0; c < count; ++c) {  // branch-free: an entry that is not kept is overwritten
            task.second[out] = task.image_atom[task.image[from + c]];
            task.kept[out] = static_cast<int32_t>(from + c);
            task.vectors[3 * out] = dx[c];
            task.vectors[3 * out + 1] = dy[c];
            task.vectors[3 * out + 2] = dz[c];
            task.distances[out] = d2[c];
            out += d2[c] < limit;
        }
        task.count_end[i + 1] = out;
    }
    double* __restrict distances = task.distances;
#pragma omp simd
    for (int64_t e = start; e < out; ++e) distances[e] = __builtin_sqrt(distances[e]);
    task.closest_squared = closest;
    return out;
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
