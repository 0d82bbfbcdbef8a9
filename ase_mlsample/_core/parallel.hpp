// A small thread pool of our own: torch brings its own OpenMP runtime, and two of them in one process spin
// against each other. Work is cut into fixed contiguous parts, so results depend on the number of threads only
// through rounding and never on timing.
#pragma once

#include <cstdint>
#include <functional>

namespace mlsample {

int num_threads();
void set_num_threads(int n);  // throws std::invalid_argument for n < 1

// Calls body(part, begin, end) for `parts` contiguous pieces of [0, n), part = 0 .. parts-1, on parts threads.
// Exceptions thrown by a body are rethrown here. Not reentrant: a nested call runs its parts in order.
void parallel_parts(int64_t n, int parts, const std::function<void(int, int64_t, int64_t)>& body);

// The number of parts worth making for n items when a part should hold at least `grain` of them.
int parts_for(int64_t n, int64_t grain);

}  // namespace mlsample
