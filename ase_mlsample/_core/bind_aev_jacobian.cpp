#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "aev_jacobian.hpp"

namespace nb = nanobind;
using mlsample::Aev;
using mlsample::AevGraph;
using mlsample::AevJacobian;

namespace {

template <class T, class... Shape>
using In = nb::ndarray<const T, nb::shape<Shape::value...>, nb::c_contig, nb::device::cpu>;
template <int N>
using Dim = std::integral_constant<int, N>;
using Any = Dim<-1>;

using Species = In<int32_t, Any>;
using Offsets = In<int64_t, Any>;
using Vectors = In<double, Any, Dim<3>>;
using Positions = In<double, Any, Any, Dim<3>>;
using Strains = In<double, Any, Any, Dim<3>, Dim<3>>;

AevGraph make_graph(const Species& species, const Offsets& first, const Species& second, const Vectors& vectors,
                    const Offsets& frame_first) {
    AevGraph graph{};
    graph.n_atoms = static_cast<int64_t>(species.shape(0));
    graph.n_edges = static_cast<int64_t>(second.shape(0));
    graph.n_frames = static_cast<int64_t>(frame_first.shape(0)) - 1;
    graph.species = species.data(), graph.first = first.data(), graph.second = second.data();
    graph.vectors = vectors.data(), graph.frame_first = frame_first.data();
    const bool fits = static_cast<int64_t>(first.shape(0)) == graph.n_atoms + 1 && graph.n_frames >= 1 &&
                      static_cast<int64_t>(vectors.shape(0)) == graph.n_edges && graph.first[0] == 0 &&
                      graph.first[graph.n_atoms] == graph.n_edges && graph.frame_first[0] == 0 &&
                      graph.frame_first[graph.n_frames] == graph.n_atoms;
    if (!fits) throw nb::value_error("species, first, second, vectors and frame_first do not belong together");
    return graph;
}

// Neighbours must be atoms of the same frame, and species those of the AEV.
void check_graph(const AevGraph& graph, int num_species) {
    for (int64_t f = 0; f < graph.n_frames; ++f) {
        const int64_t low = graph.frame_first[f], high = graph.frame_first[f + 1];
        if (high < low) throw std::invalid_argument("frame_first must not decrease");
        for (int64_t i = low; i < high; ++i) {
            if (graph.species[i] < 0 || graph.species[i] >= num_species) {
                throw std::invalid_argument("species[" + std::to_string(i) + "] is not a species of the AEV");
            }
            if (graph.first[i + 1] < graph.first[i]) throw std::invalid_argument("first must not decrease");
            for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
                if (graph.second[e] < low || graph.second[e] >= high) {
                    throw std::invalid_argument("second[" + std::to_string(e) + "] is not an atom of the same frame");
                }
            }
        }
    }
}

template <class T>
T* new_array(std::initializer_list<size_t> shape, nb::object& out) {
    size_t size = 1;
    for (size_t n : shape) size *= n;
    T* data = new T[size];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    out = nb::cast(nb::ndarray<nb::numpy, T>(data, shape, owner));
    return data;
}

template <class T>
size_t atoms_of(const AevJacobian<T>& jacobian, const Offsets& frames) {
    int64_t atoms = 0;
    for (size_t k = 0; k < frames.shape(0); ++k) {
        const int64_t f = frames.data()[k];
        if (f < 0 || f >= jacobian.frames()) {
            throw nb::index_error(("there is no frame " + std::to_string(f)).c_str());
        }
        atoms += jacobian.frame_atoms(f);
    }
    return static_cast<size_t>(atoms);
}

template <class T>
nb::tuple gradient(const AevJacobian<T>& jacobian, const Offsets& frames, const In<T, Any, Any, Any>& g) {
    const size_t members = g.shape(0), atoms = atoms_of(jacobian, frames), n = frames.shape(0);
    if (g.shape(1) != atoms || g.shape(2) != static_cast<size_t>(jacobian.length())) {
        throw nb::value_error("g must be (M, N, length) for the atoms of the chosen frames");
    }
    nb::object positions, virial;
    double* d = new_array<double>({members, atoms, 3}, positions);
    double* w = new_array<double>({members, n, 3, 3}, virial);
    {
        nb::gil_scoped_release release;
        jacobian.gradient(frames.data(), static_cast<int64_t>(n), static_cast<int>(members), g.data(), d, w);
    }
    return nb::make_tuple(positions, virial);
}

template <class T>
nb::object tangent(const AevJacobian<T>& jacobian, const Offsets& frames, const Positions& v,
                   const std::optional<Strains>& strain) {
    const size_t members = v.shape(0), atoms = atoms_of(jacobian, frames), n = frames.shape(0);
    if (v.shape(1) != atoms) throw nb::value_error("v must be (M, N, 3) for the atoms of the chosen frames");
    if (strain && (strain->shape(0) != members || strain->shape(1) != n)) {
        throw nb::value_error("strain must be (M, S, 3, 3) for the chosen frames");
    }
    nb::object out;
    T* aev = new_array<T>({members, atoms, static_cast<size_t>(jacobian.length())}, out);
    const double* e = strain ? strain->data() : nullptr;
    nb::gil_scoped_release release;
    jacobian.tangent(frames.data(), static_cast<int64_t>(n), static_cast<int>(members), v.data(), e, aev);
    return out;
}

template <class T>
void bind(nb::module_& m, const char* name) {
    nb::class_<AevJacobian<T>>(m, name, "Derivatives of the AEVs of a set of frames, kept in memory.")
        .def(
            "__init__",
            [](AevJacobian<T>* self, const Aev& aev, const Species& species, const Offsets& first,
               const Species& second, const Vectors& vectors, const Offsets& frame_first) {
                const AevGraph graph = make_graph(species, first, second, vectors, frame_first);
                nb::gil_scoped_release release;
                check_graph(graph, aev.settings().num_species);
                new (self) AevJacobian<T>(aev.settings(), graph);
            },
            nb::arg("aev"), nb::arg("species"), nb::arg("first"), nb::arg("second"), nb::arg("vectors"),
            nb::arg("frame_first"))
        .def_static(
            "bytes_needed",
            [](const Aev& aev, const Species& species, const Offsets& first, const Species& second,
               const Vectors& vectors, const Offsets& frame_first) {
                const AevGraph graph = make_graph(species, first, second, vectors, frame_first);
                nb::gil_scoped_release release;
                check_graph(graph, aev.settings().num_species);
                return AevJacobian<T>::bytes_needed(aev.settings(), graph);
            },
            nb::arg("aev"), nb::arg("species"), nb::arg("first"), nb::arg("second"), nb::arg("vectors"),
            nb::arg("frame_first"))
        .def("gradient", &gradient<T>, nb::arg("frames"), nb::arg("g"),
             "Derivatives of sum(g * aev) of the chosen frames by positions (M, N, 3) and by strain (M, S, 3, 3).")
        .def("tangent", &tangent<T>, nb::arg("frames"), nb::arg("v"), nb::arg("strain").none(),
             "Directional derivatives (M, N, L) along v (M, N, 3) and strain (M, S, 3, 3).");
}

}  // namespace

void bind_aev_jacobian(nb::module_& m) {
    bind<float>(m, "AEVJacobian32");
    bind<double>(m, "AEVJacobian64");
}
