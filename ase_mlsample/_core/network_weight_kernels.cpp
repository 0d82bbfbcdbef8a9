// Training: how a sum over energies and over directional derivatives of energies changes with a network's weights. Values
// and their rates of change along u go forward together, their adjoints back together. Compiled once per instruction set.
#include "network_activations.hpp"
#include "network_kernels.hpp"
#include "network_tiles.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// Memory of a block of atoms: for every layer its inputs, their rates, and for hidden layers f' and f'' times the rate of
// the sum; the adjoints; and the sums over blocks of the weights' and biases' derivatives.
template <class T>
struct Memory {
    int64_t row, size;
    T *values, *rates, *slopes, *bends;  // (n_layers, size)
    T *adjoint, *rate_adjoint, *next, *next_rate;
    T *weights, *biases;                 // rows filled up
    T* layer(T* base, int l) const { return base + l * size; }
};

template <class T>
int64_t layout(Memory<T>& m, const NetworkLayer<T>* layers, int n_layers, int widest, void* base) {
    m.row = widest;
    m.size = network_block * m.row;
    T* at = static_cast<T*>(base);
    for (int k = 0; k < 4; ++k) {
        T** const pointers[] = {&m.values, &m.rates, &m.slopes, &m.bends};
        *pointers[k] = at;
        at += n_layers * m.size;
    }
    for (int k = 0; k < 4; ++k) {
        T** const pointers[] = {&m.adjoint, &m.rate_adjoint, &m.next, &m.next_rate};
        *pointers[k] = at;
        at += m.size;
    }
    m.weights = at;
    for (int l = 0; l < n_layers; ++l) at += layers[l].outputs * static_cast<int64_t>(layers[l].backward_row);
    m.biases = at;
    for (int l = 0; l < n_layers; ++l) at += layers[l].forward_row;
    return reinterpret_cast<char*>(at) - static_cast<char*>(base);
}

template <class T>
int64_t scratch_bytes(const NetworkLayer<T>* layers, int n_layers, int widest) {
    Memory<T> memory;
    return layout<T>(memory, layers, n_layers, widest, nullptr);
}

template <class T, ActivationKind kind>
void forward(const WeightTask<T>& task, const Memory<T>& m, int count) {
    for (int l = 0; l + 1 < task.n_layers; ++l) {
        const NetworkLayer<T>& layer = task.layers[l];
        T *value = m.layer(m.values, l + 1), *rate = m.layer(m.rates, l + 1);
        T *slope = m.layer(m.slopes, l), *bend = m.layer(m.bends, l);
        multiply<T>({m.layer(m.values, l), m.row, 1}, count, layer.weights, layer.forward_row, layer.forward_row,
                    layer.inputs, [&](int row, int column, Vec<T> sum) {
                        const int64_t at = row * m.row + column;
                        const Activated<T> a = activate<T, kind>(sum + load(layer.bias + column));
                        store<T>(value + at, a.value);
                        store<T>(slope + at, a.slope);
                        store<T>(bend + at, a.curvature);
                    });
        if (!task.tangent) continue;
        multiply<T>({m.layer(m.rates, l), m.row, 1}, count, layer.weights, layer.forward_row, layer.forward_row,
                    layer.inputs, [&](int row, int column, Vec<T> sum) {
                        const int64_t at = row * m.row + column;
                        store<T>(rate + at, sum * load(slope + at));
                        store<T>(bend + at, sum * load(bend + at));
                    });
    }
}

// Adjoints of the last layer's inputs, and its own derivatives.
template <class T>
void output_layer(const WeightTask<T>& task, const Memory<T>& m, const int32_t* rows, int count, T* weights, T* bias) {
    const int last = task.n_layers - 1;
    const NetworkLayer<T>& layer = task.layers[last];
    const T *value = m.layer(m.values, last), *rate = m.layer(m.rates, last);
    for (int k = 0; k < count; ++k) {
        const T a = task.by_energy[rows[k]];
        const int64_t from = k * m.row;
        for (int c = 0; c < layer.backward_row; c += width<T>) {
            const Vec<T> w = load(layer.transposed + c);
            Vec<T> change = load(value + from + c) * a;
            if (task.tangent) change += load(rate + from + c);
            store<T>(weights + c, load(weights + c) + change);
            store<T>(m.adjoint + from + c, w * a);
            store<T>(m.rate_adjoint + from + c, w);
        }
        bias[0] += a;
    }
}

// From the adjoints of a hidden layer's outputs to those of its sums, in place.
template <class T>
void through_activation(const WeightTask<T>& task, const Memory<T>& m, int l, int count, T* bias) {
    const NetworkLayer<T>& layer = task.layers[l];
    const T *slope = m.layer(m.slopes, l), *bend = m.layer(m.bends, l);
    for (int k = 0; k < count; ++k) {
        for (int c = 0; c < layer.forward_row; c += width<T>) {
            const int64_t at = k * m.row + c;
            Vec<T> sum = load(m.adjoint + at) * load(slope + at);
            if (task.tangent) {
                const Vec<T> rate = load(m.rate_adjoint + at);
                sum += rate * load(bend + at);
                store<T>(m.rate_adjoint + at, rate * load(slope + at));
            }
            store<T>(m.adjoint + at, sum);
            store<T>(bias + c, load(bias + c) + sum);
        }
    }
}

