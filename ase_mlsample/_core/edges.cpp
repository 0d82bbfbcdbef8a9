#include "edges.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel.hpp"

namespace mlsample {
namespace {

// Parts are made by the number of atoms alone, so that the order of the sums is never another.
constexpr int64_t kAtomsOfAPart = 2048;
constexpr int64_t kMostParts = 8;

void pull_part(const Edges& edges, const double* edge_gradient, const double* weights, int64_t begin, int64_t end,
               double* gradient, double* virial) {
    std::fill_n(gradient, 3 * edges.n_atoms, 0.0);
    double xx = 0.0, yy = 0.0, zz = 0.0, yz = 0.0, xz = 0.0, xy = 0.0;
    for (int64_t i = begin; i < end; ++i) {
        const double w = weights[i];
        if (w == 0.0) continue;
        double x = 0.0, y = 0.0, z = 0.0;  // nine sums are as many as stay in registers
        for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e) {
            const double* g = edge_gradient + 3 * e;
            const double* d = edges.vectors + 3 * e;
            double* other = gradient + 3 * static_cast<int64_t>(edges.second[e]);
            const double gx = w * g[0], gy = w * g[1], gz = w * g[2];
            x += gx;
            y += gy;
            z += gz;
            other[0] += gx;
            other[1] += gy;
            other[2] += gz;
            xx += gx * d[0];
            yy += gy * d[1];
            zz += gz * d[2];
            yz += gy * d[2] + gz * d[1];
            xz += gx * d[2] + gz * d[0];
            xy += gx * d[1] + gy * d[0];
        }
        gradient[3 * i] -= x;
        gradient[3 * i + 1] -= y;
        gradient[3 * i + 2] -= z;
    }
    const double sums[6] = {xx, yy, zz, 0.5 * yz, 0.5 * xz, 0.5 * xy};
    std::copy_n(sums, 6, virial);
}

}  // namespace

void check_edges(const Edges& edges) {
    if (edges.first[0] != 0 || edges.first[edges.n_atoms] != edges.n_edges)
        throw std::invalid_argument("`first` must start at 0 and end at the number of edges, " +
                                    std::to_string(edges.n_edges));
    for (int64_t i = 0; i < edges.n_atoms; ++i)
        if (edges.first[i + 1] < edges.first[i])
            throw std::invalid_argument("`first` must not decrease, but does at atom " + std::to_string(i));
    const auto n = static_cast<uint32_t>(std::min<int64_t>(edges.n_atoms, INT32_MAX));
    uint32_t most = 0;  // a negative number becomes a very large one
    for (int64_t e = 0; e < edges.n_edges; ++e) most = std::max(most, static_cast<uint32_t>(edges.second[e]));
    if (edges.n_edges > 0 && most >= n)
        throw std::invalid_argument("`second` names atom " + std::to_string(static_cast<int32_t>(most)) + " of " +
                                    std::to_string(edges.n_atoms));
}

void pull_edges(const Edges& edges, const double* edge_gradient, const double* weights, double* gradient,
                double* virial) {
    const int64_t n = edges.n_atoms;
    const auto parts = static_cast<int>(std::clamp<int64_t>(n / kAtomsOfAPart, 1, kMostParts));
    thread_local std::vector<double> partial;
    partial.resize(3 * n * (parts - 1));
    double* others = partial.data();  // the threads of the pool have vectors of their own
    double virials[kMostParts][6];
    const auto part_gradient = [&](int part) { return part == 0 ? gradient : others + 3 * n * (part - 1); };
    parallel_parts(n, parts, [&](int part, int64_t begin, int64_t end) {
        pull_part(edges, edge_gradient, weights, begin, end, part_gradient(part), virials[part]);
    });
    for (int part = 1; part < parts; ++part) {
        const double* own = part_gradient(part);
        for (int64_t k = 0; k < 3 * n; ++k) gradient[k] += own[k];
        for (int k = 0; k < 6; ++k) virials[0][k] += virials[part][k];
    }
    constexpr int kVoigt[9] = {0, 5, 4, 5, 1, 3, 4, 3, 2};
    for (int k = 0; k < 9; ++k) virial[k] = virials[0][kVoigt[k]];
}

}  // namespace mlsample
