// The members' networks and their derivatives by the input, a block of atoms at a time: products in register tiles,
// the activations applied while the sums are still in registers. Compiled once per instruction set.
#include "network_kernels.hpp"

#include "network_activations.hpp"
#include "network_tiles.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// Memory of a block: rows of the input and its derivatives, and shorter ones of the layers.
template <class T>
struct Blocks {
    int64_t input_row, row;
    T *input, *sum;
    T *left, *right, *slopes;
    T* carry;  // derivatives by the layers' outputs, where layers add their input
    T* energies;
};

template <class T>
int64_t layout(Blocks<T>& b, int n_layers, int input_row, int row, void* base) {
    b.input_row = input_row, b.row = row;
    const int64_t inputs = network_block * b.input_row, size = network_block * b.row;
    T* const at = static_cast<T*>(base);
    b.input = at;
    b.sum = at + inputs;
    b.left = b.sum + inputs;
    b.right = b.left + size;
    b.carry = b.right + size;
    b.slopes = b.carry + size;
    b.energies = b.slopes + n_layers * size;
    return static_cast<int64_t>(sizeof(T)) * (2 * inputs + (3 + n_layers) * size + network_block);
}

template <class T>
int64_t scratch_bytes(int n_layers, int input_row, int row) {
    Blocks<T> blocks;
    return layout<T>(blocks, n_layers, input_row, row, nullptr);
}

template <class T, ActivationKind kind, bool residual>
const T* hidden_layers(const NetworkLayer<T>* layers, int n_layers, const Blocks<T>& b, int rows) {
    const T* x = b.input;
    int64_t x_row = b.input_row;
    T* y = b.left;
    for (int l = 0; l + 1 < n_layers; ++l) {
        const NetworkLayer<T>& layer = layers[l];
        T* slopes = b.slopes + l * network_block * b.row;
        multiply<T>({x, x_row, 1}, rows, layer.weights, layer.forward_row, layer.forward_row, layer.inputs,
                    [&](int row, int column, Vec<T> sum) {
                        Activated<T> a = activate<T, kind>(sum + load(layer.bias + column));
                        if (residual && layer.step) {
                            const Vec<T> step = load(layer.step + column);
                            a.value = load(x + row * x_row + column) + step * a.value;
                            a.slope *= step;
                        }
                        store<T>(y + row * b.row + column, a.value);
                        store<T>(slopes + row * b.row + column, a.slope);
                    });
        x = y;
        x_row = b.row;
        y = y == b.left ? b.right : b.left;
    }
    return x;
}

// Energies of the block, and in `delta` their derivative by the sums of the last hidden layer (or by the input).
template <class T>
void output_layer(const NetworkLayer<T>& layer, const T* x, int64_t x_row, const T* slopes, const Blocks<T>& b,
                  T* delta, T* carry) {
    const T* w = layer.transposed;  // the one row
    Vec<T> sums[network_block]{};
    for (int row = 0; row < network_block; ++row) {
        for (int c = 0; c < layer.backward_row; c += width<T>) {
            const Vec<T> weight = load(w + c);
            sums[row] += load(x + row * x_row + c) * weight;
            if (slopes) store<T>(delta + row * b.row + c, load(slopes + row * b.row + c) * weight);
            if (carry) store<T>(carry + row * b.row + c, weight);
        }
    }
    sum_lanes<T>(sums, network_block, b.energies);
    for (int row = 0; row < network_block; ++row) b.energies[row] += layer.bias[0];
}

