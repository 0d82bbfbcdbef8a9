#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <string>

#include "bind_arrays.hpp"
#include "in_use.hpp"
#include "neighbors.hpp"
#include "repulsion.hpp"
#include "stillinger_weber.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mlsample::NeighborList;
using mlsample::StillingerWeber;

namespace {

template <typename T, typename Shape>
using Input = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;

nb::tuple compute(StillingerWeber& potential, NeighborList& neighbors) {
    const mlsample::InUse own(potential.in_use(), "potential"), list(neighbors.in_use(), "neighbour list");
    neighbors.find_pairs();
    const auto n = static_cast<size_t>(neighbors.ready() ? neighbors.size() : 0);
    nb::object energies, forces, virial;
    double* e = new_array<double>({n}, energies);
    double* f = new_array<double>({n, 3}, forces);
    double* w = new_array<double>({3, 3}, virial);
    double energy = 0.0;
    {
        nb::gil_scoped_release release;
        energy = potential.compute(neighbors, e, f, w);
    }
    return nb::make_tuple(energy, energies, forces, virial);
}

void check_offsets(const int64_t* offsets, size_t count, size_t total, const char* name, const char* what) {
    bool good = offsets[0] == 0 && offsets[count] == static_cast<int64_t>(total);
    for (size_t i = 0; i < count && good; ++i) good = offsets[i] <= offsets[i + 1];
    if (!good)
        throw std::invalid_argument(std::string("zbl: `") + name + "` must rise from 0 to the number of " + what +
                                    ", " + std::to_string(total));
}

void check_atoms(const int32_t* second, size_t pairs, size_t n) {
    for (size_t e = 0; e < pairs; ++e)
        if (second[e] < 0 || static_cast<size_t>(second[e]) >= n)
            throw std::invalid_argument("zbl: `second` names atom " + std::to_string(second[e]) + " of " +
                                        std::to_string(n));
}

nb::tuple zbl(Input<int32_t, nb::shape<-1>> numbers, Input<int64_t, nb::shape<-1>> first,
              Input<int32_t, nb::shape<-1>> second, Input<double, nb::shape<-1, 3>> vectors,
              Input<double, nb::shape<-1, -1>> inner, Input<double, nb::shape<-1, -1>> outer,
              Input<int64_t, nb::shape<-1>> frame_first) {
    const size_t n = numbers.shape(0), pairs = second.shape(0);
    if (first.shape(0) != n + 1 || vectors.shape(0) != pairs)
        throw std::invalid_argument("zbl: `first` must have one entry more than `numbers`, and `vectors` as many as "
                                    "`second`");
    if (inner.shape(0) != inner.shape(1) || outer.shape(0) != inner.shape(0) || outer.shape(1) != inner.shape(0))
        throw std::invalid_argument("zbl: `inner` and `outer` must be square tables of one size");
    check_offsets(first.data(), n, pairs, "first", "pairs");
    check_atoms(second.data(), pairs, n);
    if (frame_first.shape(0) < 1) throw std::invalid_argument("zbl: `frame_first` is empty");
    const size_t frames = frame_first.shape(0) - 1;
    check_offsets(frame_first.data(), frames, n, "frame_first", "atoms");
    nb::object energies, gradient, virial;
    double* e = new_array<double>({n}, energies);
    double* g = new_array<double>({n, 3}, gradient);
    double* w = new_array<double>({frames, 3, 3}, virial);
    mlsample::RepulsionTask task{numbers.data(), first.data(), second.data(), vectors.data(), inner.data(),
                                 outer.data(), static_cast<int64_t>(inner.shape(0)), frame_first.data(),
                                 static_cast<int64_t>(frames), e, g, w};
    {
        nb::gil_scoped_release release;
        mlsample::zbl(task);
    }
    return nb::make_tuple(energies, gradient, virial);
}

}  // namespace

void bind_potentials(nb::module_& m) {
    nb::class_<StillingerWeber>(m, "StillingerWeberKernel", "The Stillinger-Weber potential of one element.")
        .def(
            "__init__",
            [](StillingerWeber* self, double epsilon, double sigma, double a, double lambda, double gamma, double A,
               double B, double cos_theta0) {
                new (self) StillingerWeber({epsilon, sigma, a, lambda, gamma, A, B, cos_theta0});
            },
            nb::kw_only(), "epsilon"_a, "sigma"_a, "a"_a, "lambda_"_a, "gamma"_a, "A"_a, "B"_a, "cos_theta0"_a)
        .def_prop_ro("cutoff", &StillingerWeber::cutoff)
        .def("compute", &compute, "neighbors"_a,
             "Energy, atomic energies (N,), forces (N, 3) and virial dE/d(strain) (3, 3).");
    m.def("zbl", &zbl, "numbers"_a, "first"_a, "second"_a, "vectors"_a, "inner"_a, "outer"_a, "frame_first"_a,
          "Atomic energies (N,), dE/dr (N, 3) and virials (S, 3, 3) of the switched screened repulsion.");
}
