#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>

#include "bind_arrays.hpp"
#include "bind_graph.hpp"
#include "environment.hpp"
#include "in_use.hpp"
#include "neighbors.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mlsample::Array;
using mlsample::checked;
using mlsample::EnvironmentKernel;
using mlsample::NeighborList;

namespace {

void create(EnvironmentKernel* self, const Array& center, const Array& site_first, const Array& sites,
            const Array& site_species, double sigma, double lambda, double inner, double outer) {
    mlsample::EnvironmentTemplates templates{};
    templates.center = checked<int32_t>(center, "center", {-1}, "int32 (L,)");
    templates.count = static_cast<int64_t>(center.shape(0));
    templates.site_first = checked<int64_t>(site_first, "site_first", {templates.count + 1}, "int64 (L+1,)");
    templates.site_species = checked<int32_t>(site_species, "site_species", {-1}, "int32 (M,)");
    const auto m = static_cast<int64_t>(site_species.shape(0));
    templates.sites = checked<double>(sites, "sites", {m, 3}, "float64 (M, 3)");
    if (templates.site_first[templates.count] != m)
        throw nb::value_error("site_first must end at the number of sites");
    new (self) EnvironmentKernel(templates, sigma, lambda, inner, outer);
}

nb::tuple compute(EnvironmentKernel& kernel, const NeighborList& neighbors, const Array& species) {
    const mlsample::InUse own(kernel.in_use(), "environment kernel"), list(neighbors.in_use(), "neighbour list");
    const int64_t n = neighbors.ready() ? neighbors.size() : 0, pairs = neighbors.ready() ? neighbors.pairs() : 0;
    const int32_t* s = checked<int32_t>(species, "species", {n}, "int32 (N,)");
    nb::object values, edge_gradient;
    double* k = new_array<double>({static_cast<size_t>(n)}, values);
    double* g = new_array<double>({static_cast<size_t>(pairs), 3}, edge_gradient);
    {
        nb::gil_scoped_release release;
        kernel.compute(neighbors, s, k, g);
    }
    return nb::make_tuple(values, edge_gradient);
}

}  // namespace

void bind_environment(nb::module_& m) {
    nb::class_<EnvironmentKernel>(m, "EnvironmentKernel", "Similarity of atomic environments to templates.")
        .def("__init__", &create, nb::kw_only(), "center"_a, "site_first"_a, "sites"_a, "site_species"_a, "sigma"_a,
             "lam"_a, "inner"_a, "outer"_a)
        .def_prop_ro("cutoff", &EnvironmentKernel::cutoff)
        .def("compute", &compute, "neighbors"_a, "species"_a,
             "Similarities (N,) and their derivatives by the vectors of the edges (E, 3).");
}
