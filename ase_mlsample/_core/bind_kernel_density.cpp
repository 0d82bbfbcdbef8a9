#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind_arrays.hpp"
#include "in_use.hpp"
#include "kernel_density.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mlsample::InUse;
using mlsample::KernelDensity;

namespace {

using Points = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Column = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr const char* kWhat = "sum of kernels";
constexpr size_t kMany = 64;  // points worth letting other Python threads run

void require_finite(const double* numbers, size_t rows, size_t columns, const char* what) {
    for (size_t k = 0; k < rows * columns; ++k)
        if (!std::isfinite(numbers[k]))
            throw std::invalid_argument(std::string(what) + " " + std::to_string(k % columns) + " is not finite in row " +
                                        std::to_string(k / columns));
}

void require_kernels(const KernelDensity& density, const Table& centers, const Table& sigmas, const Column& heights) {
    const auto d = static_cast<size_t>(density.variables());
    const size_t n = heights.shape(0);
    if (centers.shape(0) != n || sigmas.shape(0) != n || centers.shape(1) != d || sigmas.shape(1) != d)
        throw std::invalid_argument("centers and sigmas must have shape (kernels, " + std::to_string(d) +
                                    "), and heights (kernels,)");
    require_finite(centers.data(), n, d, "center");
    require_finite(sigmas.data(), n, d, "sigma");
    require_finite(heights.data(), n, 1, "height");
    const auto positive = [](double number) { return number > 0.0; };
    if (!std::all_of(sigmas.data(), sigmas.data() + n * d, positive) ||
        !std::all_of(heights.data(), heights.data() + n, positive))
        throw std::invalid_argument("sigmas and heights of kernels must be positive");
}

nb::tuple evaluate(KernelDensity& density, const Points& points, double scale, double factor, double floor) {
    const auto d = static_cast<size_t>(density.variables());
    const size_t dims = points.ndim();
    if (dims < 1 || dims > 2 || points.shape(dims - 1) != d)
        throw std::invalid_argument("points must have shape (" + std::to_string(d) + ",) or (walkers, " +
                                    std::to_string(d) + ")");
    const size_t n = dims == 1 ? 1 : points.shape(0);
    require_finite(points.data(), n, d, "variable");
    const InUse use(density.in_use(), kWhat);
    nb::object values, gradients;
    if (dims == 1) {
        double value = 0.0;
        double* gradient = new_array<double>({d}, gradients);
        density.evaluate(points.data(), 1, scale, factor, floor, &value, gradient);
        return nb::make_tuple(value, gradients);
    }
    double* v = new_array<double>({n}, values);
    double* g = new_array<double>({n, d}, gradients);
    if (n < kMany) {
        density.evaluate(points.data(), static_cast<int64_t>(n), scale, factor, floor, v, g);
    } else {
        nb::gil_scoped_release release;
        density.evaluate(points.data(), static_cast<int64_t>(n), scale, factor, floor, v, g);
    }
    return nb::make_tuple(values, gradients);
}

void add(KernelDensity& density, const Table& centers, const Table& sigmas, const Column& heights) {
    require_kernels(density, centers, sigmas, heights);
    const InUse use(density.in_use(), kWhat);
    density.add(centers.data(), sigmas.data(), heights.data(), static_cast<int64_t>(heights.shape(0)));
}

nb::tuple kernels(KernelDensity& density) {
    const InUse use(density.in_use(), kWhat);
    const auto n = static_cast<size_t>(density.size()), d = static_cast<size_t>(density.variables());
    nb::object centers, sigmas, heights;
    double* c = new_array<double>({n, d}, centers);
    double* s = new_array<double>({n, d}, sigmas);
    density.copy(c, s, new_array<double>({n}, heights));
    return nb::make_tuple(centers, sigmas, heights);
}

void set_kernels(KernelDensity& density, const Table& centers, const Table& sigmas, const Column& heights,
                 double overlap) {
    require_kernels(density, centers, sigmas, heights);
    if (!(overlap >= 0.0) || !std::isfinite(overlap)) throw std::invalid_argument("the overlap must not be negative");
    const InUse use(density.in_use(), kWhat);
    density.replace(centers.data(), sigmas.data(), heights.data(), static_cast<int64_t>(heights.shape(0)), overlap);
}

}  // namespace

void bind_kernel_density(nb::module_& m) {
    nb::class_<KernelDensity>(m, "KernelDensity", "A sum of Gaussians of finite range that merges those that are close.")
        .def(nb::init<std::vector<double>, std::vector<double>, double, double>(), nb::kw_only(), "low"_a, "periods"_a,
             "cutoff"_a, "threshold"_a)
        .def("evaluate", &evaluate, "points"_a, nb::kw_only(), "scale"_a, "factor"_a, "floor"_a,
             "scale ln(factor sum + floor) and its gradient at points (d,) or (n, d).")
        .def("add", &add, "centers"_a, "sigmas"_a, "heights"_a, "Add kernels, merging as long as two are close.")
        .def("kernels", &kernels, "Copies of centers (K, d), sigmas (K, d) and heights (K,).")
        .def("set_kernels", &set_kernels, "centers"_a, "sigmas"_a, "heights"_a, nb::kw_only(), "overlap"_a,
             "Replace all kernels, as they are.")
        .def("__len__", [](KernelDensity& density) {
            const InUse use(density.in_use(), kWhat);
            return density.size();
        })
        .def_prop_ro("overlap", [](KernelDensity& density) {
            const InUse use(density.in_use(), kWhat);
            return density.overlap();
        }, "Sum of all kernels at all centers.");
}