// weights (outputs, backward_row) += adjoints^T times the layer's inputs.
template <class T>
void add_weights(const NetworkLayer<T>& layer, const Memory<T>& m, const T* adjoint, const T* inputs, int count,
                 T* weights) {
    multiply<T>({adjoint, 1, m.row}, layer.outputs, inputs, m.row, layer.backward_row, count,
                [&](int row, int column, Vec<T> sum) {
                    if (row >= layer.outputs) return;
                    T* at = weights + static_cast<int64_t>(row) * layer.backward_row + column;
                    store<T>(at, load(at) + sum);
                });
}

template <class T>
void to_inputs(const NetworkLayer<T>& layer, const Memory<T>& m, const T* adjoint, int count, T* out) {
    multiply<T>({adjoint, m.row, 1}, count, layer.transposed, layer.backward_row, layer.backward_row, layer.outputs,
                [&](int row, int column, Vec<T> sum) { store<T>(out + row * m.row + column, sum); });
}

template <class T>
void backward(const WeightTask<T>& task, Memory<T> m, const int32_t* rows, int count) {
    const int last = task.n_layers - 1;
    T *weights = m.weights, *biases = m.biases;
    for (int l = 0; l < last; ++l) {
        weights += task.layers[l].outputs * static_cast<int64_t>(task.layers[l].backward_row);
        biases += task.layers[l].forward_row;
    }
    output_layer<T>(task, m, rows, count, weights, biases);
    for (int l = last - 1; l >= 0; --l) {
        const NetworkLayer<T>& layer = task.layers[l];
        weights -= layer.outputs * static_cast<int64_t>(layer.backward_row);
        biases -= layer.forward_row;
        through_activation<T>(task, m, l, count, biases);
        add_weights<T>(layer, m, m.adjoint, m.layer(m.values, l), count, weights);
        if (task.tangent) add_weights<T>(layer, m, m.rate_adjoint, m.layer(m.rates, l), count, weights);
        if (l == 0) break;
        to_inputs<T>(layer, m, m.adjoint, count, m.next);
        if (task.tangent) to_inputs<T>(layer, m, m.rate_adjoint, count, m.next_rate);
        T *swap = m.adjoint, *swap_rate = m.rate_adjoint;
        m.adjoint = m.next, m.rate_adjoint = m.next_rate;
        m.next = swap, m.next_rate = swap_rate;
    }
}

template <class T>
void put_results(const WeightTask<T>& task, const Memory<T>& m) {
    const T *weights = m.weights, *biases = m.biases;
    for (int l = 0; l < task.n_layers; ++l) {
        const NetworkLayer<T>& layer = task.layers[l];
        for (int o = 0; o < layer.outputs; ++o, weights += layer.backward_row) {
            T* to = task.weights[l] + static_cast<int64_t>(o) * layer.inputs;
            for (int i = 0; i < layer.inputs; ++i) to[i] = weights[i];
        }
        for (int o = 0; task.biases && o < layer.outputs; ++o) task.biases[l][o] = biases[o];
        biases += layer.forward_row;
    }
}

template <class T, ActivationKind kind>
void all_blocks(const WeightTask<T>& task) {
    Memory<T> m;
    const int64_t bytes = layout<T>(m, task.layers, task.n_layers, task.widest, task.scratch);
    T* const end = reinterpret_cast<T*>(static_cast<char*>(task.scratch) + bytes);
    for (T* at = m.weights; at < end; ++at) *at = 0;
    const int inputs = task.layers[0].inputs;
    for (int64_t from = 0; from < task.count; from += network_block) {
        const int64_t left = task.count - from;
        const int count = static_cast<int>(left < network_block ? left : network_block);
        const int32_t* rows = task.rows + from;
        put_rows<T>(task.aev, rows, count, inputs, m.row, m.values);
        if (task.tangent) put_rows<T>(task.tangent, rows, count, inputs, m.row, m.rates);
        forward<T, kind>(task, m, count);
        backward<T>(task, m, rows, count);
    }
    put_results<T>(task, m);
}

template <class T>
void run(const WeightTask<T>& task) {
    with_activation(task.activation, [&](auto kind) { all_blocks<T, decltype(kind)::value>(task); });
}

template <class T>
void fill(WeightKernels<T>* kernels) {
    kernels->scratch_bytes = scratch_bytes<T>;
    kernels->run = run<T>;
}

}  // namespace

void weight_kernels_single(WeightKernels<float>* kernels) { fill(kernels); }
void weight_kernels_double(WeightKernels<double>* kernels) { fill(kernels); }

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
