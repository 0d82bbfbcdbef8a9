// A small thread pool of our own: torch brings its own OpenMP runtime, and two of them in one process spin
// against each other. Work is cut into fixed contiguous parts, so results depend on the number of threads only
// through rounding and never on timing.
#pragma once

#include <cstdint>
#include <functional>

namespace mlsample {

constexpr int kMostThreads = 256;

int num_threads();
void set_num_threads(int n);  // throws std::invalid_argument for n outside [1, kMostThreads]

// Calls body(part, begin, end) for `parts` contiguous pieces of [0, n), part = 0 .. parts-1, on the pool's threads.
// All parts are run; then the exception of the first part that threw one is rethrown. One caller at a time has the
// pool: a nested call, or one from another thread meanwhile, runs its parts in order on its own thread.
void parallel_parts(int64_t n, int parts, const std::function<void(int, int64_t, int64_t)>& body);

// The number of parts, at most num_threads(), worth making for n items when each should hold at least `grain`.
int parts_for(int64_t n, int64_t grain);

}  // namespace mlsample
