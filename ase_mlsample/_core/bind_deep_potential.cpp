#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bind_arrays.hpp"
#include "bind_graph.hpp"
#include "bind_layers.hpp"
#include "deep_potential.hpp"
#include "in_use.hpp"

namespace nb = nanobind;
using mlsample::Array;
using mlsample::checked;

namespace {

using Steps = std::vector<std::optional<Array>>;
using Fitting = std::tuple<std::vector<Array>, std::vector<Array>, Steps>;
using Layers = std::pair<std::vector<Array>, std::vector<Array>>;

// Potentials of one precision, which that of g(0) decides.
struct PyDeepPotential {
    std::unique_ptr<mlsample::DeepPotential<float>> single;
    std::unique_ptr<mlsample::DeepPotential<double>> twofold;

    // body(potential) with the one that there is
    template <class Body>
    auto with(const Body& body) const {
        return single ? body(*single) : body(*twofold);
    }
};

struct Arguments {
    double cutoff, switch_start;
    int axis;
    const Array &slots, &mean, &std_radial, &std_angular, &empty;
    const std::optional<Array>& tables;
    const std::optional<Layers>& layers;
    const std::vector<Fitting>& fittings;
};

template <class T>
std::unique_ptr<mlsample::DeepPotential<T>> make(const Arguments& a) {
    const std::string kind = std::is_same_v<T, float> ? "float32 " : "float64 ";
    mlsample::DeepPotentialSettings<T> s;
    s.empty = checked<T>(a.empty, "empty", {-1, -1, -1, -1}, (kind + "(M, K, K, outputs)").c_str());
    const auto members = static_cast<int64_t>(a.empty.shape(0)), kinds = static_cast<int64_t>(a.empty.shape(1));
    s.outputs = static_cast<int64_t>(a.empty.shape(3));
    checked<T>(a.empty, "empty", {members, kinds, kinds, s.outputs}, (kind + "(M, K, K, outputs)").c_str());
    if (members > 1000000 || kinds > 1000) throw nb::value_error("too many members or elements");
    s.members = static_cast<int>(members), s.num_species = static_cast<int>(kinds);
    s.axis = a.axis, s.cutoff = a.cutoff, s.switch_start = a.switch_start;
    s.slots = checked<double>(a.slots, "slots", {kinds}, "float64 (K,)");
    s.mean = checked<double>(a.mean, "mean", {members, kinds}, "float64 (M, K)");
    s.std_radial = checked<double>(a.std_radial, "std_radial", {members, kinds}, "float64 (M, K)");
    s.std_angular = checked<double>(a.std_angular, "std_angular", {members, kinds}, "float64 (M, K)");
    if (a.tables) {
        const std::string what = kind + "(M, K, K, intervals, 6, outputs)";
        s.tables = checked<T>(*a.tables, "tables", {members, kinds, kinds, -1, 6, s.outputs}, what.c_str());
        s.intervals = static_cast<int64_t>(a.tables->shape(3));
    }
    if (a.layers) s.layers = mlsample::layers_of<T>(a.layers->first, a.layers->second, {}, members * kinds * kinds);
    for (const auto& [weights, biases, steps] : a.fittings) {
        s.fittings.push_back(mlsample::layers_of<T>(weights, biases, steps, members));
    }
    return std::make_unique<mlsample::DeepPotential<T>>(s);
}

void construct(PyDeepPotential* self, double cutoff, double switch_start, int axis, const Array& slots,
               const Array& mean, const Array& std_radial, const Array& std_angular, const Array& empty,
               const std::vector<Fitting>& fittings, const std::optional<Array>& tables,
               const std::optional<Layers>& layers) {
    const Arguments all{cutoff, switch_start, axis, slots, mean, std_radial, std_angular, empty, tables, layers, fittings};
    PyDeepPotential made;
    if (empty.dtype() == nb::dtype<double>()) made.twofold = make<double>(all);
    else made.single = make<float>(all);
    new (self) PyDeepPotential(std::move(made));
}

int members_of(const PyDeepPotential& potential) {
    return potential.with([](const auto& one) { return one.members(); });
}

// New arrays for the results, which run(potential, energies, gradient, virial) fills.
template <class Run>
nb::tuple evaluated(const PyDeepPotential& potential, size_t atoms, size_t frames, bool mean, const Run& run) {
    const size_t kept = mean ? 1 : static_cast<size_t>(members_of(potential));
    return new_sums(kept, atoms, frames, [&](double* e, double* g, double* w) {
        potential.with([&](const auto& one) { run(one, e, g, w); });
    });
}

nb::tuple evaluate_edges(const PyDeepPotential& potential, const Array& species, const Array& first,
                         const Array& second, const Array& vectors, const Array& frame_first, bool mean) {
    mlsample::AevGraph graph = mlsample::make_graph(species, first, second, vectors);
    mlsample::set_frames(graph, frame_first);
    return evaluated(potential, size_t(graph.n_atoms), size_t(graph.n_frames), mean,
                     [&](const auto& one, double* e, double* g, double* w) { one.evaluate(graph, mean, e, g, w); });
}

nb::tuple evaluate_list(const PyDeepPotential& potential, const Array& species,
                        const mlsample::NeighborList& neighbors, bool mean) {
    const mlsample::InUse use(neighbors.in_use(), "neighbour list");
    if (!neighbors.placed()) throw std::runtime_error("the neighbour list is empty: place it first");
    const int32_t* kinds = checked<int32_t>(species, "species", {neighbors.size()}, "int32 (N,)");
    return evaluated(potential, size_t(neighbors.size()), 1, mean,
                     [&](const auto& one, double* e, double* g, double* w) {
                         one.evaluate(neighbors, kinds, mean, e, g, w);
                     });
}

}  // namespace

void bind_deep_potential(nb::module_& m) {
    const char* text =
        "Energies (m, N) of the members, or of their mean (m = 1), and the derivatives of their sums by positions "
        "(m, N, 3) and by strain (m, S, 3, 3).";
    nb::class_<PyDeepPotential>(m, "DeepPotential", "The Deep Potentials of all members, copied from their weights.")
        .def("__init__", &construct, nb::kw_only(), nb::arg("cutoff"), nb::arg("switch_start"), nb::arg("axis"),
             nb::arg("slots"), nb::arg("mean"), nb::arg("std_radial"), nb::arg("std_angular"), nb::arg("empty"),
             nb::arg("fittings"), nb::arg("tables").none() = nb::none(), nb::arg("layers").none() = nb::none())
        .def_prop_ro("members", &members_of)
        .def("evaluate", &evaluate_edges, nb::arg("species"), nb::arg("first"), nb::arg("second"), nb::arg("vectors"),
             nb::arg("frame_first"), nb::kw_only(), nb::arg("mean"), text)
        .def("evaluate", &evaluate_list, nb::arg("species"), nb::arg("neighbors"), nb::kw_only(), nb::arg("mean"), text);
}
