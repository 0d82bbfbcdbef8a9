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

// 2: AVX-512 (F, DQ, VL, BW), 1: AVX2 with FMA, 0: neither.
inline int isa_level() {
#ifdef MLSAMPLE_X86
    static const int level = [] {
        __builtin_cpu_init();
        const bool fma = __builtin_cpu_supports("fma");
        if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
            return 2;
        return fma && __builtin_cpu_supports("avx2") ? 1 : 0;
    }();
    return level;
#else
    return 0;
#endif
}

}  // namespace mlsample