template <class T, bool residual>
void backward(const NetworkLayer<T>* layers, int n_layers, const Blocks<T>& b, int rows, T* delta, T* other,
              bool add) {
    for (int l = n_layers - 2; l > 0; --l) {
        const NetworkLayer<T>& layer = layers[l];
        const T* slopes = b.slopes + (l - 1) * network_block * b.row;
        multiply<T>({delta, b.row, 1}, rows, layer.transposed, layer.backward_row, layer.backward_row, layer.outputs,
                    [&](int row, int column, Vec<T> sum) {
                        const int64_t at = row * b.row + column;
                        if (residual && layer.step) sum += load(b.carry + at);
                        if (residual) store<T>(b.carry + at, sum);
                        store<T>(other + at, sum * load(slopes + at));
                    });
        T* swap = delta;
        delta = other;
        other = swap;
    }
    const NetworkLayer<T>& first = layers[0];
    const auto keep = [&](int row, int column, Vec<T> sum) {
        if (residual && first.step) sum += load(b.carry + row * b.row + column);
        T* at = b.sum + row * b.input_row + column;
        store<T>(at, add ? load(at) + sum : sum);
    };
    if (n_layers > 1) {
        multiply<T>({delta, b.row, 1}, rows, first.transposed, first.backward_row, first.backward_row, first.outputs, keep);
        return;
    }
    for (int row = 0; row < rows; ++row) {
        for (int c = 0; c < first.backward_row; c += width<T>) keep(row, c, load(first.transposed + c));
    }
}

template <class T>
void put_gradient(const NetworkTask<T>& task, const Blocks<T>& b, const int32_t* rows, int count, int member, T factor) {
    const int inputs = task.layers[0].inputs;
    T* out = task.gradient + member * task.gradient_stride;
    for (int k = 0; k < count; ++k) {
        T* to = out + static_cast<int64_t>(rows[k]) * inputs;
        const T* from = b.sum + k * b.input_row;
        for (int c = 0; c < inputs; ++c) to[c] = factor * from[c];
    }
}

template <class T, ActivationKind kind, bool residual>
void block(const NetworkTask<T>& task, const Blocks<T>& b, const int32_t* rows, int count) {
    put_rows<T>(task.aev, rows, count, task.layers[0].inputs, b.input_row, b.input);
    const int last = task.n_layers - 1;
    for (int m = 0; m < task.members; ++m) {
        const NetworkLayer<T>* layers = task.layers + m * task.n_layers;
        const T* x = hidden_layers<T, kind, residual>(layers, task.n_layers, b, count);
        T* delta = x == b.left ? b.right : b.left;
        T* other = delta == b.left ? b.right : b.left;
        const T* slopes = last > 0 ? b.slopes + (last - 1) * network_block * b.row : nullptr;
        const int64_t x_row = last > 0 ? b.row : b.input_row;
        output_layer<T>(layers[last], x, x_row, slopes, b, delta, residual ? b.carry : nullptr);
        for (int k = 0; k < count; ++k) task.energies[m * task.energies_stride + rows[k]] = b.energies[k];
        backward<T, residual>(layers, task.n_layers, b, count, delta, other, task.mean && m > 0);
        if (!task.mean) put_gradient<T>(task, b, rows, count, m, T(1));
    }
    if (task.mean) put_gradient<T>(task, b, rows, count, 0, T(1) / T(task.members));
}

template <class T, ActivationKind kind, bool residual>
void all_blocks(const NetworkTask<T>& task) {
    Blocks<T> blocks;
    layout<T>(blocks, task.n_layers, task.input_row, task.row, task.scratch);
    for (int64_t from = 0; from < task.count; from += network_block) {
        const int64_t left = task.count - from;
        const int count = static_cast<int>(left < network_block ? left : network_block);
        block<T, kind, residual>(task, blocks, task.rows + from, count);
    }
}

template <class T>
void run(const NetworkTask<T>& task) {
    bool residual = false;
    for (int l = 0; l + 1 < task.n_layers; ++l) residual = residual || task.layers[l].step;
    with_activation(task.activation, [&](auto kind) {
        if (residual) all_blocks<T, decltype(kind)::value, true>(task);
        else all_blocks<T, decltype(kind)::value, false>(task);
    });
}

template <class T>
void fill(NetworkKernels<T>* kernels) {
    kernels->scratch_bytes = scratch_bytes<T>;
    kernels->run = run<T>;
}

}  // namespace

void network_kernels_single(NetworkKernels<float>* kernels) { fill(kernels); }
void network_kernels_double(NetworkKernels<double>* kernels) { fill(kernels); }

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
