// Similarity of the surroundings of a run of atoms, all of one species, to the templates of that species.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

// A place where a template has a neighbour. With d the vector to a neighbour of the atom, the exponent to the base 2
// of its Gaussian is scale |d|^2 + offset + slope.d.
struct EnvironmentSite {
    double offset, slope[3], place[3], species;
};

struct EnvironmentTask {
    // the templates of this species
    int64_t templates;
    const int64_t* site_first;   // (L+1,)
    const EnvironmentSite* sites;
    const double* share;         // (L,) one over the number of neighbours of a template
    double lambda;
    // the Gaussian and the switch that takes it to zero between two radii (one radius: it is cut there)
    double scale;                // -log2(e) / (4 sigma^2)
    double stiffness;            // 1 / (2 sigma^2)
    double inner, outer;
    bool match_species;          // false when all atoms and sites are of one species
    // pairs
    const int32_t* order;        // atoms to do, or nullptr: as they come
    const int32_t* species;      // (N,)
    const int64_t* first;
    const int32_t* second;
    const double* vectors;
    const double* distances;
    // results
    double* values;              // (N,)
    double* edge_gradient;       // (E,3)
    double* scratch;             // environment_scratch() numbers, aligned to 64 bytes
    int64_t longest;             // most neighbours of one of the atoms
};

constexpr int64_t kEnvironmentBlock = 128;  // edges done together, more where one atom has more
constexpr int64_t kEnvironmentRows = 10;    // rows of scratch beside those of the templates
constexpr int64_t kTemplateRows = 5;

inline int64_t environment_row(int64_t longest) { return (kEnvironmentBlock + longest + 7) / 8 * 8; }
inline int64_t environment_scratch(int64_t templates, int64_t longest) {
    return (kEnvironmentRows + kTemplateRows * templates) * environment_row(longest) + 2 * templates;
}

MLSAMPLE_DECLARE_KERNEL(void, environment_similarity, (const EnvironmentTask& task, int64_t begin, int64_t end))

}  // namespace mlsample
