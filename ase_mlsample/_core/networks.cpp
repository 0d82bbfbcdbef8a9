#include "networks.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "parallel.hpp"
#include "scratch.hpp"

namespace mlsample {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kWidest = 1 << 20;

int64_t filled_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

template <class T>
constexpr int64_t row_step = kAlignment / static_cast<int64_t>(sizeof(T));

template <class T>
NetworkKernels<T> choose_kernels() {
    NetworkKernels<T> kernels;
    if constexpr (std::is_same_v<T, float>) MLSAMPLE_PICK_KERNEL(network_kernels_single)(&kernels);
    else MLSAMPLE_PICK_KERNEL(network_kernels_double)(&kernels);
    return kernels;
}

template <class T>
void check_layers(const std::vector<LayerWeights<T>>& layers, int inputs, size_t element) {
    const std::string where = " of element " + std::to_string(element);
    if (layers.empty()) throw std::invalid_argument("the networks" + where + " have no layers");
    int64_t size = inputs;
    for (size_t l = 0; l < layers.size(); ++l) {
        const LayerWeights<T>& layer = layers[l];
        if (layer.inputs != size || layer.outputs < 1 || layer.outputs > kWidest) {
            throw std::invalid_argument("layer " + std::to_string(l) + where + " maps " + std::to_string(layer.inputs) +
                                        " to " + std::to_string(layer.outputs) + " numbers, but gets " +
                                        std::to_string(size));
        }
        size = layer.outputs;
    }
    if (size != 1) {
        throw std::invalid_argument("the last layer" + where + " must have one output, it has " + std::to_string(size));
    }
}

}  // namespace

ActivationKind activation_named(const std::string& name) {
    if (name == "celu") return ActivationKind::celu;
    if (name == "gelu") return ActivationKind::gelu;
    if (name == "softplus") return ActivationKind::softplus;
    if (name == "tanh") return ActivationKind::tanh;
    throw std::invalid_argument("activation must be celu, gelu, softplus or tanh, not '" + name + "'");
}

template <class T>
Networks<T>::Networks(int members, ActivationKind activation,
                      const std::vector<std::vector<LayerWeights<T>>>& elements)
    : members_(members), activation_(activation), kernels_(choose_kernels<T>()) {
    if (members < 1) throw std::invalid_argument("members must be at least 1, not " + std::to_string(members));
    if (elements.empty() || elements[0].empty()) throw std::invalid_argument("networks need at least one element");
    if (elements[0][0].inputs < 1 || elements[0][0].inputs > kWidest) {
        throw std::invalid_argument("networks of " + std::to_string(elements[0][0].inputs) + " inputs are impossible");
    }
    inputs_ = static_cast<int>(elements[0][0].inputs);
    elements_.resize(elements.size());
    for (size_t e = 0; e < elements.size(); ++e) {
        check_layers(elements[e], inputs_, e);
        pack(static_cast<int>(e), elements[e]);
    }
}

template <class T>
T* Networks<T>::reserve(int64_t numbers) {
    memory_.emplace_back(static_cast<size_t>(numbers + row_step<T>), T(0));
    const auto address = reinterpret_cast<uintptr_t>(memory_.back().data());
    return reinterpret_cast<T*>((address + kAlignment - 1) / kAlignment * kAlignment);
}

template <class T>
void Networks<T>::pack(int element, const std::vector<LayerWeights<T>>& given) {
    Element& out = elements_[element];
    out.n_layers = static_cast<int>(given.size());
    deepest_ = std::max(deepest_, out.n_layers);
    for (int m = 0; m < members_; ++m) {
        for (const LayerWeights<T>& from : given) {
            const int64_t rows = from.inputs, columns = from.outputs;
            NetworkLayer<T> layer{};
            layer.inputs = static_cast<int>(rows);
            layer.outputs = static_cast<int>(columns);
            layer.forward_row = static_cast<int>(filled_up(columns, row_step<T>));
            layer.backward_row = static_cast<int>(filled_up(rows, row_step<T>));
            widest_ = std::max({widest_, layer.forward_row, layer.backward_row});
            T* weights = reserve(rows * layer.forward_row);
            T* transposed = reserve(columns * layer.backward_row);
            T* bias = reserve(layer.forward_row);
            const T* w = from.weights + m * rows * columns;
            for (int64_t o = 0; o < columns; ++o) {
                for (int64_t i = 0; i < rows; ++i) {
                    weights[i * layer.forward_row + o] = transposed[o * layer.backward_row + i] = w[o * rows + i];
                }
                if (from.bias) bias[o] = from.bias[m * columns + o];
            }
            layer.weights = weights;
            layer.transposed = transposed;
            layer.bias = bias;
            out.layers.push_back(layer);
        }
    }
}

template <class T>
int64_t Networks<T>::scratch_bytes(int64_t count) const {
    return filled_up(kernels_.scratch_bytes(deepest_, widest_), kAlignment) +
           static_cast<int64_t>(sizeof(int32_t)) * count;
}

template <class T>
void Networks<T>::run(const int32_t* species, int64_t count, const T* aev, bool mean, T* energies,
                      int64_t energies_stride, T* gradient, int64_t gradient_stride, void* scratch) const {
    auto* rows = reinterpret_cast<int32_t*>(static_cast<char*>(scratch) +
                                            filled_up(kernels_.scratch_bytes(deepest_, widest_), kAlignment));
    NetworkTask<T> task{};
    task.members = members_;
    task.widest = widest_;
    task.activation = activation_;
    task.aev = aev;
    task.energies = energies;
    task.energies_stride = energies_stride;
    task.gradient = gradient;
    task.gradient_stride = gradient_stride;
    task.mean = mean;
    task.scratch = scratch;
    for (size_t e = 0; e < elements_.size(); ++e) {
        int64_t found = 0;
        for (int64_t i = 0; i < count; ++i) {
            if (species[i] == static_cast<int32_t>(e)) rows[found++] = static_cast<int32_t>(i);
        }
        if (found == 0) continue;
        task.layers = elements_[e].layers.data();
        task.n_layers = elements_[e].n_layers;
        task.rows = rows;
        task.count = found;
        kernels_.run(task);
    }
}

template <class T>
void Networks<T>::evaluate(const int32_t* species, int64_t count, const T* aev, bool mean, T* energies,
                           T* gradient) const {
    for (int64_t i = 0; i < count; ++i) {
        if (species[i] < 0 || species[i] >= num_species()) {
            throw std::invalid_argument("species[" + std::to_string(i) + "] is " + std::to_string(species[i]) +
                                        ", out of range for " + std::to_string(num_species()) + " elements");
        }
    }
    parallel_parts(count, parts_for(count, 8), [&](int, int64_t from, int64_t to) {
        // 32-bit row numbers hold for a slice, whatever the number of atoms
        constexpr int64_t slice = int64_t(1) << 16;
        for (int64_t begin = from; begin < to; begin += slice) {
            const int64_t n = std::min(slice, to - begin);
            run(species + begin, n, aev + begin * inputs_, mean, energies + begin, count, gradient + begin * inputs_,
                count * inputs_, thread_scratch(scratch_bytes(n)));
        }
    });
}

template class Networks<float>;
template class Networks<double>;

}  // namespace mlsample
