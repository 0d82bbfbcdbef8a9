// Grow-only memory, one block per thread: nothing is allocated once sizes have settled.
#pragma once

#include <cstdint>

namespace mlsample {

// At least so many bytes, aligned to 64, for the calling thread until it asks again. Throws std::bad_alloc.
void* thread_scratch(int64_t bytes);

}  // namespace mlsample
