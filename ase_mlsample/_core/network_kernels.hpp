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
};

constexpr int network_block = 48;  // atoms at a time: a multiple of every tile's rows

// The networks of one element on some atoms. Row k of `rows` names an atom's row of aev, energies and gradient.
template <class T>
struct NetworkTask {
    const NetworkLayer<T>* layers;  // (members, n_layers)
    int members, n_layers, widest;  // longest row of all layers
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
    int64_t (*scratch_bytes)(int n_layers, int widest);
    void (*run)(const NetworkTask<T>&);
};

MLSAMPLE_DECLARE_KERNEL(void, network_kernels_single, (NetworkKernels<float>*))
MLSAMPLE_DECLARE_KERNEL(void, network_kernels_double, (NetworkKernels<double>*))

}  // namespace mlsample
