#include "steinhardt.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "parallel.hpp"

namespace mlsample {
namespace {

constexpr int64_t kGrain = 256;         // atoms worth a thread of their own
constexpr double kFloorSquared = 1e-6;  // of the number of neighbours: an order fades with the last of them
constexpr double kShortSquared = 1e-8;  // of moments: the direction of shorter ones means nothing

HarmonicTerms harmonic_terms(int l) {
    HarmonicTerms terms{};
    terms.degree = l;
    double scale[kLargestDegree + 2] = {};  // of the derivatives of the Legendre polynomial
    for (int m = 0; m <= l; ++m)
        scale[m] = std::sqrt((m ? 2.0 : 1.0) * std::exp(std::lgamma(l - m + 1.0) - std::lgamma(l + m + 1.0)));
    double odd = 1.0;
    for (int k = 3; k < 2 * l; k += 2) odd *= k;
    terms.top = scale[l] * odd;
    for (int m = l - 1; m >= 0; --m) {
        const double below = static_cast<double>(l - m) * (l + m + 1);
        terms.raise[m] = 2.0 * (m + 1) / below * scale[m] / scale[m + 1];
        terms.lower[m] = m + 2 <= l ? scale[m] / scale[m + 2] / below : 0.0;
        terms.slope[m] = scale[m] / scale[m + 1];
    }
    return terms;
}

double dot(const double* a, const double* b, int64_t n) {
    double total = 0.0;
    for (int64_t k = 0; k < n; ++k) total += a[k] * b[k];
    return total;
}

double* align(std::vector<double>& storage, int64_t size) {
    storage.resize(size + 8);
    return reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) & ~uintptr_t{63});
}

}  // namespace

BondOrder::BondOrder(const BondPairs& pairs, BondOrderKind kind, int degree, double inner, double outer)
    : pairs_(pairs), kind_(kind) {
    if (degree < 1 || degree > kLargestDegree)
        throw std::invalid_argument("the degree l must be from 1 to " + std::to_string(kLargestDegree) + ", not " +
                                    std::to_string(degree));
    if (!(inner >= 0 && inner < outer) || !std::isfinite(outer))
        throw std::invalid_argument("neighbours must count fully up to a radius below that where they count no more; "
                                    "got " + std::to_string(inner) + " and " + std::to_string(outer) + " Å");
    row_ = (2 * degree + 8) / 8 * 8;
    const int64_t n = pairs.n_atoms;
    for (int64_t i = 0; i < n; ++i) longest_ = std::max(longest_, pairs.first[i + 1] - pairs.first[i]);
    moments_.resize(n * row_);
    numbers_.resize(n);
    switches_.resize(pairs.n_edges);
    values_.resize(n);
    task_.terms = harmonic_terms(degree);
    task_.inner = inner;
    task_.outer = outer;
    task_.floor_squared = kFloorSquared;
    task_.first = pairs.first;
    task_.second = pairs.second;
    task_.vectors = pairs.vectors;
    task_.distances = pairs.distances;
    task_.row = row_;
    task_.moments = moments_.data();
    task_.numbers = numbers_.data();
    task_.switches = switches_.data();
    sum_moments();
    const double* source = moments_.data();
    if (kind_ == BondOrderKind::averaged) {
        mix(moments_, mixed_);
        for (int64_t i = 0; i < n; ++i)
            for (int64_t k = 0; k < row_; ++k) {
                double& q = mixed_[i * row_ + k];
                q = (moments_[i * row_ + k] + q) / (1.0 + numbers_[i]);
            }
        source = mixed_.data();
    }
    if (kind_ != BondOrderKind::correlation) {
        for (int64_t i = 0; i < n; ++i) values_[i] = std::sqrt(dot(source + i * row_, source + i * row_, row_));
        return;
    }
    unit_ = moments_;
    inverse_.resize(n);
    for (int64_t i = 0; i < n; ++i) {
        double* q = unit_.data() + i * row_;
        inverse_[i] = 1.0 / std::sqrt(dot(q, q, row_) + kShortSquared);
        for (int64_t k = 0; k < row_; ++k) q[k] *= inverse_[i];
    }
    mix(unit_, mixed_);
    for (int64_t i = 0; i < n; ++i) {
        const double inverse = 1.0 / std::sqrt(numbers_[i] * numbers_[i] + kFloorSquared);
        for (int64_t k = 0; k < row_; ++k) mixed_[i * row_ + k] *= inverse;
        values_[i] = dot(unit_.data() + i * row_, mixed_.data() + i * row_, row_);
    }
}

void BondOrder::sum_moments() {
    const int64_t n = pairs_.n_atoms, size = 8 * kSteinhardtRows * longest_;
    const int parts = parts_for(n, kGrain);
    std::vector<double> storage;
    double* scratch = align(storage, size * parts);
    const auto kernel = MLSAMPLE_PICK_KERNEL(steinhardt_moments);
    parallel_parts(n, parts, [&](int part, int64_t begin, int64_t end) {
        SteinhardtTask task = task_;
        task.scratch = scratch + size * part;
        kernel(task, begin, end);
    });
}

