#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ani.hpp"
#include "bind_arrays.hpp"
#include "bind_graph.hpp"
#include "bind_layers.hpp"
#include "in_use.hpp"
#include "moments.hpp"
#include "networks.hpp"

namespace nb = nanobind;
using mlsample::Array;
using mlsample::checked;

namespace {

using Layers = std::pair<std::vector<Array>, std::vector<Array>>;

// Networks of one precision, which that of the weights decides.
struct PyNetworks {
    std::unique_ptr<mlsample::Networks<float>> single;
    std::unique_ptr<mlsample::Networks<double>> twofold;

    // body(networks) with the one that there is
    template <class Body>
    auto with(const Body& body) const {
        return single ? body(*single) : body(*twofold);
    }
};

template <class T>
std::vector<std::vector<mlsample::LayerWeights<T>>> all_layers(const std::vector<Layers>& elements, int64_t members) {
    std::vector<std::vector<mlsample::LayerWeights<T>>> layers;
    for (const auto& [weights, biases] : elements) {
        layers.push_back(mlsample::layers_of<T>(weights, biases, {}, members));
    }
    return layers;
}

template <class T>
std::unique_ptr<mlsample::Networks<T>> make_networks(const std::string& activation, const std::vector<Layers>& elements,
                                                     int64_t members) {
    return std::make_unique<mlsample::Networks<T>>(static_cast<int>(members), mlsample::activation_named(activation),
                                                   all_layers<T>(elements, members));
}

void construct(PyNetworks* self, const std::string& activation, const std::vector<Layers>& elements) {
    if (elements.empty() || elements[0].first.empty() || elements[0].first[0].ndim() != 3) {
        throw nb::value_error("elements must hold for each element its weights (M, outputs, inputs) and biases");
    }
    const Array& first = elements[0].first[0];
    const auto members = static_cast<int64_t>(first.shape(0));
    if (members < 1 || members > 1000000) throw nb::value_error("there must be at least one member");
    PyNetworks made;
    if (first.dtype() == nb::dtype<double>()) made.twofold = make_networks<double>(activation, elements, members);
    else made.single = make_networks<float>(activation, elements, members);
    new (self) PyNetworks(std::move(made));
}

template <class T>
nb::tuple evaluate_as(const mlsample::Networks<T>& networks, const Array& aev, const Array& species, bool mean) {
    const char* what = std::is_same_v<T, float> ? "float32 (N, inputs)" : "float64 (N, inputs)";
    const T* rows = checked<T>(aev, "aev", {-1, networks.inputs()}, what);
    const auto n = static_cast<int64_t>(aev.shape(0));
    const int32_t* kinds = checked<int32_t>(species, "species", {n}, "int32 (N,)");
    const size_t members = networks.members();
    nb::object energies, gradient;
    T* e = new_array<T>({members, size_t(n)}, energies);
    T* g = new_array<T>({mean ? 1 : members, size_t(n), size_t(networks.inputs())}, gradient);
    {
        nb::gil_scoped_release release;
        networks.evaluate(kinds, n, rows, mean, e, g);
    }
    return nb::make_tuple(energies, gradient);
}

nb::tuple evaluate(const PyNetworks& networks, const Array& aev, const Array& species, bool mean) {
    return networks.with([&](const auto& one) { return evaluate_as(one, aev, species, mean); });
}

void set_weights(PyNetworks& networks, const std::vector<Layers>& elements) {
    if (networks.single) networks.single->set_weights(all_layers<float>(elements, networks.single->members()));
    else networks.twofold->set_weights(all_layers<double>(elements, networks.twofold->members()));
}

template <class T>
nb::list weight_gradient_as(const mlsample::Networks<T>& networks, const Array& aev, const Array& species,
                            const Array& by_energy, const std::optional<Array>& tangent) {
    const std::string kind = std::is_same_v<T, float> ? "float32 " : "float64 ";
    const T* rows = checked<T>(aev, "aev", {-1, networks.inputs()}, (kind + "(N, inputs)").c_str());
    const auto n = static_cast<int64_t>(aev.shape(0));
    const int64_t members = networks.members(), inputs = networks.inputs();
    const int32_t* kinds = checked<int32_t>(species, "species", {n}, "int32 (N,)");
    const T* a = checked<T>(by_energy, "by_energy", {members, n}, (kind + "(M, N)").c_str());
    const T* u = nullptr;
    if (tangent) u = checked<T>(*tangent, "tangent", {members, n, inputs}, (kind + "(M, N, inputs)").c_str());
    std::vector<typename mlsample::Networks<T>::WeightGradient> out;
    nb::list result;
    for (int e = 0; e < networks.num_species(); ++e) {
        typename mlsample::Networks<T>::WeightGradient arrays;
        nb::list weights, biases;
        for (const auto& [outputs, of_inputs] : networks.shapes(e)) {
            nb::object weight, bias;
            arrays.weights.push_back(new_array<T>({size_t(members), size_t(outputs), size_t(of_inputs)}, weight));
            arrays.biases.push_back(new_array<T>({size_t(members), 1, size_t(outputs)}, bias));
            weights.append(weight);
            biases.append(bias);
        }
        out.push_back(std::move(arrays));
        result.append(nb::make_tuple(weights, biases));
    }
    {
        nb::gil_scoped_release release;
        networks.weight_gradient(kinds, n, rows, a, u, out);
    }
    return result;
}

nb::list weight_gradient(const PyNetworks& networks, const Array& aev, const Array& species, const Array& by_energy,
                         const std::optional<Array>& tangent) {
    return networks.with([&](const auto& one) { return weight_gradient_as(one, aev, species, by_energy, tangent); });
}

// New arrays for the results, which run(networks, energies, gradient, virial) fills.
template <class Run>
nb::tuple evaluated(const PyNetworks& networks, size_t atoms, size_t frames, bool mean, const Run& run) {
    const size_t kept = mean ? 1 : networks.with([](const auto& one) { return one.members(); });
    return new_sums(kept, atoms, frames, [&](double* e, double* g, double* w) {
        networks.with([&](const auto& one) { run(one, e, g, w); });
    });
}

nb::tuple evaluate_edges(const mlsample::Aev& aev, const PyNetworks& networks, const Array& species, const Array& first,
                         const Array& second, const Array& vectors, const Array& frame_first, bool mean) {
    mlsample::AevGraph graph = mlsample::make_graph(species, first, second, vectors);
    mlsample::set_frames(graph, frame_first);
    return evaluated(networks, size_t(graph.n_atoms), size_t(graph.n_frames), mean,
                     [&](const auto& one, double* e, double* g, double* w) {
                         mlsample::evaluate_ani(aev, one, graph, mean, e, g, w);
                     });
}

nb::tuple evaluate_list(const mlsample::Aev& aev, const PyNetworks& networks, const Array& species,
                        const mlsample::NeighborList& neighbors, bool mean) {
    const mlsample::InUse use(neighbors.in_use(), "neighbour list");
    if (!neighbors.placed()) throw std::runtime_error("the neighbour list is empty: place it first");
    const int32_t* kinds = checked<int32_t>(species, "species", {neighbors.size()}, "int32 (N,)");
    return evaluated(networks, size_t(neighbors.size()), 1, mean,
                     [&](const auto& one, double* e, double* g, double* w) {
                         mlsample::evaluate_ani(aev, one, neighbors, kinds, mean, e, g, w);
                     });
}

nb::tuple moments(const Array& values) {
    const double* given = checked<double>(values, "values", {-1, -1}, "float64 (M, K)");
    const size_t members = values.shape(0), count = values.shape(1);
    if (members < 2) throw nb::value_error("a deviation needs at least two members");
    nb::object mean, deviation;
    double* a = new_array<double>({count}, mean);
    double* b = new_array<double>({count}, deviation);
    {
        nb::gil_scoped_release release;
        mlsample::moments(given, static_cast<int64_t>(members), static_cast<int64_t>(count), a, b);
    }
    return nb::make_tuple(mean, deviation);
}

}  // namespace

