// Each pair of atoms nearer than a cutoff once (i < j, and one of the two directions of an atom and its own images),
// laid out for vectors of eight pairs. For sums over pair functions with a long reach, where the two directions of a
// full list would double the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "half_pairs_kernels.hpp"
#include "neighbors.hpp"

namespace mlsample {

constexpr int kPairLanes = 8;

// The pairs of atom i are places first[i] .. first[i + 1], filled up to a multiple of eight with places at the cutoff.
struct HalfPairArrays {
    int64_t n = 0;
    double cutoff = 0.0, volume = 0.0;   // the volume is 0 unless the structure is periodic in all directions
    std::vector<int64_t> first;          // (N+1,)
    std::vector<int32_t> second;
    int64_t lanes() const { return first[n]; }
    // from i to the image of second; rows aligned to 64 bytes
    double* x() { return row(0); }
    double* y() { return row(1); }
    double* z() { return row(2); }
    double* square() { return row(3); }
    void reserve(int64_t used, int64_t wanted);  // keeps what is used

private:
    double* row(int k) { return base_ + k * length_; }
    std::vector<double> storage_;
    double* base_ = nullptr;
    int64_t length_ = 0;
};

class HalfPairs {
public:
    HalfPairs(double cutoff, double skin);
    double cutoff() const { return list_.cutoff(); }
    std::atomic<bool>& in_use() { return in_use_; }

    // Depends on the structure alone. Throws std::invalid_argument as NeighborList does.
    std::shared_ptr<HalfPairArrays> update(const double* positions, int64_t n, const double* cell, const bool* pbc);

private:
    bool few(const double* positions, int64_t n, const Lattice& lattice) const;
    bool by_minimum_image(const double* positions, int64_t n, const Lattice& lattice);
    void sort_atoms(int64_t n, const Lattice& lattice);
    void place_atoms(int64_t n, bool boxes);
    void search(MinimumImageTask& task, int64_t n);
    void by_list();

    std::atomic<bool> in_use_{false};
    NeighborList list_;
    // of the search: fractions by atom, and what the kernel has in its own order
    std::vector<double> wrapped_, fractions_, boxes_;
    std::vector<int32_t> order_;
    std::vector<uint8_t> valid_;
    std::vector<int64_t> place_, column_, count_, ends_;
    std::shared_ptr<HalfPairArrays> arrays_;
};

}  // namespace mlsample
