// Layers of networks, given as arrays.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "bind_graph.hpp"
#include "networks.hpp"

namespace mlsample {

// Weights (M, outputs, inputs), biases (M, 1, outputs) or none, and steps (M, 1, outputs) of some of the layers or none.
template <class T>
std::vector<LayerWeights<T>> layers_of(const std::vector<Array>& weights, const std::vector<Array>& biases,
                                       const std::vector<std::optional<Array>>& steps, int64_t members) {
    if (!biases.empty() && biases.size() != weights.size()) {
        throw nb::value_error("there must be as many biases as weights, or none");
    }
    if (!steps.empty() && steps.size() != weights.size()) {
        throw nb::value_error("there must be as many steps as weights, or none");
    }
    std::vector<LayerWeights<T>> layers;
    for (size_t l = 0; l < weights.size(); ++l) {
        LayerWeights<T> layer{};
        const char* what = std::is_same_v<T, float> ? "float32 (M, outputs, inputs)" : "float64 (M, outputs, inputs)";
        layer.weights = checked<T>(weights[l], "weights", {members, -1, -1}, what);
        layer.outputs = static_cast<int64_t>(weights[l].shape(1));
        layer.inputs = static_cast<int64_t>(weights[l].shape(2));
        const char* row = "(M, 1, outputs), as the weights,";
        if (!biases.empty()) layer.bias = checked<T>(biases[l], "biases", {members, 1, layer.outputs}, row);
        if (!steps.empty() && steps[l]) layer.step = checked<T>(*steps[l], "steps", {members, 1, layer.outputs}, row);
        layers.push_back(layer);
    }
    return layers;
}

}  // namespace mlsample
