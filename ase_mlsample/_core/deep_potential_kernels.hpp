// What the Deep Potential's driver (deep_potential.cpp) and its kernels, compiled once per instruction set, agree on:
// plain data only.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace mlsample {

// One layer of the embedding networks; rows are filled up with zeros to a multiple of 64 bytes.
struct EmbeddingShape {
    int inputs, outputs, row;
    int copies;  // of the input that are added to the output: 0, 1 where widths are equal, 2 where they double
};

// An embedding network g of one member and pair of elements: a table in s, or layers that take (s - m)/d.
template <class T>
struct Embedding {
    const T* table;           // (intervals, 6, row): polynomials in the place within an interval, lowest power first
    const T* const* weights;  // (n_layers,): (inputs, row) each
    const T* const* biases;   // (n_layers,): (row,) each
    const T* empty;           // (row,): g at s = 0
};

// Widths, cutoffs and networks; arrays are owned by the driver. Tables are even in s / (s + 1/Å), which maps all
// distances to [0, 1).
template <class T>
struct DeepPotentialConstants {
    int num_species, axis;
    int row;                           // of one embedding, filled up
    int64_t length;                    // axis * row: of one atom's features
    double cutoff, switch_start;
    int intervals;                     // of the tables; 0 where the layers are evaluated
    int n_layers, widest;              // of the embedding networks; longest row
    const EmbeddingShape* shapes;      // (n_layers,)
    const Embedding<T>* embeddings;    // (members, centre, neighbour)
    const T *mean, *inverse;           // (members, centre): m and 1/d
    const T *radial, *angular;         // (members, centre): 1/(d N_c) and 1/(t N_c)
    const T* slots;                    // (neighbour,): sel
};

// Work on the centres [begin, end), whose neighbours must be among the atoms [low, high). T and D of an atom are
// matrices (4, row) and (axis, row): T_c and D_a are rows over the embedding's outputs.
template <class T>
struct DeepPotentialTask {
    const DeepPotentialConstants<T>* constants;
    const int32_t* species;   // (N,)
    const int64_t* first;     // (N+1,)
    const int32_t* second;    // (E,)
    const double* vectors;    // (E, 3)
    int64_t begin, end, low, high;
    int64_t most_neighbors;   // of any atom: the size that scratch was asked for
    int member;
    T* matrix;                // (end - begin, 4, row): T, written by forward and read by backward
    T* features;              // (end - begin, length): D of forward; the energies' derivatives by it for backward
    T weight;                 // that backward multiplies with
    double* gradient;         // (N, 4): added to by backward; the fourth is nothing
    double* virial;           // nine numbers added to by backward
    int64_t slots_bytes;      // of one atom's neighbours
    char* kept;               // neighbours of the atoms from kept_begin on, which gather writes and the others read
    int64_t kept_begin;
    void* scratch;            // aligned to 64 bytes
};

template <class T>
struct DeepPotentialKernels {
    int64_t (*scratch_bytes)(const DeepPotentialConstants<T>&, int64_t most_neighbors);
    int64_t (*slots_bytes)(const DeepPotentialConstants<T>&, int64_t most_neighbors);
    int64_t (*gather)(const DeepPotentialTask<T>&);  // -1, or the first edge whose vector or neighbour is invalid
    void (*forward)(const DeepPotentialTask<T>&);
    void (*backward)(const DeepPotentialTask<T>&);
};

MLSAMPLE_DECLARE_KERNEL(void, deep_potential_kernels_single, (DeepPotentialKernels<float>*))
MLSAMPLE_DECLARE_KERNEL(void, deep_potential_kernels_double, (DeepPotentialKernels<double>*))

}  // namespace mlsample
