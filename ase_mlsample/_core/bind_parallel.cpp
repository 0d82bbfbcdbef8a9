#include <nanobind/nanobind.h>

#include "parallel.hpp"

namespace nb = nanobind;

void bind_parallel(nb::module_& m) {
    m.def("num_threads", &mlsample::num_threads, "Threads that the compiled kernels use.");
    m.def("set_num_threads", &mlsample::set_num_threads, nb::arg("n"), "Set the threads of the compiled kernels.");
}
