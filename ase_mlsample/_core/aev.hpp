// Atomic environment vectors (Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017)) in TorchANI's form and layout,
// their vector-Jacobian and Jacobian-vector products, over neighbours given as CSR edges.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "aev_graph.hpp"
#include "aev_kernels.hpp"

namespace mlsample {

struct AevSettings {
    int num_species = 0;
    double radial_cutoff = 0, radial_eta = 0;
    std::vector<double> radial_shifts;
    double angular_cutoff = 0, angular_eta = 0, zeta = 0;
    std::vector<double> angular_shifts, sections;
    bool smooth = false;
};

class Aev {
public:
    explicit Aev(AevSettings settings);  // throws std::invalid_argument
    Aev(const Aev&) = delete;            // the constants point into the object
    Aev& operator=(const Aev&) = delete;
    const AevSettings& settings() const { return settings_; }
    int64_t length() const { return float_.constants.length; }

    // aev (N, L). All throw std::invalid_argument for inconsistent graphs.
    template <class T>
    void forward(const AevGraph& graph, T* aev) const;
    // weights (M, N, L) -> gradient (M, N, 3) and virial (M, S, 3, 3), overwritten.
    template <class T>
    void gradient(const AevGraph& graph, int members, const T* weights, double* gradient, double* virial) const;
    // directions (M, N, 3), strain (M, S, 3, 3) or null -> aev (M, N, L).
    template <class T>
    void tangent(const AevGraph& graph, int members, const double* directions, const double* strain, T* aev) const;

    // For sweeps of one's own: the kernels, and what they need to know of a graph that is checked here.
    template <class T>
    const AevKernels<T>& kernels() const { return precision<T>().kernels; }
    template <class T>
    AevTask<T> task(const AevGraph& graph, int members) const;

private:
    template <class T>
    struct Precision {
        AevConstants<T> constants;
        AevKernels<T> kernels;
        std::vector<T> radial_shifts, angular_shifts, cos_sections, sin_sections, cos_half, sin_half;
        void set(const AevSettings& settings);
    };
    template <class T>
    const Precision<T>& precision() const {
        if constexpr (std::is_same_v<T, float>) return float_;
        else return double_;
    }

    AevSettings settings_;
    Precision<float> float_;
    Precision<double> double_;
};

}  // namespace mlsample
