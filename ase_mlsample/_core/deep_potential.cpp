#include "deep_potential.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace mlsample {
namespace {

constexpr int64_t kLargest = int64_t(1) << 20;  // widths beyond this are mistakes
constexpr double kNarrowest = 0.01;             // switch in single precision, in units of the cutoff

[[noreturn]] void invalid(const std::string& message) { throw std::invalid_argument(message); }

bool positive(double x) { return std::isfinite(x) && x > 0; }

template <class T>
int64_t filled_up(int64_t n) {
    constexpr int64_t step = 64 / static_cast<int64_t>(sizeof(T));
    return (n + step - 1) / step * step;
}

void choose(DeepPotentialKernels<float>* kernels) { MLSAMPLE_PICK_KERNEL(deep_potential_kernels_single)(kernels); }
void choose(DeepPotentialKernels<double>* kernels) { MLSAMPLE_PICK_KERNEL(deep_potential_kernels_double)(kernels); }

template <class T>
void check_settings(const DeepPotentialSettings<T>& s) {
    if (s.members < 1) invalid("members must be at least 1, not " + std::to_string(s.members));
    if (s.num_species < 1 || s.num_species > 1000) {
        invalid("num_species must be between 1 and 1000, not " + std::to_string(s.num_species));
    }
    if (!(std::isfinite(s.cutoff) && s.switch_start >= 0 && s.switch_start < s.cutoff)) {
        invalid("the switch must have 0 <= switch_start < cutoff, not " + std::to_string(s.switch_start) + " and " +
                std::to_string(s.cutoff));
    }
    // the distance is rounded to 6e-8 of itself, and the switch's argument to as much of the cutoff over its width
    if (std::is_same_v<T, float> && s.cutoff - s.switch_start < kNarrowest * s.cutoff) {
        invalid("in single precision the switch must be at least a hundredth of the cutoff wide, which it is not from " +
                std::to_string(s.switch_start) + " to " + std::to_string(s.cutoff) + " Å: use float64");
    }
    if (s.axis < 1 || s.axis > s.outputs || s.outputs > kLargest) {
        invalid("axis must be between 1 and the embeddings' " + std::to_string(s.outputs) + " outputs, not " +
                std::to_string(s.axis));
    }
    const int64_t centres = static_cast<int64_t>(s.members) * s.num_species;
    for (int64_t k = 0; k < centres; ++k) {
        if (!std::isfinite(s.mean[k]) || !positive(s.std_radial[k]) || !positive(s.std_angular[k])) {
            invalid("the statistics must be finite, and the standard deviations positive");
        }
    }
    for (int b = 0; b < s.num_species; ++b) {
        if (!positive(s.slots[b])) invalid("slots must be positive and finite, not " + std::to_string(s.slots[b]));
    }
    if ((s.tables != nullptr) == !s.layers.empty()) invalid("embeddings need either tables or layers");
    if (s.tables && (s.intervals < 1 || s.intervals > kLargest)) {
        invalid("tables must have between 1 and " + std::to_string(kLargest) + " intervals, not " +
                std::to_string(s.intervals));
    }
    if (s.fittings.size() != static_cast<size_t>(s.num_species)) {
        invalid("there must be fitting networks for each of the " + std::to_string(s.num_species) + " elements, not " +
                std::to_string(s.fittings.size()));
    }
}

template <class T>
void check_embedding_layers(const DeepPotentialSettings<T>& s) {
    int64_t size = 1;
    for (const LayerWeights<T>& layer : s.layers) {
        if (!layer.bias) invalid("the layers of the embeddings need biases");
        if (layer.inputs != size || layer.outputs < 1 || layer.outputs > kLargest) {
            invalid("a layer of the embeddings maps " + std::to_string(layer.inputs) + " to " +
                    std::to_string(layer.outputs) + " numbers, but gets " + std::to_string(size));
        }
        size = layer.outputs;
    }
    if (size != s.outputs) {
        invalid("the embeddings have " + std::to_string(size) + " outputs, not " + std::to_string(s.outputs));
    }
}

// Rows of `from`, each `length` long, `row` apart.
template <class T>
void copy_rows(const T* from, int64_t rows, int64_t length, int64_t row, T* to) {
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * length, length, to + r * row);
}

}  // namespace

template <class T>
DeepPotential<T>::DeepPotential(const DeepPotentialSettings<T>& s) {
    check_settings(s);
    choose(&kernels_);
    constants_.num_species = s.num_species;
    constants_.axis = s.axis;
    constants_.row = static_cast<int>(filled_up<T>(s.outputs));
    constants_.length = static_cast<int64_t>(s.axis) * constants_.row;
    constants_.cutoff = s.cutoff;
    constants_.switch_start = s.switch_start;
    set_statistics(s);
    if (s.tables) set_tables(s);
    else set_layers(s);
    set_fittings(s);
}

