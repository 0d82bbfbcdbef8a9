#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind_arrays.hpp"
#include "bind_graph.hpp"
#include "edges.hpp"
#include "half_pairs.hpp"
#include "in_use.hpp"
#include "pair_entropy.hpp"
#include "steinhardt.hpp"
#include "structure_factor.hpp"
#include "structure_factor_kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mlsample::Array;
using mlsample::BondOrder;
using mlsample::BondOrderKind;
using mlsample::checked;
using mlsample::HalfPairArrays;
using mlsample::HalfPairs;
using mlsample::PairEntropy;

namespace {

using Positions = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Cell = nb::ndarray<const double, nb::shape<3, 3>, nb::c_contig, nb::device::cpu>;
using Periodicity = nb::ndarray<const bool, nb::shape<3>, nb::c_contig, nb::device::cpu>;

// What an update leaves; the next one writes elsewhere while Python holds this.
struct PairBlocks {
    std::shared_ptr<HalfPairArrays> arrays;
};

PairBlocks update(HalfPairs& pairs, const Positions& positions, const Cell& cell, const Periodicity& pbc) {
    const auto n = static_cast<int64_t>(positions.shape(0));
    const double* r = positions.data();
    const double* c = cell.data();
    const bool* p = pbc.data();
    const mlsample::InUse use(pairs.in_use(), "list of pairs");
    nb::gil_scoped_release release;
    return {pairs.update(r, n, c, p)};
}

nb::tuple sums(const PairBlocks& pairs, const Array& value_series, const Array& slope_series, bool chebyshev) {
    const double* value = checked<double>(value_series, "value_series", {-1, -1}, "float64 (F, K)");
    const auto functions = static_cast<int64_t>(value_series.shape(0));
    const auto terms = static_cast<int64_t>(value_series.shape(1));
    const double* slope = checked<double>(slope_series, "slope_series", {functions, terms}, "float64 (F, K)");
    if (terms < 4 || terms % 2 != 0 || terms > mlsample::kMostTerms)
        throw std::invalid_argument("series need an even number of terms from 4 to " +
                                    std::to_string(mlsample::kMostTerms) + ", not " + std::to_string(terms));
    HalfPairArrays& arrays = *pairs.arrays;
    nb::object values, slopes;
    double* v = new_array<double>({size_t(functions), size_t(arrays.n)}, values);
    double* s = new_array<double>({size_t(functions), size_t(arrays.lanes())}, slopes);
    {
        nb::gil_scoped_release release;
        mlsample::pair_sums(arrays, chebyshev, functions, terms, value, slope, v, s);
    }
    return nb::make_tuple(values, slopes);
}

nb::tuple pull(const PairBlocks& pairs, const Array& slopes, nb::object weights) {
    HalfPairArrays& arrays = *pairs.arrays;
    const double* s = checked<double>(slopes, "slopes", {arrays.lanes()}, "float64 (P,)");
    Array given;
    const double* w = nullptr;
    if (!weights.is_none()) {
        given = nb::cast<Array>(weights);
        w = checked<double>(given, "weights", {arrays.n}, "float64 (N,)");
    }
    nb::object gradient, virial;
    double* g = new_array<double>({size_t(arrays.n), 3}, gradient);
    double* v = new_array<double>({3, 3}, virial);
    {
        nb::gil_scoped_release release;
        mlsample::pull_pairs(arrays, s, w, g, v);
    }
    return nb::make_tuple(gradient, virial);
}

void make_entropy(PairEntropy* self, const PairBlocks& pairs, double cutoff, const Array& gauss, const Array& shares,
                  double density, bool local) {
    const double* c = checked<double>(gauss, "gauss", {-1}, "float64 (M+1,)");
    const double* w = checked<double>(shares, "shares", {-1}, "float64 (K+1,)");
    const mlsample::EntropySettings settings{cutoff, static_cast<int64_t>(shares.shape(0)) - 1,
                                             std::vector<double>(c, c + gauss.shape(0)),
                                             std::vector<double>(w, w + shares.shape(0))};
    nb::gil_scoped_release release;
    new (self) PairEntropy(pairs.arrays, settings, density, local);
}

nb::object copied(const std::vector<double>& values) {
    nb::object out;
    std::copy(values.begin(), values.end(), new_array<double>({values.size()}, out));
    return out;
}

nb::tuple pull_entropy(const PairEntropy& entropy, const Array& weights) {
    const double* w = checked<double>(weights, "weights", {static_cast<int64_t>(entropy.values().size())},
                                      "float64 array, one for each value,");
    nb::object gradient, virial;
    double* g = new_array<double>({size_t(entropy.atoms()), 3}, gradient);
    double* v = new_array<double>({3, 3}, virial);
    {
        nb::gil_scoped_release release;
        entropy.pull(w, g, v);
    }
    return nb::make_tuple(gradient, virial);
}

BondOrderKind kind_named(const std::string& name) {
    if (name == "local") return BondOrderKind::local;
    if (name == "averaged") return BondOrderKind::averaged;
    if (name == "correlation") return BondOrderKind::correlation;
    throw std::invalid_argument("the kind of bond order must be local, averaged or correlation, not '" + name + "'");
}

// A bond order with the arrays that it looks at.
struct HeldBondOrder {
    HeldBondOrder(const Array& first, const Array& second, const Array& vectors, const Array& distances,
                  const mlsample::BondPairs& pairs, BondOrderKind kind, int degree, double inner, double outer)
        : held{first, second, vectors, distances}, n_atoms(pairs.n_atoms), order(pairs, kind, degree, inner, outer) {}
    Array held[4];
    int64_t n_atoms;
    BondOrder order;
};

void make_bond_order(HeldBondOrder* self, const Array& first, const Array& second, const Array& vectors,
                     const Array& distances, const std::string& kind, int degree, double inner, double outer) {
    mlsample::BondPairs pairs{};
    pairs.first = checked<int64_t>(first, "first", {-1}, "int64 (N+1,)");
    if (first.shape(0) < 1) throw std::invalid_argument("first must be an int64 (N+1,) array, not an empty one");
    pairs.n_atoms = static_cast<int64_t>(first.shape(0)) - 1;
    pairs.second = checked<int32_t>(second, "second", {-1}, "int32 (E,)");
    pairs.n_edges = static_cast<int64_t>(second.shape(0));
    pairs.vectors = checked<double>(vectors, "vectors", {pairs.n_edges, 3}, "float64 (E, 3)");
    pairs.distances = checked<double>(distances, "distances", {pairs.n_edges}, "float64 (E,)");
    mlsample::check_edges({pairs.n_atoms, pairs.n_edges, pairs.first, pairs.second, pairs.vectors});
    const BondOrderKind named = kind_named(kind);
    new (self) HeldBondOrder(first, second, vectors, distances, pairs, named, degree, inner, outer);
}

nb::tuple pull_bond_order(const HeldBondOrder& held, const Array& weights) {
    const double* w = checked<double>(weights, "weights", {held.n_atoms}, "float64 (N,)");
    nb::object gradient, virial;
    double* g = new_array<double>({size_t(held.n_atoms), 3}, gradient);
    double* v = new_array<double>({3, 3}, virial);
    {
        nb::gil_scoped_release release;
        held.order.pull(w, g, v);
    }
    return nb::make_tuple(gradient, virial);
}

}  // namespace

