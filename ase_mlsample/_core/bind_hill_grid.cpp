#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind_arrays.hpp"
#include "hill_grid.hpp"
#include "in_use.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mlsample::AxisKind;
using mlsample::GridAxis;
using mlsample::HillGrid;
using mlsample::HillShape;
using mlsample::InUse;

namespace {

using Points = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Column = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr const char* kWhat = "grid";
constexpr size_t kMany = 1024;  // points or hills worth letting other Python threads run

void require_finite(const double* numbers, size_t rows, size_t columns, const char* what) {
    for (size_t k = 0; k < rows * columns; ++k)
        if (!std::isfinite(numbers[k]))
            throw std::invalid_argument(std::string(what) + " " + std::to_string(k % columns) + " is " +
                                        (std::isnan(numbers[k]) ? "nan" : "infinite") +
                                        (rows > 1 ? " in row " + std::to_string(k / columns) : std::string()));
}

std::vector<GridAxis> make_axes(const std::vector<std::string>& kinds, const std::vector<double>& origins,
                                const std::vector<double>& spacings, const std::vector<int64_t>& first,
                                const std::vector<int64_t>& size) {
    const size_t d = kinds.size();
    if (origins.size() != d || spacings.size() != d || first.size() != d || size.size() != d)
        throw std::invalid_argument("kinds, origins, spacings, first and size must be of one length");
    std::vector<GridAxis> axes;
    for (size_t a = 0; a < d; ++a) {
        AxisKind kind = AxisKind::growing;
        if (kinds[a] == "bounded")
            kind = AxisKind::bounded;
        else if (kinds[a] == "periodic")
            kind = AxisKind::periodic;
        else if (kinds[a] != "growing")
            throw std::invalid_argument("an axis is growing, bounded or periodic, not " + kinds[a]);
        axes.push_back({kind, origins[a], spacings[a], first[a], size[a]});
    }
    return axes;
}

nb::tuple evaluate(HillGrid& grid, const Points& points) {
    const auto d = static_cast<size_t>(grid.variables());
    const size_t dims = points.ndim();
    if (dims < 1 || dims > 2 || points.shape(dims - 1) != d)
        throw std::invalid_argument("points must have shape (" + std::to_string(d) + ",) or (walkers, " +
                                    std::to_string(d) + ")");
    const size_t n = dims == 1 ? 1 : points.shape(0);
    require_finite(points.data(), n, d, "variable");
    const InUse use(grid.in_use(), kWhat);
    nb::object values, gradients;
    if (dims == 1) {
        double value = 0.0;
        double* gradient = new_array<double>({d}, gradients);
        grid.evaluate(points.data(), 1, &value, gradient);
        return nb::make_tuple(value, gradients);
    }
    double* v = new_array<double>({n}, values);
    double* g = new_array<double>({n, d}, gradients);
    if (n < kMany) {
        grid.evaluate(points.data(), static_cast<int64_t>(n), v, g);
    } else {
        nb::gil_scoped_release release;
        grid.evaluate(points.data(), static_cast<int64_t>(n), v, g);
    }
    return nb::make_tuple(values, gradients);
}

void add(HillGrid& grid, const Table& centers, const Table& widths, const Column& heights, double cutoff, double scale,
         double shift) {
    const auto d = static_cast<size_t>(grid.variables());
    const size_t n = heights.shape(0);
    if (centers.shape(0) != n || widths.shape(0) != n || centers.shape(1) != d || widths.shape(1) != d)
        throw std::invalid_argument("centers and widths must have shape (hills, " + std::to_string(d) +
                                    "), and heights (hills,)");
    require_finite(centers.data(), n, d, "center");
    require_finite(widths.data(), n, d, "width");
    require_finite(heights.data(), n, 1, "height");
    if (!std::all_of(widths.data(), widths.data() + n * d, [](double width) { return width > 0.0; }))
        throw std::invalid_argument("widths of hills must be positive");
    const InUse use(grid.in_use(), kWhat);
    const HillShape shape{cutoff, scale, shift};
    if (n < kMany) return grid.add(centers.data(), widths.data(), heights.data(), static_cast<int64_t>(n), shape);
    nb::gil_scoped_release release;
    grid.add(centers.data(), widths.data(), heights.data(), static_cast<int64_t>(n), shape);
}

nb::object copy_data(HillGrid& grid) {
    const InUse use(grid.in_use(), kWhat);
    nb::object out;
    const auto nodes = static_cast<size_t>(grid.nodes()), terms = static_cast<size_t>(grid.terms());
    double* data = new_array<double>({nodes, terms}, out);
    grid.read(data);
    return out;
}

void set_data(HillGrid& grid, const Table& data) {
    const auto nodes = static_cast<size_t>(grid.nodes()), terms = static_cast<size_t>(grid.terms());
    if (data.shape(0) != nodes || data.shape(1) != terms)
        throw std::invalid_argument("data must have shape (" + std::to_string(nodes) + ", " + std::to_string(terms) +
                                    ")");
    require_finite(data.data(), nodes, terms, "term");
    const InUse use(grid.in_use(), kWhat);
    grid.write(data.data());
}

template <typename T>
void axis_property(nb::class_<HillGrid>& cls, const char* name, T GridAxis::* field) {
    auto getter = [field](HillGrid& grid) {
        const InUse use(grid.in_use(), kWhat);
        std::vector<T> numbers;
        for (const GridAxis& axis : grid.axes()) numbers.push_back(axis.*field);
        return numbers;
    };
    cls.def_prop_ro(name, getter, nb::rv_policy::automatic);
}

}  // namespace

void bind_hill_grid(nb::module_& m) {
    nb::class_<HillGrid> cls(m, "HillGrid",
                             "A potential of one to three variables by cubic Hermite interpolation between nodes that "
                             "hold values and mixed first derivatives.");
    cls.def(
           "__init__",
           [](HillGrid* self, const std::vector<std::string>& kinds, const std::vector<double>& origins,
              const std::vector<double>& spacings, const std::vector<int64_t>& first,
              const std::vector<int64_t>& size) {
               new (self) HillGrid(make_axes(kinds, origins, spacings, first, size));
           },
           nb::kw_only(), "kinds"_a, "origins"_a, "spacings"_a, "first"_a, "size"_a)
        .def("evaluate", &evaluate, "points"_a, "Potential and gradient at points (d,) or (n, d).")
        .def("add", &add, "centers"_a, "widths"_a, "heights"_a, nb::kw_only(), "cutoff"_a, "scale"_a, "shift"_a,
             "Add Gaussians h (scale exp(-q) + shift), zero from q = cutoff on.")
        .def("data", &copy_data, "A copy (nodes, 2^d): bit a of a column's number is a derivative by variable a.")
        .def("set_data", &set_data, "data"_a, "Replace all that data() gives.");
    axis_property(cls, "origins", &GridAxis::origin);
    axis_property(cls, "spacings", &GridAxis::spacing);
    axis_property(cls, "first", &GridAxis::first);
    axis_property(cls, "size", &GridAxis::size);
}
