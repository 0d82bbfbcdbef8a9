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

// Energies (members, atoms), gradient (members, atoms, 3) and virial (members, frames, 3, 3), which
// run(energies, gradient, virial) fills without the interpreter's lock.
template <class Run>
nanobind::tuple new_sums(size_t members, size_t atoms, size_t frames, const Run& run) {
    nanobind::object energies, gradient, virial;
    double* e = new_array<double>({members, atoms}, energies);
    double* g = new_array<double>({members, atoms, 3}, gradient);
    double* w = new_array<double>({members, frames, 3, 3}, virial);
    {
        nanobind::gil_scoped_release release;
        run(e, g, w);
    }
    return nanobind::make_tuple(energies, gradient, virial);
}
