#include "kernel_density.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "parallel.hpp"

namespace mlsample {

namespace {

constexpr int64_t kAtOnce = 128;     // kernels whose distances are known before any exponential
constexpr int64_t kGrain = 200000;   // pairs of walker and kernel worth a thread
constexpr int64_t kFewChanges = 8;   // kernels per added one from which changes of the overlap are cheaper than its sum

}  // namespace

KernelDensity::KernelDensity(std::vector<double> low, std::vector<double> periods, double cutoff, double threshold)
    : low_(std::move(low)), periods_(std::move(periods)), cutoff_(cutoff), threshold_(threshold),
      at_cutoff_(std::exp(-0.5 * cutoff)) {
    if (periods_.empty() || low_.size() != periods_.size())
        throw std::invalid_argument("low and periods must hold one number for each variable");
    for (size_t a = 0; a < periods_.size(); ++a)
        if (!(periods_[a] >= 0.0) || !std::isfinite(periods_[a]) || !std::isfinite(low_[a]))
            throw std::invalid_argument("periods must be positive, or zero for a variable without");
    if (!(cutoff > 0.0) || !std::isfinite(cutoff)) throw std::invalid_argument("the cutoff must be positive");
    if (!(threshold >= 0.0 && threshold < cutoff))
        throw std::invalid_argument("the threshold must not be negative, and below the cutoff");
    centers_.resize(periods_.size());
    sigmas_.resize(periods_.size());
    inverse_.resize(periods_.size());
}

double KernelDensity::wrapped_point(double s, int variable) const {
    const auto a = static_cast<size_t>(variable);
    const double period = periods_[a], u = s - low_[a];
    if (period == 0.0 || (u >= 0.0 && u < period)) return s;
    const double turned = low_[a] + (u - period * std::floor(u / period));
    return turned >= low_[a] && turned < low_[a] + period ? turned : low_[a];
}

// Both within the period.
double KernelDensity::distance(double from, double to, int variable) const {
    const double period = periods_[static_cast<size_t>(variable)], d = to - from;
    if (period == 0.0) return d;
    return d > 0.5 * period ? d - period : d < -0.5 * period ? d + period : d;
}

double KernelDensity::square(const double* point, int64_t k) const {
    double q = 0.0;
    for (int a = 0; a < variables(); ++a) {
        const auto v = static_cast<size_t>(a), i = static_cast<size_t>(k);
        const double u = distance(centers_[v][i], point[a], a) * inverse_[v][i];
        q += u * u;
    }
    return q;
}

double KernelDensity::at(int64_t k, const double* point) const {
    const double q = square(point, k);
    return q < cutoff_ ? heights_[static_cast<size_t>(k)] * (std::exp(-0.5 * q) - at_cutoff_) : 0.0;
}

// All that is in the overlap because of one kernel.
double KernelDensity::overlap_of(int64_t k) const {
    std::vector<double> mine(periods_.size()), theirs(periods_.size());
    for (size_t a = 0; a < mine.size(); ++a) mine[a] = centers_[a][static_cast<size_t>(k)];
    double total = at(k, mine.data());
    for (int64_t j = 0; j < size(); ++j) {
        if (j == k) continue;
        for (size_t a = 0; a < theirs.size(); ++a) theirs[a] = centers_[a][static_cast<size_t>(j)];
        total += at(k, theirs.data()) + at(j, mine.data());
    }
    return total;
}

int64_t KernelDensity::nearest(const double* center) const {
    int64_t best = -1;
    double least = threshold_;
    for (int64_t k = 0; k < size(); ++k) {
        const double q = square(center, k);
        if (q < least) {
            least = q;
            best = k;
        }
    }
    return best;
}

// Heights are added; mean and variance of the two together stay as they were.
void KernelDensity::merge(const Kernel& giver, Kernel& taker) const {
    const double height = giver.height + taker.height;
    const double part = giver.height / height, rest = taker.height / height;
    for (int a = 0; a < variables(); ++a) {
        const auto v = static_cast<size_t>(a);
        const double apart = distance(taker.center[v], giver.center[v], a);
        const double variance = part * giver.sigma[v] * giver.sigma[v] + rest * taker.sigma[v] * taker.sigma[v];
        taker.center[v] = wrapped_point(taker.center[v] + part * apart, a);
        taker.sigma[v] = std::sqrt(variance + part * rest * apart * apart);
    }
    taker.height = height;
}

void KernelDensity::append(const Kernel& kernel) {
    for (size_t a = 0; a < periods_.size(); ++a) {
        centers_[a].push_back(kernel.center[a]);
        sigmas_[a].push_back(kernel.sigma[a]);
        inverse_[a].push_back(1.0 / kernel.sigma[a]);
    }
    heights_.push_back(kernel.height);
}

KernelDensity::Kernel KernelDensity::take(int64_t k) {
    const auto i = static_cast<size_t>(k);
    Kernel kernel{{}, {}, heights_[i]};
    for (size_t a = 0; a < periods_.size(); ++a) {
        kernel.center.push_back(centers_[a][i]);
        kernel.sigma.push_back(sigmas_[a][i]);
        for (auto* row : {&centers_[a], &sigmas_[a], &inverse_[a]}) {
            (*row)[i] = row->back();
            row->pop_back();
        }
    }
    heights_[i] = heights_.back();
    heights_.pop_back();
    return kernel;
}

void KernelDensity::add(const double* centers, const double* sigmas, const double* heights, int64_t n) {
    const auto d = static_cast<int64_t>(periods_.size());
    const bool by_changes = size() > kFewChanges * n;
    for (int64_t i = 0; i < n; ++i) {
        Kernel kernel{{centers + i * d, centers + (i + 1) * d}, {sigmas + i * d, sigmas + (i + 1) * d}, heights[i]};
        for (int a = 0; a < variables(); ++a) {
            double& center = kernel.center[static_cast<size_t>(a)];
            center = wrapped_point(center, a);
        }
        for (int64_t k = nearest(kernel.center.data()); k >= 0; k = nearest(kernel.center.data())) {
            if (by_changes) overlap_ -= overlap_of(k);
            merge(take(k), kernel);
        }
        append(kernel);
        if (by_changes) overlap_ += overlap_of(size() - 1);
    }
    if (by_changes) return;
    overlap_ = 0.0;
    std::vector<double> center(periods_.size());
    for (int64_t k = 0; k < size(); ++k) {
        for (size_t a = 0; a < center.size(); ++a) center[a] = centers_[a][static_cast<size_t>(k)];
        for (int64_t j = 0; j < size(); ++j) overlap_ += at(j, center.data());
    }
}

void KernelDensity::evaluate_part(const double* points, int64_t begin, int64_t end, double scale, double factor,
                                  double floor, double* values, double* gradients) const {
    const int d = variables();
    const int64_t count = size();
    std::vector<double> point(static_cast<size_t>(d));
    double q[kAtOnce];
    for (int64_t n = begin; n < end; ++n) {
        double* gradient = gradients + n * d;
        for (int a = 0; a < d; ++a) {
            point[static_cast<size_t>(a)] = wrapped_point(points[n * d + a], a);
            gradient[a] = 0.0;
        }
        double sum = 0.0;
        for (int64_t first = 0; first < count; first += kAtOnce) {
            const int64_t size = std::min(kAtOnce, count - first);
            for (int a = 0; a < d; ++a) {
                const auto v = static_cast<size_t>(a);
                const double s = point[v], period = periods_[v], half = period == 0.0 ? HUGE_VAL : 0.5 * period;
                const double* center = centers_[v].data() + first;
                const double* inverse = inverse_[v].data() + first;
                for (int64_t k = 0; k < size; ++k) {
                    double u = s - center[k];
                    u -= u > half ? period : 0.0;
                    u += u < -half ? period : 0.0;
                    u *= inverse[k];
                    q[k] = a == 0 ? u * u : q[k] + u * u;
                }
            }
            for (int64_t k = 0; k < size; ++k) {
                if (!(q[k] < cutoff_)) continue;
                const auto i = static_cast<size_t>(first + k);
                const double value = heights_[i] * std::exp(-0.5 * q[k]);
                sum += value - heights_[i] * at_cutoff_;
                for (int a = 0; a < d; ++a) {
                    const auto v = static_cast<size_t>(a);
                    const double w = inverse_[v][i];
                    gradient[a] -= value * distance(centers_[v][i], point[v], a) * w * w;
                }
            }
        }
        const double inner = factor * sum + floor;
        values[n] = scale * std::log(inner);
        const double slope = sum > 0.0 ? scale * factor / inner : 0.0;
        for (int a = 0; a < d; ++a) gradient[a] *= slope;
    }
}

void KernelDensity::evaluate(const double* points, int64_t n, double scale, double factor, double floor, double* values,
                             double* gradients) const {
    const int parts = parts_for(n, std::max<int64_t>(1, kGrain / (size() + 50)));
    if (parts <= 1) return evaluate_part(points, 0, n, scale, factor, floor, values, gradients);
    parallel_parts(n, parts, [&](int, int64_t begin, int64_t end) {
        evaluate_part(points, begin, end, scale, factor, floor, values, gradients);
    });
}

void KernelDensity::copy(double* centers, double* sigmas, double* heights) const {
    const size_t d = periods_.size();
    for (size_t k = 0; k < heights_.size(); ++k) {
        for (size_t a = 0; a < d; ++a) {
            centers[k * d + a] = centers_[a][k];
            sigmas[k * d + a] = sigmas_[a][k];
        }
        heights[k] = heights_[k];
    }
}

void KernelDensity::replace(const double* centers, const double* sigmas, const double* heights, int64_t n,
                            double overlap) {
    const auto d = static_cast<int64_t>(periods_.size());
    for (size_t a = 0; a < periods_.size(); ++a)
        for (auto* row : {&centers_[a], &sigmas_[a], &inverse_[a]}) row->clear();
    heights_.clear();
    for (int64_t k = 0; k < n; ++k)
        append({{centers + k * d, centers + (k + 1) * d}, {sigmas + k * d, sigmas + (k + 1) * d}, heights[k]});
    overlap_ = overlap;
}

}  // namespace mlsample
