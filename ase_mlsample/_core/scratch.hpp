// Grow-only memory, one block per thread: nothing is allocated once sizes have settled.
#pragma once

#include <cstdint>

namespace mlsample {

inline int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
inline int64_t aligned(int64_t bytes) { return rounded_up(bytes, 64); }

// At least so many bytes, aligned to 64, for the calling thread until it asks again. Throws std::bad_alloc.
void* thread_scratch(int64_t bytes);

}  // namespace mlsample
