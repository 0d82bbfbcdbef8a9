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

void choose(NetworkKernels<float>* kernels) { MLSAMPLE_PICK_KERNEL(network_kernels_single)(kernels); }
void choose(NetworkKernels<double>* kernels) { MLSAMPLE_PICK_KERNEL(network_kernels_double)(kernels); }
void choose(WeightKernels<float>* kernels) { MLSAMPLE_PICK_KERNEL(weight_kernels_single)(kernels); }
void choose(WeightKernels<double>* kernels) { MLSAMPLE_PICK_KERNEL(weight_kernels_double)(kernels); }

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
        if (layer.step && (layer.inputs != layer.outputs || l + 1 == layers.size())) {
            throw std::invalid_argument("layer " + std::to_string(l) + where +
                                        " cannot add its input to its output: only hidden layers as wide as it can");
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
    : members_(members), activation_(activation) {
    choose(&kernels_);
    choose(&weight_kernels_);
    if (members < 1) throw std::invalid_argument("members must be at least 1, not " + std::to_string(members));
    if (elements.empty() || elements[0].empty()) throw std::invalid_argument("networks need at least one element");
    if (elements[0][0].inputs < 1 || elements[0][0].inputs > kWidest) {
        throw std::invalid_argument("networks of " + std::to_string(elements[0][0].inputs) + " inputs are impossible");
    }
    inputs_ = static_cast<int>(elements[0][0].inputs);
    elements_.resize(elements.size());
    for (size_t e = 0; e < elements.size(); ++e) {
        check_layers(elements[e], inputs_, e);
        reserve(elements_[e], elements[e]);
        pack(elements_[e], elements[e]);
    }
}

template <class T>
std::vector<std::pair<int, int>> Networks<T>::shapes(int element) const {
    std::vector<std::pair<int, int>> found;
    for (int l = 0; l < elements_[element].n_layers; ++l) {
        found.emplace_back(elements_[element].layers[l].outputs, elements_[element].layers[l].inputs);
    }
    return found;
}

template <class T>
void Networks<T>::set_weights(const std::vector<std::vector<LayerWeights<T>>>& elements) {
    bool same = elements.size() == elements_.size();
    for (size_t e = 0; same && e < elements.size(); ++e) {
        same = elements[e].size() == static_cast<size_t>(elements_[e].n_layers);
        for (size_t l = 0; same && l < elements[e].size(); ++l) {
            const NetworkLayer<T>& layer = elements_[e].layers[l];
            same = elements[e][l].inputs == layer.inputs && elements[e][l].outputs == layer.outputs &&
                   !elements[e][l].step == !layer.step;
        }
    }
    if (!same) throw std::invalid_argument("the new weights have other shapes than the networks");
    for (size_t e = 0; e < elements.size(); ++e) pack(elements_[e], elements[e]);
}

template <class T>
void Networks<T>::reserve(Element& element, const std::vector<LayerWeights<T>>& given) {
    element.n_layers = static_cast<int>(given.size());
    deepest_ = std::max(deepest_, element.n_layers);
    std::vector<int64_t> starts;
    int64_t total = 0;
    const auto take = [&](int64_t numbers) {
        starts.push_back(total);
        total += filled_up(numbers, row_step<T>);
    };
    for (int m = 0; m < members_; ++m) {
        for (const LayerWeights<T>& from : given) {
            NetworkLayer<T> layer{};
            layer.inputs = static_cast<int>(from.inputs);
            layer.outputs = static_cast<int>(from.outputs);
            layer.forward_row = static_cast<int>(filled_up(from.outputs, row_step<T>));
            layer.backward_row = static_cast<int>(filled_up(from.inputs, row_step<T>));
            widest_ = std::max({widest_, layer.forward_row, layer.backward_row});
            const bool first = element.layers.size() % given.size() == 0;
            (first ? input_row_ : row_) = std::max(first ? input_row_ : row_, layer.backward_row);
            row_ = std::max(row_, layer.forward_row);
            take(from.inputs * layer.forward_row);
            take(from.outputs * layer.backward_row);
            take(layer.forward_row);
            if (from.step) take(layer.forward_row);
            element.layers.push_back(layer);
        }
    }
    element.memory.assign(static_cast<size_t>(total + row_step<T>), T(0));
    const auto address = reinterpret_cast<uintptr_t>(element.memory.data());
    T* const base = reinterpret_cast<T*>((address + kAlignment - 1) / kAlignment * kAlignment);
    size_t next = 0, index = 0;
    for (NetworkLayer<T>& layer : element.layers) {
        layer.weights = base + starts[next++];
        layer.transposed = base + starts[next++];
        layer.bias = base + starts[next++];
        layer.step = given[index++ % given.size()].step ? base + starts[next++] : nullptr;
    }
}

template <class T>
void Networks<T>::pack(const Element& element, const std::vector<LayerWeights<T>>& given) {
    for (int m = 0; m < members_; ++m) {
        for (int l = 0; l < element.n_layers; ++l) {
            const NetworkLayer<T>& layer = element.layers[m * element.n_layers + l];
            const int64_t rows = layer.inputs, columns = layer.outputs;
            // the element's own memory, which its layers point into
            T *weights = const_cast<T*>(layer.weights), *transposed = const_cast<T*>(layer.transposed);
            T* bias = const_cast<T*>(layer.bias);
            const T* w = given[l].weights + m * rows * columns;
            for (int64_t o = 0; o < columns; ++o) {
                for (int64_t i = 0; i < rows; ++i) {
                    weights[i * layer.forward_row + o] = transposed[o * layer.backward_row + i] = w[o * rows + i];
                }
                bias[o] = given[l].bias ? given[l].bias[m * columns + o] : T(0);
                if (layer.step) const_cast<T*>(layer.step)[o] = given[l].step[m * columns + o];
            }
        }
    }
}

template <class T>
int64_t Networks<T>::kernel_bytes() const {
    return filled_up(kernels_.scratch_bytes(deepest_, input_row_, row_), kAlignment);
}

template <class T>
int64_t Networks<T>::scratch_bytes(int64_t count) const {
    return kernel_bytes() + static_cast<int64_t>(sizeof(int32_t)) * count;
}

template <class T>
void Networks<T>::run(const int32_t* species, int64_t count, const T* aev, bool mean, T* energies,
                      int64_t energies_stride, T* gradient, int64_t gradient_stride, void* scratch) const {
    auto* rows = reinterpret_cast<int32_t*>(static_cast<char*>(scratch) + kernel_bytes());
    NetworkTask<T> task{};
    task.members = members_;
    task.input_row = input_row_;
    task.row = row_;
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
    check_species(species, count);
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

template <class T>
void Networks<T>::check_species(const int32_t* species, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) {
        if (species[i] < 0 || species[i] >= num_species()) {
            throw std::invalid_argument("species[" + std::to_string(i) + "] is " + std::to_string(species[i]) +
                                        ", out of range for " + std::to_string(num_species()) + " elements");
        }
    }
}

template <class T>
void Networks<T>::weight_gradient(const int32_t* species, int64_t count, const T* aev, const T* by_energy,
                                  const T* tangent, const std::vector<WeightGradient>& out) const {
    check_species(species, count);
    for (const Element& element : elements_) {
        for (const NetworkLayer<T>& layer : element.layers) {
            if (layer.step) throw std::invalid_argument("layers that add their input have no weight gradient here");
        }
    }
    if (count > INT32_MAX) throw std::invalid_argument("too many atoms in one batch: " + std::to_string(count));
    std::vector<std::vector<int32_t>> rows(elements_.size());
    for (int64_t i = 0; i < count; ++i) rows[species[i]].push_back(static_cast<int32_t>(i));
    const auto work = [&](int64_t item) {
        const size_t e = static_cast<size_t>(item) / members_;
        const int64_t m = item % members_;
        const Element& element = elements_[e];
        std::vector<T*> weights, biases;
        for (int l = 0; l < element.n_layers; ++l) {
            const NetworkLayer<T>& layer = element.layers[l];
            weights.push_back(out[e].weights[l] + m * layer.outputs * layer.inputs);
            if (!out[e].biases.empty()) biases.push_back(out[e].biases[l] + m * layer.outputs);
        }
        WeightTask<T> task{};
        task.layers = element.layers.data() + m * element.n_layers;
        task.n_layers = element.n_layers;
        task.widest = widest_;
        task.activation = activation_;
        task.rows = rows[e].data();
        task.count = static_cast<int64_t>(rows[e].size());
        task.aev = aev;
        task.by_energy = by_energy + m * count;
        task.tangent = tangent ? tangent + m * count * inputs_ : nullptr;
        task.weights = weights.data();
        task.biases = biases.empty() ? nullptr : biases.data();
        task.scratch = thread_scratch(weight_kernels_.scratch_bytes(task.layers, task.n_layers, widest_));
        weight_kernels_.run(task);
    };
    const int64_t items = static_cast<int64_t>(elements_.size()) * members_;
    parallel_parts(items, parts_for(items, 1), [&](int, int64_t from, int64_t to) {
        for (int64_t item = from; item < to; ++item) work(item);
    });
}

template class Networks<float>;
template class Networks<double>;

}  // namespace mlsample
