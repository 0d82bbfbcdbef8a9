// Mean and standard deviation over the members of an ensemble.
#pragma once

#include <cstdint>

namespace mlsample {

// Of values (members, count), members at least 2; the deviation with members - 1. Both are exact where all agree.
void moments(const double* values, int64_t members, int64_t count, double* mean, double* deviation);

}  // namespace mlsample
