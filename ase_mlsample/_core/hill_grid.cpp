#include "hill_grid.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>
#include <string>

#include "parallel.hpp"

namespace mlsample {

namespace {

constexpr int64_t kMostNumbers = int64_t{1} << 28;  // 2 GiB
constexpr int64_t kGrain = 2048;                    // walkers worth a thread
constexpr int64_t kMargin = 16;                     // nodes reserved beyond those that are asked for, at least
constexpr double kFarthest = 1e15;                  // in nodes from the origin: beyond, neighbours are one number

double count_numbers(const std::array<int64_t, kMostVariables>& size, size_t d) {
    double count = static_cast<double>(int64_t{1} << d);
    for (size_t a = 0; a < d; ++a) count *= static_cast<double>(size[a]);
    return count;
}

int64_t count_nodes(const std::vector<GridAxis>& axes) {
    std::array<int64_t, kMostVariables> size{};
    for (size_t a = 0; a < axes.size(); ++a) size[a] = axes[a].size;
    const double numbers = count_numbers(size, axes.size());
    if (numbers > static_cast<double>(kMostNumbers)) {
        std::string text = "the grid would have ";
        for (size_t a = 0; a < axes.size(); ++a) text += (a ? " x " : "") + std::to_string(axes[a].size);
        throw std::length_error(text + " nodes, more than 2 GiB: give bounds, or a larger grid_spacing");
    }
    return static_cast<int64_t>(numbers) >> axes.size();
}

double wrap(double u, double size) {
    u -= size * std::floor(u / size);
    return u >= 0.0 && u < size ? u : 0.0;  // rounding, or far beyond what a double can wrap
}

// Where a point lies on an axis (in memory that begins with node `start`), and the four cubic Hermite weights there: of
// the values and slopes at the nodes on its left and right, and the derivatives of these weights.
struct Place {
    int64_t left, right;
    double weight[4], slope[4];  // value left, slope left, value right, slope right
};

// False where the potential is zero.
bool locate(const GridAxis& axis, int64_t start, double s, Place& place) {
    const double first = static_cast<double>(axis.first), last = first + static_cast<double>(axis.size - 1);
    double u = (s - axis.origin) / axis.spacing;
    bool flat = false;
    if (axis.kind == AxisKind::periodic) {
        u = first + wrap(u - first, static_cast<double>(axis.size));
    } else if (axis.kind == AxisKind::bounded) {
        flat = u < first || u > last;
        u = std::min(std::max(u, first), last);
    } else if (!(u >= first && u < last)) {
        return false;
    }
    const double cell = axis.kind == AxisKind::periodic ? std::floor(u) : std::min(std::floor(u), last - 1.0);
    const double t = u - cell, h = axis.spacing;
    place.left = static_cast<int64_t>(cell) - start;
    place.right = axis.kind == AxisKind::periodic && cell >= last ? 0 : place.left + 1;
    const double r = 1.0 - t;
    place.weight[0] = (1.0 + 2.0 * t) * r * r;
    place.weight[1] = h * t * r * r;
    place.weight[2] = t * t * (3.0 - 2.0 * t);
    place.weight[3] = -h * t * t * r;
    const double rise = flat ? 0.0 : 6.0 * t * r / h;
    place.slope[0] = -rise;
    place.slope[1] = flat ? 0.0 : r * (1.0 - 3.0 * t);
    place.slope[2] = rise;
    place.slope[3] = flat ? 0.0 : t * (3.0 * t - 2.0);
    return true;
}

// The interpolant over axes `axis` .. d-1 and its derivatives, from the terms at a node: the recursion contracts the
// last axis first. `out` is value, then d/ds of the axes from `axis` on.
template <int D, int Axis>
struct Contract {
    // term: the derivatives already chosen for the axes before
    static void run(const double* data, const int64_t* strides, const Place* places, int64_t node, int term,
                    double* out) {
        constexpr int kRest = D - Axis;  // numbers after the value
        const Place& place = places[Axis];
        double total[kRest + 1] = {};
        for (int side = 0; side < 2; ++side) {
            const int64_t at = node + (side ? place.right : place.left) * strides[Axis];
            for (int order = 0; order < 2; ++order) {
                double inner[kRest];
                Contract<D, Axis + 1>::run(data, strides, places, at, term | (order << Axis), inner);
                const double w = place.weight[2 * side + order];
                total[0] += w * inner[0];
                total[1] += place.slope[2 * side + order] * inner[0];
                for (int k = 1; k < kRest; ++k) total[k + 1] += w * inner[k];
            }
        }
        for (int k = 0; k <= kRest; ++k) out[k] = total[k];
    }
};

template <int D>
struct Contract<D, D> {
    static void run(const double* data, const int64_t*, const Place*, int64_t node, int term, double* out) {
        out[0] = data[(node << D) + term];
    }
};

template <int D>
void interpolate(const std::vector<GridAxis>& axes, const double* data, const int64_t* starts, const int64_t* strides,
                 const double* points, int64_t begin, int64_t end, double* values, double* gradients) {
    for (int64_t n = begin; n < end; ++n) {
        Place places[D];
        double out[D + 1] = {};
        bool inside = true;
        for (int a = 0; a < D && inside; ++a)
            inside = locate(axes[static_cast<size_t>(a)], starts[a], points[n * D + a], places[a]);
        if (inside) Contract<D, 0>::run(data, strides, places, 0, 0, out);
        values[n] = out[0];
        for (int a = 0; a < D; ++a) gradients[n * D + a] = out[a + 1];
    }
}

}  // namespace

HillGrid::HillGrid(std::vector<GridAxis> axes) {
    if (axes.empty() || axes.size() > kMostVariables)
        throw std::invalid_argument("a grid has 1 to 3 variables, not " + std::to_string(axes.size()));
    for (const GridAxis& axis : axes) {
        if (!(axis.spacing > 0.0) || !std::isfinite(axis.spacing) || !std::isfinite(axis.origin))
            throw std::invalid_argument("the spacing of a grid must be positive and its origin finite");
        if (axis.size < 2) throw std::invalid_argument("an axis of a grid needs at least two nodes");
    }
    nodes_ = count_nodes(axes);
    for (size_t a = 0; a < axes.size(); ++a) {
        reserved_first_[a] = axes[a].first;
        reserved_size_[a] = axes[a].size;
    }
    reserve(axes);
    axes_ = std::move(axes);
}

int64_t HillGrid::place(int axis, int64_t node) const {
    const auto a = static_cast<size_t>(axis);
    return (node - reserved_first_[a]) * strides_[a];
}

// Calls row(number, place) with the numbers of the first node of each row along the last axis: in order, and in memory.
template <typename Row>
void HillGrid::each_row(Row row) const {
    const int d = variables();
    const int64_t length = axes_.back().size;
    for (int64_t start = 0; start < nodes_; start += length) {
        int64_t rest = start / length, at = place(d - 1, axes_.back().first);
        for (int a = d - 2; a >= 0; --a) {
            const GridAxis& axis = axes_[static_cast<size_t>(a)];
            at += place(a, axis.first + rest % axis.size);
            rest /= axis.size;
        }
        row(start << d, at << d);
    }
}

void HillGrid::read(double* data) const {
    const int64_t length = axes_.back().size << variables();
    each_row([&](int64_t number, int64_t at) { std::copy_n(data_.get() + at, length, data + number); });
}

void HillGrid::write(const double* data) {
    const int64_t length = axes_.back().size << variables();
    each_row([&](int64_t number, int64_t at) { std::copy_n(data + number, length, data_.get() + at); });
    const int64_t numbers = nodes_ << variables();
    empty_ = std::all_of(data, data + numbers, [](double number) { return number == 0.0; });
}

// Memory for axes that hold all nodes there are, and more beyond the ends at which they grow.
void HillGrid::reserve(const std::vector<GridAxis>& axes) {
    const size_t d = axes.size();
    std::array<int64_t, kMostVariables> first{}, size{}, strides{};
    for (const int64_t share : {2, 8, 0}) {  // of the nodes to reserve at an end: half of them, if there is room
        for (size_t a = 0; a < d; ++a) {
            const int64_t margin = share > 0 ? std::max(kMargin, axes[a].size / share) : 0;
            int64_t begin = axes[a].first, end = begin + axes[a].size;
            const int64_t old_end = reserved_first_[a] + reserved_size_[a];
            begin = begin < reserved_first_[a] ? begin - margin : share > 0 ? reserved_first_[a] : begin;
            end = end > old_end ? end + margin : share > 0 ? old_end : end;
            first[a] = begin;
            size[a] = end - begin;
        }
        if (count_numbers(size, d) <= static_cast<double>(kMostNumbers)) break;
    }
    int64_t stride = 1;
    for (size_t a = d; a-- > 0;) {
        strides[a] = stride;
        stride *= size[a];
    }
    // calloc: what is reserved beyond the nodes costs nothing until a hill falls there
    Memory memory(static_cast<double*>(std::calloc(static_cast<size_t>(stride << d), sizeof(double))), &std::free);
    if (!memory) throw std::bad_alloc();
    if (!axes_.empty() && !empty_) {
        const int64_t length = axes_.back().size;
        each_row([&](int64_t number, int64_t at) {
            int64_t rest = (number >> d) / length, target = axes_.back().first - first[d - 1];
            for (size_t a = d - 1; a-- > 0;) {
                target += (axes_[a].first + rest % axes_[a].size - first[a]) * strides[a];
                rest /= axes_[a].size;
            }
            std::copy_n(data_.get() + at, length << d, memory.get() + (target << d));
        });
    }
    data_ = std::move(memory);
    reserved_first_ = first;
    reserved_size_ = size;
    strides_ = strides;
}

void HillGrid::cover(const double* low, const double* high) {
    std::vector<GridAxis> axes = axes_;
    bool grows = false, fits = true;
    for (size_t a = 0; a < axes.size(); ++a) {
        GridAxis& axis = axes[a];
        if (axis.kind != AxisKind::growing) continue;
        const double from = std::floor((low[a] - axis.origin) / axis.spacing);
        const double to = std::ceil((high[a] - axis.origin) / axis.spacing);
        if (!(from > -kFarthest && to < kFarthest))
            throw std::length_error("the grid would have to reach from " + std::to_string(low[a]) + " to " +
                                    std::to_string(high[a]) + ": give bounds, or look at the variable");
        int64_t first = static_cast<int64_t>(from), past = static_cast<int64_t>(to) + 1;
        if (!empty_) {
            first = std::min(first, axis.first);
            past = std::max(past, axis.first + axis.size);
        }
        grows |= first != axis.first || past != axis.first + axis.size;
        fits &= first >= reserved_first_[a] && past <= reserved_first_[a] + reserved_size_[a];
        axis.first = first;
        axis.size = past - first;
    }
    if (!grows) return;
    const int64_t nodes = count_nodes(axes);
    if (!fits) {
        for (size_t a = 0; a < axes.size() && empty_; ++a) {  // nothing to keep: reserve at both ends
            if (axes[a].kind != AxisKind::growing) continue;
            reserved_first_[a] = axes[a].first + axes[a].size / 2;
            reserved_size_[a] = 0;
        }
        reserve(axes);
    }
    axes_ = std::move(axes);
    nodes_ = nodes;
}

void HillGrid::reach(int a, double center, double width, double cutoff) {
    const GridAxis& axis = axes_[static_cast<size_t>(a)];
    Support& support = supports_[static_cast<size_t>(a)];
    support.index.clear();
    support.exponent.clear();
    support.value.clear();
    support.slope.clear();
    const bool periodic = axis.kind == AxisKind::periodic;
    const double radius = std::sqrt(2.0 * cutoff) * width / axis.spacing;
    const double n = static_cast<double>(axis.size);
    const double first = static_cast<double>(axis.first);
    double middle = (center - axis.origin) / axis.spacing;
    if (periodic) middle = first + wrap(middle - first, n);
    double from = std::ceil(middle - radius), to = std::floor(middle + radius);
    if (periodic && 2.0 * radius >= n) {  // wider than the period: each node once, by the shortest way round
        from = std::ceil(middle - 0.5 * n);
        to = from + n - 1.0;
    } else if (!periodic) {
        from = std::max(from, first);
        to = std::min(to, first + n - 1.0);
    }
    for (double k = from; k <= to; k += 1.0) {
        const double distance = (k - middle) * axis.spacing;
        const double exponent = 0.5 * distance * distance / (width * width);
        const double node = periodic ? k - n * std::floor((k - first) / n) : k;
        support.index.push_back(static_cast<int64_t>(node) - reserved_first_[static_cast<size_t>(a)]);
        support.exponent.push_back(exponent);
        support.value.push_back(std::exp(-exponent));
        support.slope.push_back(-distance / (width * width));
    }
}

void HillGrid::add_one(const double* center, const double* width, double height, const HillShape& shape) {
    const int d = variables();
    for (int a = 0; a < d; ++a) reach(a, center[a], width[a], shape.cutoff);
    const double scale = height * shape.scale, shift = height * shape.shift;
    const Support* axis[kMostVariables];
    for (int a = 0; a < kMostVariables; ++a) axis[a] = &supports_[static_cast<size_t>(a)];
    const size_t n0 = axis[0]->index.size(), n1 = d > 1 ? axis[1]->index.size() : 1;
    const size_t n2 = d > 2 ? axis[2]->index.size() : 1;
    for (size_t i = 0; i < n0; ++i) {
        const double q0 = axis[0]->exponent[i], e0 = scale * axis[0]->value[i], g0 = axis[0]->slope[i];
        double* at0 = data_.get() + ((axis[0]->index[i] * strides_[0]) << d);
        if (d == 1) {
            if (q0 >= shape.cutoff) continue;
            at0[0] += e0 + shift;
            at0[1] += e0 * g0;
            continue;
        }
        for (size_t j = 0; j < n1; ++j) {
            const double q1 = q0 + axis[1]->exponent[j], e1 = e0 * axis[1]->value[j], g1 = axis[1]->slope[j];
            if (q1 >= shape.cutoff) continue;
            double* at1 = at0 + ((axis[1]->index[j] * strides_[1]) << d);
            if (d == 2) {
                at1[0] += e1 + shift;
                at1[1] += e1 * g0;
                at1[2] += e1 * g1;
                at1[3] += e1 * g0 * g1;
                continue;
            }
            for (size_t k = 0; k < n2; ++k) {
                const double q = q1 + axis[2]->exponent[k], e = e1 * axis[2]->value[k], g2 = axis[2]->slope[k];
                if (q >= shape.cutoff) continue;
                double* at = at1 + (axis[2]->index[k] << d);
                at[0] += e + shift;
                at[1] += e * g0;
                at[2] += e * g1;
                at[3] += e * g0 * g1;
                at[4] += e * g2;
                at[5] += e * g0 * g2;
                at[6] += e * g1 * g2;
                at[7] += e * g0 * g1 * g2;
            }
        }
    }
}

void HillGrid::add(const double* centers, const double* widths, const double* heights, int64_t n,
                   const HillShape& shape) {
    const int d = variables();
    double low[kMostVariables], high[kMostVariables];
    for (int64_t k = 0; k < n; ++k) {
        for (int a = 0; a < d; ++a) {
            const double center = centers[k * d + a];
            const double radius = std::sqrt(2.0 * shape.cutoff) * widths[k * d + a];
            low[a] = k ? std::min(low[a], center - radius) : center - radius;
            high[a] = k ? std::max(high[a], center + radius) : center + radius;
        }
    }
    if (n == 0) return;
    cover(low, high);
    empty_ = false;
    for (int64_t k = 0; k < n; ++k) add_one(centers + k * d, widths + k * d, heights[k], shape);
}

void HillGrid::evaluate_part(const double* points, int64_t begin, int64_t end, double* values,
                             double* gradients) const {
    const int64_t* starts = reserved_first_.data();
    switch (variables()) {
        case 1:
            interpolate<1>(axes_, data_.get(), starts, strides_.data(), points, begin, end, values, gradients);
            break;
        case 2:
            interpolate<2>(axes_, data_.get(), starts, strides_.data(), points, begin, end, values, gradients);
            break;
        default:
            interpolate<3>(axes_, data_.get(), starts, strides_.data(), points, begin, end, values, gradients);
    }
}

void HillGrid::evaluate(const double* points, int64_t n, double* values, double* gradients) const {
    const int parts = parts_for(n, kGrain);
    if (parts <= 1) return evaluate_part(points, 0, n, values, gradients);
    parallel_parts(n, parts, [&](int, int64_t begin, int64_t end) {
        evaluate_part(points, begin, end, values, gradients);
    });
}

}  // namespace mlsample
