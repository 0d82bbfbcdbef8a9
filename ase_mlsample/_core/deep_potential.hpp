// Deep Potentials (Zhang et al., NeurIPS 31, 4436 (2018), in deepmd-kit's form "se_e2_a"): all members of an ensemble
// on the neighbours of one atom after another.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "aev_graph.hpp"
#include "deep_potential_kernels.hpp"
#include "neighbors.hpp"
#include "networks.hpp"

namespace mlsample {

// Arrays over members and pairs of elements (centre, neighbour), which are copied.
template <class T>
struct DeepPotentialSettings {
    int members = 0, num_species = 0, axis = 0;
    double cutoff = 0, switch_start = 0;
    const double *slots = nullptr;     // (neighbour,): sel
    const double *mean = nullptr, *std_radial = nullptr, *std_angular = nullptr;  // (members, centre)
    int64_t outputs = 0;               // of the embeddings
    const T* empty = nullptr;          // (members, centre, neighbour, outputs): g at s = 0
    int64_t intervals = 0;             // of the tables, or 0
    const T* tables = nullptr;         // (members, centre, neighbour, intervals, 6, outputs), of s
    std::vector<LayerWeights<T>> layers;  // without tables, each over (members, centre, neighbour), of (s - m)/d
    std::vector<std::vector<LayerWeights<T>>> fittings;  // of each element; inputs are (outputs, axis)
};

template <class T>
class DeepPotential {
public:
    explicit DeepPotential(const DeepPotentialSettings<T>& settings);  // throws std::invalid_argument
    DeepPotential(const DeepPotential&) = delete;                      // the constants point into the object
    DeepPotential& operator=(const DeepPotential&) = delete;

    int members() const { return static_cast<int>(fittings_.size()); }
    const DeepPotentialConstants<T>& constants() const { return constants_; }
    const DeepPotentialKernels<T>& kernels() const { return kernels_; }
    const Networks<T>& fitting(int member) const { return *fittings_[member]; }

    // energies (m, N) of each member's fitting networks (m = members), or of their mean (m = 1) where `mean`; gradient
    // (m, N, 3) and virial (m, S, 3, 3): the derivatives of their sums. Throws std::invalid_argument.
    void evaluate(const AevGraph& graph, bool mean, double* energies, double* gradient, double* virial) const;

    // The same for one structure whose neighbours are found block by block as well.
    void evaluate(const NeighborList& neighbors, const int32_t* species, bool mean, double* energies, double* gradient,
                  double* virial) const;

private:
    void set_statistics(const DeepPotentialSettings<T>& s);
    void set_tables(const DeepPotentialSettings<T>& s);
    void set_layers(const DeepPotentialSettings<T>& s);
    void set_fittings(const DeepPotentialSettings<T>& s);

    DeepPotentialConstants<T> constants_{};
    DeepPotentialKernels<T> kernels_;
    std::vector<EmbeddingShape> shapes_;
    std::vector<Embedding<T>> embeddings_;
    std::vector<const T*> pointers_;  // of the embeddings' layers
    std::vector<T> mean_, inverse_, radial_, angular_, slots_;
    std::vector<T> memory_;           // of tables, layers and g at s = 0
    std::vector<std::unique_ptr<Networks<T>>> fittings_;
};

}  // namespace mlsample
