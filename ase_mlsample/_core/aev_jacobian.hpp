// Derivatives of the AEVs of a whole data set, kept so that training never computes them again: each Jᵀg and J v is
// then a few small matrix products per atom.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "aev.hpp"
#include "aev_jacobian_kernels.hpp"

namespace mlsample {

template <class T>
class AevJacobian {
public:
    // All frames of a set. Throws std::invalid_argument for inconsistent graphs and std::bad_alloc.
    AevJacobian(const AevSettings& settings, const AevGraph& graph);

    // Bytes that the constructor would allocate for the derivatives.
    static int64_t bytes_needed(const AevSettings& settings, const AevGraph& graph);

    int64_t frames() const { return static_cast<int64_t>(frame_first_.size()) - 1; }
    int64_t length() const { return length_; }
    int64_t frame_atoms(int64_t frame) const { return frame_first_[frame + 1] - frame_first_[frame]; }

    // For the n chosen frames, concatenated to N atoms: weights (M, N, L) -> gradient (M, N, 3), virial (M, n, 3, 3).
    void gradient(const int64_t* chosen, int64_t n, int members, const T* weights, double* gradient,
                  double* virial) const;
    // directions (M, N, 3), strain (M, n, 3, 3) or null -> aev (M, N, L).
    void tangent(const int64_t* chosen, int64_t n, int members, const double* directions, const double* strain,
                 T* aev) const;

private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    void lay_out(const AevSettings& settings, const AevGraph& graph);
    void fill(const AevSettings& settings, const AevGraph& graph);
    template <class Kernel>
    void sweep(const int64_t* chosen, int64_t n, const JacobianTask<T>& shared, Kernel kernel) const;
    JacobianTask<T> task(int members, int64_t atoms, int64_t frames) const;

    int64_t length_ = 0, size_ = 0;
    int64_t most_columns_ = 0, longest_stride_ = 0;
    std::vector<int64_t> frame_first_;
    std::vector<JacobianAtom> atoms_;          // one more than there are atoms
    std::vector<JacobianBlock> blocks_;
    std::vector<JacobianSegment> segments_;
    std::vector<int32_t> neighbors_;
    std::vector<int64_t> edge_of_slot_;        // only while filling
    std::unique_ptr<T, Free> numbers_;
};

}  // namespace mlsample
