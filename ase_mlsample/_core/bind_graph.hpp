// Checked array arguments, and the graph of structures and neighbours made of them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <string>

#include "aev_graph.hpp"

namespace mlsample {

namespace nb = nanobind;
using Array = nb::ndarray<nb::ro>;

inline std::string describe(const Array& array) {
    const char* kinds[] = {"int", "uint", "float"};
    const int code = array.dtype().code;
    std::string text = code <= 2 ? kinds[code] : "dtype code " + std::to_string(code) + ", ";
    text += std::to_string(array.dtype().bits) + " of shape (";
    for (size_t k = 0; k < array.ndim(); ++k) text += (k ? ", " : "") + std::to_string(array.shape(k));
    return text + ")";
}

inline bool contiguous(const Array& array) {
    int64_t expected = 1;
    for (size_t k = array.ndim(); k-- > 0;) {
        if (array.size() > 0 && array.shape(k) > 1 && array.stride(k) != expected) return false;
        expected *= static_cast<int64_t>(array.shape(k));
    }
    return true;
}

// shape: -1 stands for any length.
template <class T>
const T* checked(const Array& array, const char* name, std::initializer_list<int64_t> shape, const char* what) {
    bool fits = array.dtype() == nb::dtype<T>() && array.ndim() == shape.size() && contiguous(array) &&
                array.device_type() == nb::device::cpu::value;
    size_t k = 0;
    for (int64_t n : shape) {
        if (fits && n >= 0 && static_cast<int64_t>(array.shape(k)) != n) fits = false;
        ++k;
    }
    if (!fits) {
        const std::string text = std::string(name) + " must be a C-contiguous " + what + " array on the CPU, not " +
                                 describe(array) + (contiguous(array) ? "" : " (not contiguous)");
        throw nb::value_error(text.c_str());
    }
    return static_cast<const T*>(array.data());
}

inline AevGraph make_graph(const Array& species, const Array& first, const Array& second, const Array& vectors) {
    AevGraph graph{};
    graph.species = checked<int32_t>(species, "species", {-1}, "int32 (N,)");
    graph.n_atoms = static_cast<int64_t>(species.shape(0));
    graph.first = checked<int64_t>(first, "first", {graph.n_atoms + 1}, "int64 (N+1,)");
    graph.second = checked<int32_t>(second, "second", {-1}, "int32 (E,)");
    graph.n_edges = static_cast<int64_t>(second.shape(0));
    graph.vectors = checked<double>(vectors, "vectors", {graph.n_edges, 3}, "float64 (E, 3)");
    return graph;
}

inline void set_frames(AevGraph& graph, const Array& frame_first) {
    graph.frame_first = checked<int64_t>(frame_first, "frame_first", {-1}, "int64 (S+1,)");
    if (frame_first.shape(0) < 1) throw nb::value_error("frame_first must be an int64 (S+1,) array, not an empty one");
    graph.n_frames = static_cast<int64_t>(frame_first.shape(0)) - 1;
}

}  // namespace mlsample
