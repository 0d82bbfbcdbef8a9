// What the networks' driver (networks.cpp) and its kernels, compiled once per instruction set, agree on: plain data.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

enum class ActivationKind { celu, gelu, softplus, tanh };

// One affine layer of one network. Rows are filled up with zeros to a multiple of 64 bytes.
template <class T>
struct NetworkLayer {
    int inputs, outputs;
    int forward_row, backward_row;  // outputs and inputs, filled up
    const T* weights;               // (inputs, forward_row)
    const T* transposed;            // (outputs, backward_row)
    const T* bias;                  // (forward_row,)
    const T* step;                  // (forward_row,) or null: the layer gives its input + step * activation
};

constexpr int network_block = 48;  // atoms at a time: a multiple of every tile's rows

// The networks of one element on some atoms. Row k of `rows` names an atom's row of aev, energies and gradient.
template <class T>
struct NetworkTask {
    const NetworkLayer<T>* layers;  // (members, n_layers)
    int members, n_layers;
    int input_row, row;             // longest rows: of the first layers' inputs, of all others
    ActivationKind activation;
    const int32_t* rows;
    int64_t count;
    const T* aev;                   // (N, inputs)
    T* energies;                    // (members, energies_stride)
    int64_t energies_stride;
    T* gradient;                    // (members or 1, N, inputs): derivative by the AEV, of the mean over members if 1
    int64_t gradient_stride;
    bool mean;
    void* scratch;                  // aligned to 64 bytes
};

template <class T>
struct NetworkKernels {
    int64_t (*scratch_bytes)(int n_layers, int input_row, int row);
    void (*run)(const NetworkTask<T>&);
};

// One member of one element in training: what sum_i (a_i E_i + u_i . dE_i/d(aev_i)) changes with its weights. Row k of
// `rows` names an atom's row of aev, by_energy and tangent.
template <class T>
struct WeightTask {
    const NetworkLayer<T>* layers;  // (n_layers,)
    int n_layers, widest;
    ActivationKind activation;
    const int32_t* rows;
    int64_t count;
    const T* aev;                   // (N, inputs)
    const T* by_energy;             // (N,): a
    const T* tangent;               // (N, inputs): u, or null for none
    T* const* weights;              // (n_layers,): (outputs, inputs) each, overwritten
    T* const* biases;               // (n_layers,): (outputs,) each, overwritten; or null
    void* scratch;                  // aligned to 64 bytes
};

template <class T>
struct WeightKernels {
    int64_t (*scratch_bytes)(const NetworkLayer<T>* layers, int n_layers, int widest);
    void (*run)(const WeightTask<T>&);
};

MLSAMPLE_DECLARE_KERNEL(void, network_kernels_single, (NetworkKernels<float>*))
MLSAMPLE_DECLARE_KERNEL(void, network_kernels_double, (NetworkKernels<double>*))
MLSAMPLE_DECLARE_KERNEL(void, weight_kernels_single, (WeightKernels<float>*))
MLSAMPLE_DECLARE_KERNEL(void, weight_kernels_double, (WeightKernels<double>*))

}  // namespace mlsample
