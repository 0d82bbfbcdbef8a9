// The compiled core: neighbour lists, descriptors and short-range potentials, bound in one module.
#include <nanobind/nanobind.h>

namespace nb = nanobind;

void bind_parallel(nb::module_& m);
void bind_neighbors(nb::module_& m);
void bind_aev(nb::module_& m);
void bind_networks(nb::module_& m);
void bind_deep_potential(nb::module_& m);
void bind_potentials(nb::module_& m);
void bind_hill_grid(nb::module_& m);
void bind_kernel_density(nb::module_& m);
void bind_edges(nb::module_& m);
void bind_environment(nb::module_& m);
void bind_order_parameters(nb::module_& m);

NB_MODULE(_native, m) {
    // A kernel that a cache or a test still holds when the interpreter ends is no leak worth a message.
    nb::set_leak_warnings(false);
    m.doc() = "Compiled inner loops of ase_mlsample.";
    bind_parallel(m);
    bind_neighbors(m);
    bind_aev(m);
    bind_networks(m);
    bind_deep_potential(m);
    bind_potentials(m);
    bind_order_parameters(m);
    bind_hill_grid(m);
    bind_kernel_density(m);
    bind_edges(m);
    bind_environment(m);
}
