#include "isa.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace mlsample {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

int best_level() {
#ifdef MLSAMPLE_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("fma") || !__builtin_cpu_supports("avx2")) return 0;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    return wide ? 2 : 1;
#else
    return 0;
#endif
}

int chosen_level() {
    const int best = best_level();
    const char* text = std::getenv("MLSAMPLE_ISA");
    const std::string wish = text ? text : "";
    if (wish.empty()) return best;
    for (int level = 0; level < 3; ++level) {
        if (wish != kNames[level]) continue;
        if (level <= best) return level;
        throw std::invalid_argument("MLSAMPLE_ISA asks for " + wish + ", but this machine has no more than " +
                                    kNames[best]);
    }
    throw std::invalid_argument("MLSAMPLE_ISA must be baseline, avx2 or avx512, not '" + wish + "'");
}

}  // namespace

int isa_level() {
    static const int level = chosen_level();
    return level;
}

const char* isa_name() { return kNames[isa_level()]; }

}  // namespace mlsample
