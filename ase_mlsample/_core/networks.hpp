// The networks of all members and elements of an ensemble, packed for the kernels.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "network_kernels.hpp"

namespace mlsample {

ActivationKind activation_named(const std::string& name);  // throws std::invalid_argument

// Weights (members, outputs, inputs) of one layer; biases (members, outputs), or a null pointer; and steps (members,
// outputs) of a layer that gives its input + step * activation, or a null pointer.
template <class T>
struct LayerWeights {
    int64_t outputs, inputs;
    const T *weights, *bias, *step;
};

template <class T>
class Networks {
public:
    // elements: the layers of each element's networks, in species order; copied. Throws std::invalid_argument.
    Networks(int members, ActivationKind activation, const std::vector<std::vector<LayerWeights<T>>>& elements);
    Networks(const Networks&) = delete;  // the layers point into the object
    Networks& operator=(const Networks&) = delete;

    int members() const { return members_; }
    int inputs() const { return inputs_; }
    int num_species() const { return static_cast<int>(elements_.size()); }

    // (outputs, inputs) of an element's layers.
    std::vector<std::pair<int, int>> shapes(int element) const;

    // Other weights of the same shapes.
    void set_weights(const std::vector<std::vector<LayerWeights<T>>>& elements);

    // Arrays for the derivatives by the weights (members, outputs, inputs) and biases (members, outputs) of an
    // element's layers; no biases if they are empty.
    struct WeightGradient {
        std::vector<T*> weights, biases;
    };

    // Of sum over members m and atoms i of (by_energy[m, i] E + tangent[m, i] . dE/d(aev)): what it changes with the
    // weights. by_energy (members, count), tangent (members, count, inputs) or null. Members are shared out to threads.
    void weight_gradient(const int32_t* species, int64_t count, const T* aev, const T* by_energy, const T* tangent,
                         const std::vector<WeightGradient>& out) const;

    // Memory that `run` needs for `count` atoms.
    int64_t scratch_bytes(int64_t count) const;

    // Energies and derivatives of atoms 0 <= i < count with aev (count, inputs), on this thread. energies are
    // (members, energies_stride), gradient (members or 1, gradient_stride), its rows those of aev.
    void run(const int32_t* species, int64_t count, const T* aev, bool mean, T* energies, int64_t energies_stride,
             T* gradient, int64_t gradient_stride, void* scratch) const;

    // The same on all threads, for arrays without gaps: energies (members, count), gradient (members or 1, count, inputs).
    void evaluate(const int32_t* species, int64_t count, const T* aev, bool mean, T* energies, T* gradient) const;

private:
    struct Element {
        int n_layers = 0;
        std::vector<NetworkLayer<T>> layers;  // (members, n_layers)
        std::vector<T> memory;
    };
    void reserve(Element& element, const std::vector<LayerWeights<T>>& given);
    void pack(const Element& element, const std::vector<LayerWeights<T>>& given);
    void check_species(const int32_t* species, int64_t count) const;

    int64_t kernel_bytes() const;

    int members_, inputs_ = 0, widest_ = 0, deepest_ = 0;
    int input_row_ = 0, row_ = 0;  // longest rows: of the first layers' inputs, of all others
    ActivationKind activation_;
    NetworkKernels<T> kernels_;
    WeightKernels<T> weight_kernels_;
    std::vector<Element> elements_;
};

}  // namespace mlsample
