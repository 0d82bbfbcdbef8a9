#include <nanobind/nanobind.h>

#include "isa.hpp"
#include "parallel.hpp"

namespace nb = nanobind;

void bind_parallel(nb::module_& m) {
    m.def("num_threads", &mlsample::num_threads, "Threads that the compiled kernels use.");
    m.def("set_num_threads", &mlsample::set_num_threads, nb::arg("n"), "Set the threads of the compiled kernels.");
    m.def("instruction_set", &mlsample::isa_name,
          "Instruction set of the kernels in use: baseline, avx2 or avx512; MLSAMPLE_ISA lowers it.");
}
