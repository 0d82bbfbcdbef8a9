#include "aev_power.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>

namespace mlsample {
namespace {

constexpr int kTerms = 7, kNodes = 200, kRounds = 12;
constexpr double kPi = 3.14159265358979323846;
// The weight of errors where the power itself is tiny: small, but enough to keep the fit from straying there.
constexpr double kFloor = 1e-5;
constexpr double kTolerance = 1e-7;

using Terms = std::array<double, kTerms>;

// Chebyshev polynomials on [0, 1].
Terms chebyshev(double s) {
    const double z = 2 * s - 1;
    Terms t{1, z};
    for (int k = 2; k < kTerms; ++k) t[k] = 2 * z * t[k - 1] - t[k - 2];
    return t;
}

// The solution of a symmetric positive definite system, by elimination.
Terms solve(std::array<Terms, kTerms> a, Terms b) {
    for (int k = 0; k < kTerms; ++k) {
        for (int i = k + 1; i < kTerms; ++i) {
            const double factor = a[i][k] / a[k][k];
            for (int j = k; j < kTerms; ++j) a[i][j] -= factor * a[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (int k = kTerms - 1; k >= 0; --k) {
        for (int j = k + 1; j < kTerms; ++j) b[k] -= a[k][j] * b[j];
        b[k] /= a[k][k];
    }
    return b;
}

// Q of 1 - s Q(s) = (1 - s)^root in Chebyshev polynomials, its error weighted by what it does to (1 - s)^power: least
// squares with the weights raised where the error is largest (Lawson's iteration).
Terms fit(double power, double root) {
    std::array<double, kNodes> nodes, weights, target, scale;
    for (int n = 0; n < kNodes; ++n) {
        const double s = 0.5 - 0.5 * std::cos((n + 0.5) / kNodes * kPi);
        nodes[n] = s;
        scale[n] = s * power / root * std::max(std::pow(1 - s, power - root), kFloor);
        target[n] = -std::expm1(root * std::log1p(-s)) / s;
        weights[n] = scale[n] * scale[n];
    }
    Terms best{};
    for (int round = 0; round < kRounds; ++round) {
        std::array<Terms, kTerms> a{};
        Terms b{};
        for (int n = 0; n < kNodes; ++n) {
            const Terms t = chebyshev(nodes[n]);
            for (int i = 0; i < kTerms; ++i) {
                b[i] += weights[n] * t[i] * target[n];
                for (int j = 0; j < kTerms; ++j) a[i][j] += weights[n] * t[i] * t[j];
            }
        }
        best = solve(a, b);
        std::array<double, kNodes> errors;
        for (int n = 0; n < kNodes; ++n) {
            const Terms t = chebyshev(nodes[n]);
            double value = 0;
            for (int i = 0; i < kTerms; ++i) value += best[i] * t[i];
            errors[n] = scale[n] * std::abs(value - target[n]);
        }
        const double largest = *std::max_element(errors.begin(), errors.end());
        for (int n = 0; n < kNodes && largest > 0; ++n) weights[n] *= errors[n] / largest + 0.02;
    }
    return best;
}

// Powers of s, lowest first.
Terms monomials(const Terms& given) {
    Terms before{1}, now{-1, 2}, sum{};
    for (int k = 0; k < kTerms; ++k) {
        for (int i = 0; i < kTerms; ++i) sum[i] += given[k] * before[i];
        Terms next{};
        for (int i = 0; i < kTerms; ++i) next[i] = (i > 0 ? 4 * now[i - 1] : 0) - 2 * now[i] - before[i];
        before = now;
        now = next;
    }
    return sum;
}

double largest_error(const Terms& q, double power, int squarings) {
    double largest = 0;
    for (int n = 0; n <= 2000; ++n) {
        const double s = std::pow(n / 2000.0, 2);  // denser where high powers lie
        double value = 0;
        for (int i = kTerms - 1; i >= 0; --i) value = value * s + q[i];
        value = 1 - s * value;
        for (int k = 0; k < squarings; ++k) value *= value;
        largest = std::max(largest, std::abs(value - std::pow(1 - s, power)));
    }
    return largest;
}

}  // namespace

template <class T>
AevPower<T> fitted_power(double power) {
    AevPower<T> result{};
    if (std::is_same_v<T, double> || !(power >= 3 && power <= 1000)) return result;
    const int squarings = static_cast<int>(std::floor(std::log2(power / 3)));  // leaves a power in [3, 6)
    const Terms q = monomials(fit(power, std::ldexp(power, -squarings)));
    result.fitted = largest_error(q, power, squarings) < kTolerance;
    result.late = std::min(squarings, 2);
    result.early = squarings - result.late;
    for (int k = 0; k < kTerms; ++k) result.coefficients[k] = static_cast<T>(q[kTerms - 1 - k]);
    return result;
}

template AevPower<float> fitted_power(double);
template AevPower<double> fitted_power(double);

}  // namespace mlsample
