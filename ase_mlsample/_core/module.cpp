// The compiled core: neighbour lists, descriptors and short-range potentials, bound in one module.
#include <nanobind/nanobind.h>

namespace nb = nanobind;

void bind_parallel(nb::module_& m);
void bind_neighbors(nb::module_& m);
void bind_aev(nb::module_& m);
void bind_networks(nb::module_& m);
void bind_potentials(nb::module_& m);

NB_MODULE(_native, m) {
    // A kernel that a cache or a test still holds when the interpreter ends is no leak worth a message.
    nb::set_leak_warnings(false);
    m.doc() = "Compiled inner loops of ase_mlsample.";
    bind_parallel(m);
    bind_neighbors(m);
    bind_aev(m);
    bind_networks(m);
    bind_potentials(m);
}
