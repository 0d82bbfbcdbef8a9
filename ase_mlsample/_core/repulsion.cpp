#include "repulsion.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel.hpp"

namespace mlsample {
namespace {

constexpr double kCoulomb = 14.399645478425667;             // e^2/(4 pi eps0), eV Å
constexpr double kScreening = 0.8854 * 0.529177210903;      // Å
constexpr double kWeights[4] = {0.18175, 0.50986, 0.28022, 0.02817};
constexpr double kDecays[4] = {3.19980, 0.94229, 0.40290, 0.20162};

struct Value {
    double energy, slope;
};

Value pair_energy(double zi, double zj, double r, double inner, double outer) {
    const double a = kScreening / (std::pow(zi, 0.23) + std::pow(zj, 0.23));
    double phi = 0.0, dphi = 0.0;
    for (int k = 0; k < 4; ++k) {
        const double term = kWeights[k] * std::exp(-kDecays[k] * r / a);
        phi += term;
        dphi -= kDecays[k] / a * term;
    }
    const double scale = kCoulomb * zi * zj / r;
    const double energy = scale * phi, slope = scale * (dphi - phi / r);
    if (r <= inner) return {energy, slope};
    const double width = outer - inner, t = (r - inner) / width;
    const double s = 1.0 - t * t * t * (10.0 - t * (15.0 - 6.0 * t));
    const double ds = -30.0 * t * t * (1.0 - t) * (1.0 - t) / width;
    return {s * energy, s * slope + ds * energy};
}

// The longest range among the elements that are there; also checks them.
double longest_range(const RepulsionTask& task) {
    const int64_t n = task.frame_first[task.frames];
    std::vector<int64_t> present;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t z = task.numbers[i];
        if (z < 1 || z >= task.table)
            throw std::invalid_argument("atom " + std::to_string(i) + " has atomic number " + std::to_string(z) +
                                        ", for which there is no repulsion");
        if (std::find(present.begin(), present.end(), z) == present.end()) present.push_back(z);
    }
    double longest = 0.0;
    for (int64_t a : present)
        for (int64_t b : present) {
            const double outer = task.outer[a * task.table + b];
            if (!(outer > 0) || !(task.inner[a * task.table + b] < outer))
                throw std::invalid_argument("there is no repulsion range for the atomic numbers " +
                                            std::to_string(a) + " and " + std::to_string(b));
            longest = std::max(longest, outer);
        }
    return longest;
}

void atom(const RepulsionTask& task, int64_t i, double longest_squared, double* virial) {
    const int64_t zi = task.numbers[i];
    double energy = 0.0, g[3] = {0, 0, 0};
    for (int64_t e = task.first[i]; e < task.first[i + 1]; ++e) {
        const double* d = task.vectors + 3 * e;
        const double square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        if (square >= longest_squared) continue;
        if (!(square > 0))
            throw std::invalid_argument("atoms " + std::to_string(i) + " and " + std::to_string(task.second[e]) +
                                        " are on top of each other, or the vector between them is not finite");
        const int64_t zj = task.numbers[task.second[e]], pair = zi * task.table + zj;
        const double r = std::sqrt(square);
        if (r >= task.outer[pair]) continue;
        const Value v = pair_energy(static_cast<double>(zi), static_cast<double>(zj), r, task.inner[pair],
                                    task.outer[pair]);
        energy += 0.5 * v.energy;
        for (int a = 0; a < 3; ++a) {
            const double p = v.slope * d[a] / r;
            g[a] -= p;
            for (int b = 0; b < 3; ++b) virial[3 * a + b] += 0.5 * p * d[b];
        }
    }
    task.energies[i] = energy;
    std::copy(g, g + 3, task.gradient + 3 * i);
}

}  // namespace

void zbl(const RepulsionTask& task) {
    const double longest = longest_range(task);
    const int64_t frames = task.frames;
    std::fill(task.virial, task.virial + 9 * frames, 0.0);
    parallel_parts(frames, parts_for(frames, 1), [&](int, int64_t begin, int64_t end) {
        for (int64_t s = begin; s < end; ++s)
            for (int64_t i = task.frame_first[s]; i < task.frame_first[s + 1]; ++i)
                atom(task, i, longest * longest, task.virial + 9 * s);
    });
}

}  // namespace mlsample
