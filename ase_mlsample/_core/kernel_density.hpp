// Sums of Gaussians that end where they meet zero, for any number of variables, and their compression by merging.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace mlsample {

// A kernel of height h is h (exp(-q / 2) - exp(-cutoff / 2)) where q = sum (s - c)^2 / sigma^2 < cutoff, else zero.
// Kernels are not ordered.
class KernelDensity {
public:
    // periods (d,): zero for a variable without; low (d,): where a period begins. A kernel is merged with the nearest
    // other one, in units of that one's sigma, while q to its center is below `threshold`.
    // Throws std::invalid_argument for settings out of range.
    KernelDensity(std::vector<double> low, std::vector<double> periods, double cutoff, double threshold);

    int variables() const { return static_cast<int>(periods_.size()); }
    int64_t size() const { return static_cast<int64_t>(heights_.size()); }
    std::atomic<bool>& in_use() { return in_use_; }

    // scale ln(factor * sum + floor) and its gradient at points (n, d) that are finite; values (n,), gradients (n, d).
    // A sum of zero has no gradient, whatever the floor.
    void evaluate(const double* points, int64_t n, double scale, double factor, double floor, double* values,
                  double* gradients) const;

    // Add kernels one after the other: centers (n, d), sigmas (n, d), heights (n,), all finite, the latter two positive.
    void add(const double* centers, const double* sigmas, const double* heights, int64_t n);

    // Sum of all kernels at all their centers.
    double overlap() const { return overlap_; }

    // Centers (K, d), sigmas (K, d) and heights (K,).
    void copy(double* centers, double* sigmas, double* heights) const;
    void replace(const double* centers, const double* sigmas, const double* heights, int64_t n, double overlap);

private:
    struct Kernel {
        std::vector<double> center, sigma;
        double height;
    };

    double wrapped_point(double s, int variable) const;
    double distance(double from, double to, int variable) const;
    double square(const double* point, int64_t k) const;
    double at(int64_t k, const double* point) const;
    double overlap_of(int64_t k) const;
    int64_t nearest(const double* center) const;
    void merge(const Kernel& giver, Kernel& taker) const;
    void append(const Kernel& kernel);
    Kernel take(int64_t k);
    void evaluate_part(const double* points, int64_t begin, int64_t end, double scale, double factor, double floor,
                       double* values, double* gradients) const;

    std::atomic<bool> in_use_{false};
    std::vector<double> low_, periods_;
    double cutoff_, threshold_, at_cutoff_;
    double overlap_ = 0.0;
    std::vector<std::vector<double>> centers_, sigmas_, inverse_;  // by variable, then kernel
    std::vector<double> heights_;
};

}  // namespace mlsample