template <class T>
void DeepPotential<T>::set_statistics(const DeepPotentialSettings<T>& s) {
    double all = 0;
    for (int b = 0; b < s.num_species; ++b) all += s.slots[b];
    slots_.assign(s.slots, s.slots + s.num_species);
    for (int k = 0; k < s.members * s.num_species; ++k) {
        mean_.push_back(static_cast<T>(s.mean[k]));
        inverse_.push_back(static_cast<T>(1 / s.std_radial[k]));
        radial_.push_back(static_cast<T>(1 / (s.std_radial[k] * all)));
        angular_.push_back(static_cast<T>(1 / (s.std_angular[k] * all)));
    }
    constants_.slots = slots_.data();
    constants_.mean = mean_.data();
    constants_.inverse = inverse_.data();
    constants_.radial = radial_.data();
    constants_.angular = angular_.data();
}

template <class T>
void DeepPotential<T>::set_tables(const DeepPotentialSettings<T>& s) {
    const int64_t nets = static_cast<int64_t>(s.members) * s.num_species * s.num_species, row = constants_.row;
    const int64_t rows = 6 * s.intervals, size = rows * row;
    memory_.assign(nets * (size + row), T(0));
    for (int64_t k = 0; k < nets; ++k) {
        T* const at = memory_.data() + k * (size + row);
        copy_rows(s.tables + k * rows * s.outputs, rows, s.outputs, row, at);
        copy_rows(s.empty + k * s.outputs, 1, s.outputs, row, at + size);
        embeddings_.push_back({at, nullptr, nullptr, at + size});
    }
    constants_.intervals = static_cast<int>(s.intervals);
    constants_.embeddings = embeddings_.data();
}

template <class T>
void DeepPotential<T>::set_layers(const DeepPotentialSettings<T>& s) {
    check_embedding_layers(s);
    const int64_t nets = static_cast<int64_t>(s.members) * s.num_species * s.num_species;
    const int n_layers = static_cast<int>(s.layers.size());
    int64_t size = constants_.row;
    for (const LayerWeights<T>& layer : s.layers) {
        const int64_t row = filled_up<T>(layer.outputs);
        const int copies = layer.outputs == layer.inputs ? 1 : layer.outputs == 2 * layer.inputs ? 2 : 0;
        shapes_.push_back({static_cast<int>(layer.inputs), static_cast<int>(layer.outputs), static_cast<int>(row), copies});
        constants_.widest = std::max(constants_.widest, static_cast<int>(row));
        size += (layer.inputs + 1) * row;
    }
    memory_.assign(nets * size, T(0));
    pointers_.resize(2 * nets * n_layers);
    for (int64_t k = 0; k < nets; ++k) {
        T* at = memory_.data() + k * size;
        const T** const weights = pointers_.data() + 2 * k * n_layers;
        const T** const biases = weights + n_layers;
        copy_rows(s.empty + k * s.outputs, 1, s.outputs, constants_.row, at);
        embeddings_.push_back({nullptr, weights, biases, at});
        at += constants_.row;
        for (int l = 0; l < n_layers; ++l) {
            const int64_t in = s.layers[l].inputs, out = s.layers[l].outputs, row = shapes_[l].row;
            weights[l] = at;
            for (int64_t o = 0; o < out; ++o) {
                for (int64_t i = 0; i < in; ++i) at[i * row + o] = s.layers[l].weights[(k * out + o) * in + i];
            }
            biases[l] = at += in * row;
            copy_rows(s.layers[l].bias + k * out, 1, out, row, at);
            at += row;
        }
    }
    constants_.n_layers = n_layers;
    constants_.shapes = shapes_.data();
    constants_.embeddings = embeddings_.data();
}

// The kernels have D as (axis, row) and not as (outputs, axis): the first layers' inputs are sorted accordingly.
template <class T>
void DeepPotential<T>::set_fittings(const DeepPotentialSettings<T>& s) {
    for (int m = 0; m < s.members; ++m) {
        std::vector<std::vector<LayerWeights<T>>> elements;
        std::vector<std::vector<T>> sorted;
        for (const std::vector<LayerWeights<T>>& layers : s.fittings) {
            std::vector<LayerWeights<T>> mine = layers;
            for (LayerWeights<T>& layer : mine) {
                layer.weights += m * layer.outputs * layer.inputs;
                if (layer.bias) layer.bias += m * layer.outputs;
                if (layer.step) layer.step += m * layer.outputs;
            }
            if (mine.empty() || mine[0].inputs != s.outputs * s.axis || mine[0].step) {
                invalid("the first layers of the fitting networks must take " + std::to_string(s.outputs * s.axis) +
                        " numbers, and not add them to their output");
            }
            std::vector<T> first(mine[0].outputs * constants_.length, T(0));
            for (int64_t o = 0; o < mine[0].outputs; ++o) {
                const T* from = mine[0].weights + o * mine[0].inputs;
                for (int64_t k = 0; k < mine[0].inputs; ++k) {
                    first[o * constants_.length + k % s.axis * constants_.row + k / s.axis] = from[k];
                }
            }
            sorted.push_back(std::move(first));
            mine[0].inputs = constants_.length;
            mine[0].weights = sorted.back().data();
            elements.push_back(std::move(mine));
        }
        fittings_.push_back(std::make_unique<Networks<T>>(1, ActivationKind::tanh, elements));
    }
}

template class DeepPotential<float>;
template class DeepPotential<double>;

}  // namespace mlsample
