#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bind_arrays.hpp"
#include "bind_graph.hpp"
#include "edges.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mlsample::Array;
using mlsample::checked;

namespace {

nb::tuple pull_edges(const Array& first, const Array& second, const Array& vectors, const Array& edge_gradient,
                     const Array& weights) {
    mlsample::Edges edges{};
    const double* w = checked<double>(weights, "weights", {-1}, "float64 (N,)");
    edges.n_atoms = static_cast<int64_t>(weights.shape(0));
    edges.first = checked<int64_t>(first, "first", {edges.n_atoms + 1}, "int64 (N+1,)");
    edges.second = checked<int32_t>(second, "second", {-1}, "int32 (E,)");
    edges.n_edges = static_cast<int64_t>(second.shape(0));
    edges.vectors = checked<double>(vectors, "vectors", {edges.n_edges, 3}, "float64 (E, 3)");
    const double* g = checked<double>(edge_gradient, "edge_gradient", {edges.n_edges, 3}, "float64 (E, 3)");
    nb::object gradient, virial;
    double* by_position = new_array<double>({static_cast<size_t>(edges.n_atoms), 3}, gradient);
    double* by_strain = new_array<double>({3, 3}, virial);
    {
        nb::gil_scoped_release release;
        mlsample::check_edges(edges);
        mlsample::pull_edges(edges, g, w, by_position, by_strain);
    }
    return nb::make_tuple(gradient, virial);
}

}  // namespace

void bind_edges(nb::module_& m) {
    m.def("pull_edges", &pull_edges, "first"_a, "second"_a, "vectors"_a, "edge_gradient"_a, "weights"_a,
          "Derivative of sum_i w_i k_i by positions (N, 3) and by symmetric strain (3, 3), given dk_i/d(vector) of "
          "the edges (E, 3) of each atom i.");
}
