// Derivatives of the AEV's terms around one atom, in double precision: made once for a data set.
#pragma once

#include <cmath>
#include <vector>

#include "aev.hpp"
#include "aev_jacobian_kernels.hpp"

namespace mlsample {

class AevTerms {
public:
    explicit AevTerms(const AevSettings& settings) : s_(settings) {
        const size_t features = s_.angular_shifts.size() * s_.sections.size();
        by_mean_.resize(features), by_cosine_.resize(features), value_.resize(features);
        for (double section : s_.sections) {
            cos_.push_back(std::cos(section));
            sin_.push_back(std::sin(section));
        }
    }

    void start(int neighbors) { neighbors_.resize(neighbors); }
    const double* direction(int k) const { return neighbors_[k].u; }

    void set_neighbor(int k, const double* d) {
        Neighbor& n = neighbors_[k];
        n.r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        for (int a = 0; a < 3; ++a) n.u[a] = d[a] / n.r;
        cutoff(n.r, s_.radial_cutoff, n.fr, n.dfr);
        cutoff(n.r, s_.angular_cutoff, n.fa, n.dfa);
    }

    // out[m][k]: derivative of the k-th neighbour's radial term m by its distance.
    template <class T>
    void radial(const JacobianSegment& segment, T* out, int64_t columns) const {
        for (int k = 0; k < segment.count; ++k) {
            const Neighbor& n = neighbors_[segment.slot + k];
            for (size_t m = 0; m < s_.radial_shifts.size(); ++m) {
                const double x = n.r - s_.radial_shifts[m], g = 0.25 * std::exp(-s_.radial_eta * x * x);
                out[m * columns + k] = static_cast<T>(g * (n.dfr - 2 * s_.radial_eta * x * n.fr));
            }
        }
    }

    // out[mp][axis * count + k]: derivative of the angular terms of the segment's k-th neighbour with all partners.
    template <class T>
    void angular(const JacobianSegment& own, const JacobianSegment& partners, T* out, int64_t columns) {
        const size_t features = value_.size();
        sums_.assign(features * 3 * own.count, 0.0);
        for (int k = 0; k < own.count; ++k) {
            const Neighbor& n = neighbors_[own.slot + k];
            for (int l = 0; l < partners.count; ++l) {
                if (own.slot + k == partners.slot + l) continue;
                const Neighbor& w = neighbors_[partners.slot + l];
                const double cosine = n.u[0] * w.u[0] + n.u[1] * w.u[1] + n.u[2] * w.u[2];
                pair(0.5 * (n.r + w.r), 0.95 * cosine);
                for (int a = 0; a < 3; ++a) {
                    const double turn = 0.95 * (w.u[a] - cosine * n.u[a]) / n.r * n.fa * w.fa;
                    const double stretch = 0.5 * n.fa * w.fa * n.u[a], cut = n.dfa * w.fa * n.u[a];
                    double* sum = &sums_[(a * own.count + k) * features];
                    for (size_t x = 0; x < features; ++x)
                        sum[x] += turn * by_cosine_[x] + stretch * by_mean_[x] + cut * value_[x];
                }
            }
        }
        for (int c = 0; c < 3 * own.count; ++c)
            for (size_t x = 0; x < features; ++x) out[x * columns + c] = static_cast<T>(sums_[c * features + x]);
    }

private:
    struct Neighbor {
        double u[3], r, fr, dfr, fa, dfa;
    };

    void cutoff(double r, double rc, double& f, double& df) const {
        constexpr double pi = 3.14159265358979323846;
        f = df = 0;
        if (r >= rc) return;
        if (s_.smooth) {
            const double x = r / rc, q = 1 - x * x;
            const bool low = q < 1e-10;
            f = std::exp(1 - 1 / (low ? 1e-10 : q));
            df = low ? 0 : f * (-2 * x / rc) / (q * q);
        } else {
            f = 0.5 * std::cos(pi * r / rc) + 0.5;
            df = -0.5 * pi / rc * std::sin(pi * r / rc);
        }
    }

    // Terms of a pair without cutoffs, and their derivatives by the mean distance and by 0.95 cos(angle).
    void pair(double mean, double c) {
        const size_t sections = s_.sections.size();
        const double sine = std::sqrt(1 - c * c);
        for (size_t z = 0; z < sections; ++z) {
            const double base = std::fmax(0.5 * (1 + c * cos_[z] + sine * sin_[z]), 1e-30);
            const double power = 2 * std::pow(base, s_.zeta);
            const double slope = power * s_.zeta / base * 0.5 * (cos_[z] - c / sine * sin_[z]);
            for (size_t m = 0; m < s_.angular_shifts.size(); ++m) {
                value_[m * sections + z] = power;
                by_cosine_[m * sections + z] = slope;
            }
        }
        for (size_t m = 0; m < s_.angular_shifts.size(); ++m) {
            const double x = mean - s_.angular_shifts[m], g = std::exp(-s_.angular_eta * x * x);
            for (size_t z = 0; z < sections; ++z) {
                const size_t k = m * sections + z;
                by_cosine_[k] *= g;
                value_[k] *= g;
                by_mean_[k] = -2 * s_.angular_eta * x * value_[k];
            }
        }
    }

    const AevSettings& s_;
    std::vector<Neighbor> neighbors_;
    std::vector<double> cos_, sin_;  // of the sections
    std::vector<double> by_mean_, by_cosine_, value_, sums_;
};

}  // namespace mlsample
