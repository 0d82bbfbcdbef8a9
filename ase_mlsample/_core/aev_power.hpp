// A fast power for the angular terms.
#pragma once

#include "aev_kernels.hpp"

namespace mlsample {

// fitted is false where the fit would not reach single precision, and always for double.
template <class T>
AevPower<T> fitted_power(double power);

}  // namespace mlsample
