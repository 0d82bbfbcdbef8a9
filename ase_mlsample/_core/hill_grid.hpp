// Potentials of one to three variables on a grid: values and all mixed first derivatives at the nodes, cubic Hermite
// interpolation between them. Gaussians are added to the nodes exactly; the grid grows when one needs it. What it gives
// does not depend, to the last bit, on how it grew.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace mlsample {

constexpr int kMostVariables = 3;

enum class AxisKind { growing, bounded, periodic };

// Nodes lie at origin + (first + k) * spacing, k = 0 .. size-1; `first` moves only on growing axes.
struct GridAxis {
    AxisKind kind;
    double origin, spacing;
    int64_t first, size;
};

// A Gaussian of height h: h (scale exp(-q) + shift) with q = sum (s - c)^2 / 2 sigma^2, and zero from q = cutoff on.
struct HillShape {
    double cutoff, scale, shift;
};

class HillGrid {
public:
    // Throws std::invalid_argument for a spacing or size out of range.
    explicit HillGrid(std::vector<GridAxis> axes);

    int variables() const { return static_cast<int>(axes_.size()); }
    const std::vector<GridAxis>& axes() const { return axes_; }
    std::atomic<bool>& in_use() { return in_use_; }
    int64_t nodes() const { return nodes_; }
    int terms() const { return 1 << variables(); }  // numbers at a node: bit a of a term's number is d/ds_a

    // All numbers at the nodes (nodes, terms), the last axis fastest.
    void read(double* data) const;
    void write(const double* data);

    // Points (n, d) that are finite; values (n,), gradients (n, d). A growing axis is zero beyond its nodes, a bounded
    // one goes on with the value at its end.
    void evaluate(const double* points, int64_t n, double* values, double* gradients) const;

    // Hills with centers (n, d), widths (n, d) and heights (n,). Throws std::length_error when the grid would become
    // too large, before anything has changed.
    void add(const double* centers, const double* widths, const double* heights, int64_t n, const HillShape& shape);

    // Make room for all of [low, high] on each axis that grows, (d,) each.
    void cover(const double* low, const double* high);

private:
    struct Support {  // the nodes of one axis that a hill reaches
        std::vector<int64_t> index;
        std::vector<double> exponent, value, slope;
    };

    using Memory = std::unique_ptr<double, decltype(&std::free)>;

    void evaluate_part(const double* points, int64_t begin, int64_t end, double* values, double* gradients) const;
    void reach(int axis, double center, double width, double cutoff);
    void add_one(const double* center, const double* width, double height, const HillShape& shape);
    void reserve(const std::vector<GridAxis>& axes);
    int64_t place(int axis, int64_t node) const;  // of the node in the memory, in nodes
    template <typename Row>
    void each_row(Row row) const;

    std::atomic<bool> in_use_{false};
    std::vector<GridAxis> axes_;
    int64_t nodes_ = 0;
    bool empty_ = true;
    // memory reaches further than the nodes: from reserved_first_ on, reserved_size_ nodes along each axis, zero there
    std::array<int64_t, kMostVariables> reserved_first_{}, reserved_size_{}, strides_{};
    Memory data_{nullptr, &std::free};
    std::array<Support, kMostVariables> supports_;
};

}  // namespace mlsample