void bind_networks(nb::module_& m) {
    nb::class_<PyNetworks>(m, "Networks",
                           "The networks of all members and elements of an ensemble, copied from their weights.")
        .def("__init__", &construct, nb::arg("activation"), nb::arg("elements"))
        .def_prop_ro("members", [](const PyNetworks& self) { return self.with([](const auto& n) { return n.members(); }); })
        .def_prop_ro("inputs", [](const PyNetworks& self) { return self.with([](const auto& n) { return n.inputs(); }); })
        .def("evaluate", &evaluate, nb::arg("aev"), nb::arg("species"), nb::kw_only(), nb::arg("mean"),
             "Energies (M, N) and their derivatives by the AEV, (M, N, L) or (1, N, L) for the mean over members.")
        .def("set_weights", &set_weights, nb::arg("elements"), "Take over other weights of the same shapes.")
        .def("weight_gradient", &weight_gradient, nb::arg("aev"), nb::arg("species"), nb::arg("by_energy"),
             nb::arg("tangent").none(),
             "For each element the derivatives by weights and biases of sum(by_energy * energies) + sum(tangent * g), "
             "g the energies' derivatives by the AEV.");
    const char* text =
        "Energies (m, N) of the members, or of their mean (m = 1), and the derivatives of their sums by positions "
        "(m, N, 3) and by strain (m, S, 3, 3).";
    m.def("evaluate_ani", &evaluate_edges, nb::arg("aev"), nb::arg("networks"), nb::arg("species"), nb::arg("first"),
          nb::arg("second"), nb::arg("vectors"), nb::arg("frame_first"), nb::kw_only(), nb::arg("mean"), text);
    m.def("evaluate_ani", &evaluate_list, nb::arg("aev"), nb::arg("networks"), nb::arg("species"),
          nb::arg("neighbors"), nb::kw_only(), nb::arg("mean"), text);
    m.def("moments", &moments, nb::arg("values"),
          "Mean and sample standard deviation (ddof = 1) of values (M, K) over the members, each (K,).");
}
