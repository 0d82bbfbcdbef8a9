#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <memory>
#include <stdexcept>

#include "in_use.hpp"
#include "neighbors.hpp"

namespace nb = nanobind;
using mlsample::NeighborList;
using mlsample::PairArrays;

namespace {

using Positions = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Cell = nb::ndarray<const double, nb::shape<3, 3>, nb::c_contig, nb::device::cpu>;
using Periodicity = nb::ndarray<const bool, nb::shape<3>, nb::c_contig, nb::device::cpu>;

constexpr const char* kWhat = "neighbour list";

// A read-only view that keeps the arrays alive; the list writes its next state elsewhere while such a view exists.
template <typename T>
nb::ndarray<nb::numpy, const T> view(const NeighborList& list, const T* data, std::initializer_list<size_t> shape) {
    auto* keep = new std::shared_ptr<PairArrays>(list.arrays());
    nb::capsule owner(keep, [](void* p) noexcept { delete static_cast<std::shared_ptr<PairArrays>*>(p); });
    return nb::ndarray<nb::numpy, const T>(data, shape, owner);
}

template <bool (NeighborList::*how)(const double*, int64_t, const double*, const bool*)>
bool update(NeighborList& list, const Positions& positions, const Cell& cell, const Periodicity& pbc) {
    const auto n = static_cast<int64_t>(positions.shape(0));
    const double* r = positions.data();
    const double* c = cell.data();
    const bool* p = pbc.data();
    const mlsample::InUse use(list.in_use(), kWhat);
    nb::gil_scoped_release release;
    return (list.*how)(r, n, c, p);
}

// By the one who marked the list as in use.
void find_pairs(NeighborList& list) {
    if (list.ready()) return;
    nb::gil_scoped_release release;
    list.find_pairs();
}

// A read-only property of the list as it is after an update.
template <typename F>
void property(nb::class_<NeighborList>& cls, const char* name, F pick) {
    auto getter = [pick](NeighborList& list) {
        const mlsample::InUse use(list.in_use(), kWhat);
        if (!list.placed())
            throw std::runtime_error("the neighbour list is empty: call update(positions, cell, pbc) first");
        find_pairs(list);
        return pick(list, *list.arrays(), static_cast<size_t>(list.pairs()));
    };
    cls.def_prop_ro(name, getter, nb::rv_policy::automatic);
}

}  // namespace

void bind_neighbors(nb::module_& m) {
    nb::class_<NeighborList> cls(m, "NeighborList",
                                 "All pairs closer than a cutoff, both directions, images included, sorted by (i, j, "
                                 "shift). Not for two threads at once.");
    cls.def(nb::init<double, double>(), nb::arg("cutoff"), nb::arg("skin") = 0.0)
        .def("update", &update<&NeighborList::update>, nb::arg("positions"), nb::arg("cell"), nb::arg("pbc"),
             "Bring the list up to date; True if the candidates were searched anew.")
        .def("place", &update<&NeighborList::place>, nb::arg("positions"), nb::arg("cell"), nb::arg("pbc"),
             "The same, but the pairs are found only when asked for, or a few at a time by what is given the list.")
        .def_prop_ro("cutoff", &NeighborList::cutoff)
        .def_prop_ro("skin", &NeighborList::skin)
        .def("__len__", [](NeighborList& list) {
            const mlsample::InUse use(list.in_use(), kWhat);
            find_pairs(list);
            return list.ready() ? list.pairs() : 0;
        });
    property(cls, "first", [](NeighborList& list, PairArrays& a, size_t) {
        return view(list, a.first.data(), {static_cast<size_t>(list.size()) + 1});
    });
    property(cls, "second",
             [](NeighborList& list, PairArrays& a, size_t pairs) { return view(list, a.second.data(), {pairs}); });
    property(cls, "shifts", [](NeighborList& list, PairArrays& a, size_t pairs) {
        list.shifts();
        return view(list, a.shifts.data(), {pairs, 3});
    });
    property(cls, "vectors",
             [](NeighborList& list, PairArrays& a, size_t pairs) { return view(list, a.vectors.data(), {pairs, 3}); });
    property(cls, "distances",
             [](NeighborList& list, PairArrays& a, size_t pairs) { return view(list, a.distances.data(), {pairs}); });
}