void bind_order_parameters(nb::module_& m) {
    nb::class_<PairBlocks>(m, "PairBlocks", "Each pair nearer than the cutoff once, in blocks of eight.")
        .def_prop_ro("volume", [](const PairBlocks& p) { return p.arrays->volume; })
        .def("__len__", [](const PairBlocks& p) { return p.arrays->lanes(); });
    nb::class_<HalfPairs>(m, "HalfPairs", "Finds the pairs of atoms nearer than a cutoff. Not for two threads at once.")
        .def(nb::init<double, double>(), "cutoff"_a, "skin"_a = 0.0)
        .def_prop_ro("cutoff", &HalfPairs::cutoff)
        .def("update", &update, "positions"_a, "cell"_a, "pbc"_a, "The pairs of a structure.");
    m.def("pair_sums", &sums, "pairs"_a, "value_series"_a, "slope_series"_a, nb::kw_only(), "chebyshev"_a,
          "Sums over neighbours (F, N) of functions given as series in 2 r^2/cutoff^2 - 1, and the slopes "
          "F'(r)/r (F, P) of the pairs.");
    m.def("pull_pairs", &pull, "pairs"_a, "slopes"_a, "weights"_a.none(),
          "Gradient (N, 3) and virial (3, 3) of the sum over pairs of (w_i + w_j) F.");
    nb::class_<PairEntropy>(m, "PairEntropy", "Pair entropies in k_B, of the structure or of its atoms.")
        .def("__init__", &make_entropy, "pairs"_a, nb::kw_only(), "cutoff"_a, "gauss"_a, "shares"_a, "density"_a,
             "local"_a)
        .def_prop_ro("values", [](const PairEntropy& e) { return copied(e.values()); })
        .def_prop_ro("by_density", [](const PairEntropy& e) { return copied(e.by_density()); })
        .def("pull", &pull_entropy, "weights"_a,
             "Gradient (N, 3) and virial (3, 3), at fixed density, of the weighted sum of the values.");
    nb::class_<HeldBondOrder>(m, "BondOrder", "Bond order of every atom from a full neighbour list.")
        .def("__init__", &make_bond_order, "first"_a, "second"_a, "vectors"_a, "distances"_a, nb::kw_only(), "kind"_a,
             "degree"_a, "inner"_a, "outer"_a)
        .def_prop_ro("values", [](const HeldBondOrder& held) { return copied(held.order.values()); })
        .def("pull", &pull_bond_order, "weights"_a,
             "Gradient (N, 3) and virial (3, 3) of the weighted sum of the values.");
}
