// Neighbour lists: full, both directions, self images included, for any periodicity and any cell.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace mlsample {

// A cell whose non-periodic directions were replaced by unit vectors normal to the periodic ones.
struct Lattice {
    double cell[9];     // rows are the vectors
    double inverse[9];  // fractional = cartesian @ inverse
    double height[3];   // distance between the faces of the cell
    bool pbc[3];
};

// Throws std::invalid_argument when the periodic vectors are not finite, zero or linearly dependent.
Lattice complete_lattice(const double* cell, const bool* pbc);

// An image is an atom displaced by a lattice vector; the first N images are the atoms themselves.
struct Candidates {
    std::vector<int64_t> first;        // (N+1,)
    std::vector<int32_t> image;        // (C,) sorted by (atom, shift) within each centre
    std::vector<int32_t> image_atom;   // (I,)
    std::vector<int32_t> image_shift;  // (I,3)
};

// All pairs closer than radius, by linked cells.
void find_candidates(const double* positions, int64_t n, const Lattice& lattice, double radius, Candidates& out);

// What an update leaves; held by a shared pointer so that views of it outlive the next update.
struct PairArrays {
    std::vector<int64_t> first;        // (N+1,)
    std::vector<int32_t> second;       // (E,)
    std::vector<int32_t> kept;         // (E,) index among the candidates
    std::vector<double> vectors;       // (E,3)
    std::vector<double> distances;     // (E,)
    std::vector<int32_t> shifts;       // (E,3), filled when asked for
    bool shifts_ready = false;
};

// Pairs of a few centres in memory of the caller's: first (count + 1,), and room for their candidates and one more.
struct PairBlock {
    int64_t* first;
    int32_t* second;
    double* vectors;
};

class NeighborList {
public:
    NeighborList(double cutoff, double skin);

    // True when the candidates were searched anew. On an exception the list is empty until the next update.
    bool update(const double* positions, int64_t n, const double* cell, const bool* pbc);
    // The same, but pairs are found only when asked for: all by find_pairs, or some of them by cut.
    bool place(const double* positions, int64_t n, const double* cell, const bool* pbc);
    void find_pairs();
    void cut(int64_t begin, int64_t end, const PairBlock& to) const;

    double cutoff() const { return cutoff_; }
    double skin() const { return skin_; }
    bool placed() const { return placed_; }
    bool ready() const { return ready_; }  // all pairs are found
    const Candidates& candidates() const { return candidates_; }
    int64_t size() const { return n_; }
    int64_t pairs() const { return pairs_; }
    const int64_t* first() const { return arrays_->first.data(); }
    const int32_t* second() const { return arrays_->second.data(); }
    const double* vectors() const { return arrays_->vectors.data(); }
    const double* distances() const { return arrays_->distances.data(); }
    const int32_t* shifts();
    const std::shared_ptr<PairArrays>& arrays() const { return arrays_; }
    std::atomic<bool>& in_use() const { return in_use_; }

private:
    bool still_valid(const double* positions, int64_t n, const Lattice& lattice) const;
    void place_images(const double* positions, const double* cell);
    void close_gaps(int parts, const int64_t* ends);

    mutable std::atomic<bool> in_use_{false};
    double cutoff_, skin_;
    bool placed_ = false, ready_ = false;
    int64_t n_ = 0, pairs_ = 0;
    Lattice reference_{};
    std::vector<double> reference_positions_;
    Candidates candidates_;
    std::vector<double> images_;   // (I,8) position of the atom and lattice vector, each padded by a zero
    std::shared_ptr<PairArrays> arrays_;
};

// Pairs closer than this (Å) are atoms on top of each other.
constexpr double kOverlap = 1e-3;
// Farther out (Å) than this distances are not resolved to 1e-7 Å.
constexpr double kFarthest = 1e9;

}  // namespace mlsample
