#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aev.hpp"
#include "bind_arrays.hpp"
#include "bind_graph.hpp"

namespace nb = nanobind;
using mlsample::Aev;
using mlsample::AevGraph;
using mlsample::Array;
using mlsample::checked;
using mlsample::make_graph;
using mlsample::set_frames;

namespace {

int members_of(const Array& array, const char* name) {
    if (array.ndim() < 1 || array.shape(0) > 1000000) {
        throw nb::value_error((std::string(name) + " must have a leading axis of members").c_str());
    }
    return static_cast<int>(array.shape(0));
}

template <class T>
nb::object forward_as(const Aev& aev, const AevGraph& graph) {
    nb::object out;
    T* data = new_array<T>({size_t(graph.n_atoms), size_t(aev.length())}, out);
    nb::gil_scoped_release release;
    aev.forward(graph, data);
    return out;
}

nb::object forward(const Aev& aev, const Array& species, const Array& first, const Array& second,
                   const Array& vectors, bool in_double) {
    AevGraph graph = make_graph(species, first, second, vectors);
    const int64_t whole[2] = {0, graph.n_atoms};
    graph.n_frames = 1;
    graph.frame_first = whole;
    return in_double ? forward_as<double>(aev, graph) : forward_as<float>(aev, graph);
}

nb::tuple gradient(const Aev& aev, const Array& species, const Array& first, const Array& second,
                   const Array& vectors, const Array& g, const Array& frame_first) {
    AevGraph graph = make_graph(species, first, second, vectors);
    set_frames(graph, frame_first);
    const bool in_double = g.dtype() == nb::dtype<double>();
    const int members = members_of(g, "g");
    const auto shape = {int64_t(-1), graph.n_atoms, aev.length()};
    const char* what = "float32 or float64 (M, N, length)";
    const void* weights = in_double ? static_cast<const void*>(checked<double>(g, "g", shape, what))
                                    : static_cast<const void*>(checked<float>(g, "g", shape, what));
    nb::object derivative, virial;
    double* d = new_array<double>({size_t(members), size_t(graph.n_atoms), 3}, derivative);
    double* w = new_array<double>({size_t(members), size_t(graph.n_frames), 3, 3}, virial);
    {
        nb::gil_scoped_release release;
        if (in_double) aev.gradient(graph, members, static_cast<const double*>(weights), d, w);
        else aev.gradient(graph, members, static_cast<const float*>(weights), d, w);
    }
    return nb::make_tuple(derivative, virial);
}

template <class T>
nb::object tangent_as(const Aev& aev, const AevGraph& graph, int members, const double* v, const double* strain) {
    nb::object out;
    T* data = new_array<T>({size_t(members), size_t(graph.n_atoms), size_t(aev.length())}, out);
    nb::gil_scoped_release release;
    aev.tangent(graph, members, v, strain, data);
    return out;
}

nb::object tangent(const Aev& aev, const Array& species, const Array& first, const Array& second,
                   const Array& vectors, const Array& v, const std::optional<Array>& strain,
                   const Array& frame_first, bool in_double) {
    AevGraph graph = make_graph(species, first, second, vectors);
    set_frames(graph, frame_first);
    const int members = members_of(v, "v");
    const double* directions = checked<double>(v, "v", {-1, graph.n_atoms, 3}, "float64 (M, N, 3)");
    const double* strains = nullptr;
    if (strain) {
        strains = checked<double>(*strain, "strain", {members, graph.n_frames, 3, 3}, "float64 (M, S, 3, 3)");
    }
    return in_double ? tangent_as<double>(aev, graph, members, directions, strains)
                     : tangent_as<float>(aev, graph, members, directions, strains);
}

void construct(Aev* self, int num_species, double radial_cutoff, double radial_eta, std::vector<double> radial_shifts,
               double angular_cutoff, double angular_eta, double zeta, std::vector<double> angular_shifts,
               std::vector<double> sections, const std::string& cutoff_function) {
    if (cutoff_function != "cosine" && cutoff_function != "smooth") {
        const std::string text = "cutoff_function must be 'cosine' or 'smooth', not '" + cutoff_function + "'";
        throw nb::value_error(text.c_str());
    }
    mlsample::AevSettings settings;
    settings.num_species = num_species;
    settings.radial_cutoff = radial_cutoff;
    settings.radial_eta = radial_eta;
    settings.radial_shifts = std::move(radial_shifts);
    settings.angular_cutoff = angular_cutoff;
    settings.angular_eta = angular_eta;
    settings.zeta = zeta;
    settings.angular_shifts = std::move(angular_shifts);
    settings.sections = std::move(sections);
    settings.smooth = cutoff_function == "smooth";
    new (self) Aev(std::move(settings));
}

}  // namespace

void bind_aev(nb::module_& m) {
    nb::class_<Aev>(m, "AEV", "Atomic environment vectors in TorchANI's form and layout, and their derivatives.")
        .def("__init__", &construct, nb::arg("num_species"), nb::kw_only(), nb::arg("radial_cutoff"),
             nb::arg("radial_eta"), nb::arg("radial_shifts"), nb::arg("angular_cutoff"), nb::arg("angular_eta"),
             nb::arg("zeta"), nb::arg("angular_shifts"), nb::arg("sections"), nb::arg("cutoff_function") = "cosine")
        .def_prop_ro("length", &Aev::length, "Entries of one atom's AEV.")
        .def("forward", &forward, nb::arg("species"), nb::arg("first"), nb::arg("second"), nb::arg("vectors"),
             nb::kw_only(), nb::arg("double"), "AEVs (N, L).")
        .def("gradient", &gradient, nb::arg("species"), nb::arg("first"), nb::arg("second"), nb::arg("vectors"),
             nb::arg("g"), nb::arg("frame_first"),
             "Derivatives of sum(g * aev) by positions (M, N, 3) and by strain (M, S, 3, 3).")
        .def("tangent", &tangent, nb::arg("species"), nb::arg("first"), nb::arg("second"), nb::arg("vectors"),
             nb::arg("v"), nb::arg("strain").none(), nb::arg("frame_first"), nb::kw_only(), nb::arg("double"),
             "Directional derivatives (M, N, L) of the AEVs along v (M, N, 3) and strain (M, S, 3, 3).");
}
