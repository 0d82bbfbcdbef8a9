// Run-time choice between the copies of a kernel that were compiled for different instruction sets.
#pragma once

// MLSAMPLE_DECLARE_KERNEL(int, f, (double* x)) declares f once per instruction set; MLSAMPLE_PICK_KERNEL(f) is a
// pointer to the best one that this machine can run.
#ifdef MLSAMPLE_X86
#define MLSAMPLE_DECLARE_KERNEL(result, name, arguments) \
    namespace isa_baseline { result name arguments; }    \
    namespace isa_avx2 { result name arguments; }        \
    namespace isa_avx512 { result name arguments; }
#define MLSAMPLE_PICK_KERNEL(name)                                                     \
    (::mlsample::isa_level() == 2   ? &::mlsample::isa_avx512::name                    \
     : ::mlsample::isa_level() == 1 ? &::mlsample::isa_avx2::name                      \
                                    : &::mlsample::isa_baseline::name)
#else
#define MLSAMPLE_DECLARE_KERNEL(result, name, arguments) \
    namespace isa_baseline { result name arguments; }
#define MLSAMPLE_PICK_KERNEL(name) (&::mlsample::isa_baseline::name)
#endif

namespace mlsample {

// 2: AVX-512 (F, DQ, VL, BW), 1: AVX2 with FMA, 0: neither. The environment variable MLSAMPLE_ISA (baseline, avx2,
// avx512), read once, asks for less than the machine has; std::invalid_argument if it is unknown or too much.
int isa_level();
const char* isa_name();

}  // namespace mlsample