void BondOrder::mix(const std::vector<double>& others, std::vector<double>& out) const {
    out.resize(others.size());
    const MixTask task{row_, pairs_.first, pairs_.second, switches_.data(), nullptr, others.data(), out.data()};
    const auto kernel = MLSAMPLE_PICK_KERNEL(steinhardt_gather);
    parallel_parts(pairs_.n_atoms, parts_for(pairs_.n_atoms, kGrain),
                   [&](int, int64_t begin, int64_t end) { kernel(task, begin, end); });
}

void BondOrder::multiply(const std::vector<double>& moments, const std::vector<double>& others,
                         std::vector<double>& out) const {
    out.resize(pairs_.n_edges);
    const MixTask task{row_,          pairs_.first, pairs_.second, switches_.data(),
                       moments.data(), others.data(), out.data()};
    const auto kernel = MLSAMPLE_PICK_KERNEL(steinhardt_products);
    parallel_parts(pairs_.n_atoms, parts_for(pairs_.n_atoms, kGrain),
                   [&](int, int64_t begin, int64_t end) { kernel(task, begin, end); });
}

void BondOrder::pull_local(const double* weights, Derivatives& d) const {
    for (int64_t i = 0; i < pairs_.n_atoms; ++i) {
        const double scale = values_[i] > 1e-12 ? weights[i] / values_[i] : 0.0;  // a cone has no slope at its tip
        for (int64_t k = 0; k < row_; ++k) d.by_moments[i * row_ + k] = scale * moments_[i * row_ + k];
    }
}

void BondOrder::pull_averaged(const double* weights, Derivatives& d) const {
    const int64_t n = pairs_.n_atoms;
    std::vector<double> adjoint(n * row_);
    for (int64_t i = 0; i < n; ++i) {
        const double scale = values_[i] > 1e-12 ? weights[i] / values_[i] / (1.0 + numbers_[i]) : 0.0;
        for (int64_t k = 0; k < row_; ++k) adjoint[i * row_ + k] = scale * mixed_[i * row_ + k];
    }
    multiply(adjoint, moments_, d.by_switches);
    mix(adjoint, d.by_moments);  // each pair is in the list in both directions
    for (int64_t i = 0; i < n; ++i) {
        d.by_numbers[i] = -dot(&adjoint[i * row_], &mixed_[i * row_], row_);
        for (int64_t k = 0; k < row_; ++k) d.by_moments[i * row_ + k] += adjoint[i * row_ + k];
    }
}

void BondOrder::pull_correlation(const double* weights, Derivatives& d) const {
    const int64_t n = pairs_.n_atoms;
    std::vector<double> scaled(n * row_);
    for (int64_t i = 0; i < n; ++i) {
        const double square = numbers_[i] * numbers_[i] + kFloorSquared, scale = weights[i] / std::sqrt(square);
        for (int64_t k = 0; k < row_; ++k) scaled[i * row_ + k] = scale * unit_[i * row_ + k];
        d.by_numbers[i] = -weights[i] * values_[i] * numbers_[i] / square;
    }
    multiply(scaled, unit_, d.by_switches);
    mix(scaled, d.by_moments);
    for (int64_t i = 0; i < n; ++i) {
        double* by = &d.by_moments[i * row_];
        const double* q = &unit_[i * row_];
        for (int64_t k = 0; k < row_; ++k) by[k] += weights[i] * mixed_[i * row_ + k];
        const double along = dot(by, q, row_);
        for (int64_t k = 0; k < row_; ++k) by[k] = (by[k] - along * q[k]) * inverse_[i];
    }
}

void BondOrder::pull(const double* weights, double* gradient, double* virial) const {
    const int64_t n = pairs_.n_atoms, size = 8 * kSteinhardtRows * longest_;
    Derivatives d{std::vector<double>(n * row_), std::vector<double>(n), {}};
    if (kind_ == BondOrderKind::local) pull_local(weights, d);
    if (kind_ == BondOrderKind::averaged) pull_averaged(weights, d);
    if (kind_ == BondOrderKind::correlation) pull_correlation(weights, d);
    const int parts = parts_for(n, kGrain);
    std::vector<double> storage, partial(4 * n * parts);
    double* scratch = align(storage, size * parts);
    double virials[kMostThreads][6];
    const auto kernel = MLSAMPLE_PICK_KERNEL(steinhardt_pull);
    parallel_parts(n, parts, [&](int part, int64_t begin, int64_t end) {
        SteinhardtTask task = task_;
        task.by_moments = d.by_moments.data();
        task.by_numbers = d.by_numbers.data();
        task.by_switches = d.by_switches.empty() ? nullptr : d.by_switches.data();
        task.gradient = partial.data() + 4 * n * part;
        task.scratch = scratch + size * part;
        kernel(task, begin, end);
        std::copy_n(task.virial, 6, virials[part]);
    });
    for (int part = 1; part < parts; ++part) {  // in the order of the parts, so that sums are reproducible
        for (int64_t k = 0; k < 4 * n; ++k) partial[k] += partial[4 * n * part + k];
        for (int a = 0; a < 6; ++a) virials[0][a] += virials[part][a];
    }
    for (int64_t i = 0; i < n; ++i) std::copy_n(&partial[4 * i], 3, gradient + 3 * i);
    constexpr int kVoigt[9] = {0, 5, 4, 5, 1, 3, 4, 3, 2};
    for (int k = 0; k < 9; ++k) virial[k] = virials[0][kVoigt[k]];
}

}  // namespace mlsample
