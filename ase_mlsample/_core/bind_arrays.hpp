// New arrays for results.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <initializer_list>

// An uninitialised array that Python owns through `out`; returns its numbers.
template <class T>
T* new_array(std::initializer_list<size_t> shape, nanobind::object& out) {
    size_t size = 1;
    for (size_t n : shape) size *= n;
    T* data = new T[size];
    nanobind::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    out = nanobind::cast(nanobind::ndarray<nanobind::numpy, T>(data, shape, owner));
    return data;
}
