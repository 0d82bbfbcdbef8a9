#include "half_pairs.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "half_pairs_kernels.hpp"

namespace mlsample {
namespace {

// Up to so many atoms the pairs are searched anew each time, which then is faster than a neighbour list; up to so few
// all pairs are looked at.
constexpr int64_t kSearched = 20000, kFew = 400;

double* align(std::vector<double>& storage) {
    return reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) & ~uintptr_t{63});
}

bool later(const double* d) {  // of two opposite directions one
    for (int a = 2; a >= 0; --a)
        if (d[a] != 0.0) return d[a] > 0.0;
    return false;
}

}  // namespace

void HalfPairArrays::reserve(int64_t used, int64_t wanted) {
    if (wanted > static_cast<int64_t>(second.size())) second.resize(wanted + wanted / 4);
    if (wanted <= length_) return;
    const int64_t length = (wanted + wanted / 4 + 7) / 8 * 8;
    std::vector<double> storage(4 * length + 8);
    double* base = align(storage);
    for (int k = 0; k < 4; ++k) std::copy_n(base_ + k * length_, used, base + k * length);
    storage_.swap(storage);
    base_ = base;
    length_ = length;
}

HalfPairs::HalfPairs(double cutoff, double skin) : list_(cutoff, skin), arrays_(std::make_shared<HalfPairArrays>()) {}

bool HalfPairs::few(const double* positions, int64_t n, const Lattice& lattice) const {
    if (n > kSearched) return false;
    for (int a = 0; a < 3; ++a)
        if (lattice.pbc[a] && !(lattice.height[a] > cutoff() * (1.0 + 1e-9))) return false;
    for (int64_t k = 0; k < 3 * n; ++k)
        if (!(std::abs(positions[k]) <= kFarthest)) return false;  // the list has the message
    return true;
}

// Puts atoms that are near each other next to each other: in columns, each filled up to a multiple of eight places, and
// by height in each of them, so that eight fill about a cube.
void HalfPairs::sort_atoms(int64_t n, const Lattice& lattice) {
    double low[3], extent[3], volume = 1.0;
    for (int a = 0; a < 3; ++a) {
        const auto ends = std::minmax_element(wrapped_.begin() + a * n, wrapped_.begin() + (a + 1) * n);
        low[a] = lattice.pbc[a] ? 0.0 : *ends.first;
        extent[a] = lattice.pbc[a] ? 1.0 : std::max(*ends.second - *ends.first, 1e-3);
        volume *= extent[a] * lattice.height[a];
    }
    const double side = std::cbrt(8.0 * volume / static_cast<double>(n));
    int up = 0;
    for (int a = 1; a < 3; ++a)
        if (extent[a] * lattice.height[a] > extent[up] * lattice.height[up]) up = a;
    const int across[2] = {(up + 1) % 3, (up + 2) % 3};
    int64_t number[2];
    for (int k = 0; k < 2; ++k)
        number[k] = std::clamp<int64_t>(std::lround(extent[across[k]] * lattice.height[across[k]] / side), 1, n);
    const int64_t columns = number[0] * number[1];
    column_.resize(n);
    count_.assign(columns + 1, 0);
    for (int64_t i = 0; i < n; ++i) {
        int64_t place[2];
        for (int k = 0; k < 2; ++k) {
            const double share = (wrapped_[across[k] * n + i] - low[across[k]]) / extent[across[k]];
            place[k] = std::clamp<int64_t>(static_cast<int64_t>(share * number[k]), 0, number[k] - 1);
        }
        column_[i] = place[0] * number[1] + place[1];
        ++count_[column_[i]];
    }
    int64_t start = 0;
    for (int64_t& count : count_) {  // counts become starts
        const int64_t next = start + (count + 7) / 8 * 8;
        count = start;
        start = next;
    }
    order_.assign(start, -1);
    ends_ = count_;
    for (int64_t i = 0; i < n; ++i) order_[ends_[column_[i]]++] = static_cast<int32_t>(i);
    const double* height = wrapped_.data() + up * n;
    for (int64_t c = 0; c < columns; ++c)
        std::sort(order_.begin() + count_[c], order_.begin() + ends_[c], [height](int32_t i, int32_t j) {
            return height[i] != height[j] ? height[i] < height[j] : i < j;
        });
}

// What the kernel needs of the order: fractions, which places have an atom, and the boxes around each eight.
void HalfPairs::place_atoms(int64_t n, bool boxes) {
    const auto row = static_cast<int64_t>(order_.size());
    const int64_t count = row / 8, box_row = (count + 7) / 8 * 8;
    place_.resize(n);
    fractions_.assign(3 * row, 0.0);
    valid_.assign(count, 0);
    if (boxes) boxes_.assign(6 * box_row, -1e9);  // a negative width: no atom is near
    for (int64_t box = 0; box < count; ++box) {
        int64_t atoms = 0;
        for (; atoms < 8 && order_[8 * box + atoms] >= 0; ++atoms) place_[order_[8 * box + atoms]] = 8 * box + atoms;
        valid_[box] = static_cast<uint8_t>((1u << atoms) - 1);
        for (int a = 0; a < 3 && atoms > 0; ++a) {
            double* f = fractions_.data() + a * row + 8 * box;
            for (int64_t k = 0; k < atoms; ++k) f[k] = wrapped_[a * n + order_[8 * box + k]];
            if (!boxes) continue;
            const auto ends = std::minmax_element(f, f + atoms);
            boxes_[a * box_row + box] = 0.5 * (*ends.first + *ends.second);
            boxes_[(a + 3) * box_row + box] = 0.5 * (*ends.second - *ends.first) + 1e-12;
        }
    }
}

bool HalfPairs::by_minimum_image(const double* positions, int64_t n, const Lattice& lattice) {
    wrapped_.resize(3 * n);
    for (int a = 0; a < 3; ++a) {
        const double* column = lattice.inverse + a;
        for (int64_t i = 0; i < n; ++i) {
            const double* r = positions + 3 * i;
            const double f = r[0] * column[0] + r[1] * column[3] + r[2] * column[6];
            wrapped_[a * n + i] = lattice.pbc[a] ? f - std::floor(f) : f;
        }
    }
    const bool sorted = n > kFew;
    if (sorted) {
        sort_atoms(n, lattice);
    } else {
        order_.assign((n + 7) / 8 * 8, -1);
        std::iota(order_.begin(), order_.begin() + n, 0);
    }
    place_atoms(n, sorted);
    MinimumImageTask task{};
    task.fractions = fractions_.data();
    task.order = order_.data();
    task.valid = valid_.data();
    task.row = static_cast<int64_t>(order_.size());
    task.boxes = sorted ? boxes_.data() : nullptr;
    task.box_row = (task.row / 8 + 7) / 8 * 8;
    task.cutoff_squared = cutoff() * cutoff();
    task.overlap_squared = kOverlap * kOverlap;
    task.rectangular = true;
    std::copy_n(lattice.cell, 9, task.cell);
    for (int k = 0; k < 9; ++k) task.rectangular = task.rectangular && (k % 4 == 0 || task.cell[k] == 0.0);
    for (int a = 0; a < 3; ++a) {
        task.height[a] = lattice.height[a];
        task.periodic[a] = lattice.pbc[a] ? 1.0 : 0.0;
        task.far[a] = lattice.pbc[a] ? 1.0 - cutoff() * (1.0 + 1e-9) / lattice.height[a] : 1e300;
    }
    search(task, n);
    return !task.overlap;
}

void HalfPairs::search(MinimumImageTask& task, int64_t n) {
    const auto kernel = MLSAMPLE_PICK_KERNEL(minimum_image_pairs);
    HalfPairArrays& to = *arrays_;
    int64_t out = 0;
    for (int64_t i = 0; i < n; ++i) {
        to.reserve(out, out + 8 * (task.row - place_[i]) + 16);
        task.x = to.x();
        task.y = to.y();
        task.z = to.z();
        task.square = to.square();
        task.second = to.second.data();
        out = kernel(task, place_[i], out);
        to.first[i + 1] = out;
    }
}

void HalfPairs::by_list() {
    HalfPairArrays& to = *arrays_;
    const int64_t* first = list_.first();
    const int32_t* second = list_.second();
    to.reserve(0, list_.pairs() / 2 + 8 * to.n + 8);
    double *x = to.x(), *y = to.y(), *z = to.z(), *square = to.square();
    int64_t out = 0;
    for (int64_t i = 0; i < to.n; ++i) {
        int64_t e = std::lower_bound(second + first[i], second + first[i + 1], static_cast<int32_t>(i)) - second;
        for (; e < first[i + 1]; ++e) {
            const double* d = list_.vectors() + 3 * e;
            if (second[e] == i && !later(d)) continue;
            x[out] = d[0];
            y[out] = d[1];
            z[out] = d[2];
            square[out] = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            to.second[out++] = second[e];
        }
        for (; (out - to.first[i]) % kPairLanes; ++out) {
            x[out] = y[out] = z[out] = 0.0;
            square[out] = cutoff() * cutoff();
            to.second[out] = static_cast<int32_t>(i);
        }
        to.first[i + 1] = out;
    }
}

std::shared_ptr<HalfPairArrays> HalfPairs::update(const double* positions, int64_t n, const double* cell,
                                                  const bool* pbc) {
    if (arrays_.use_count() > 1) arrays_ = std::make_shared<HalfPairArrays>();  // someone still looks at the old ones
    HalfPairArrays& to = *arrays_;
    to.n = n;
    to.cutoff = cutoff();
    to.first.assign(n + 1, 0);
    const Lattice lattice = complete_lattice(cell, pbc);
    const double* c = lattice.cell;
    const double determinant = c[0] * (c[4] * c[8] - c[5] * c[7]) - c[1] * (c[3] * c[8] - c[5] * c[6]) +
                               c[2] * (c[3] * c[7] - c[4] * c[6]);
    to.volume = pbc[0] && pbc[1] && pbc[2] ? std::abs(determinant) : 0.0;
    if (few(positions, n, lattice) && by_minimum_image(positions, n, lattice)) return arrays_;
    list_.update(positions, n, cell, pbc);
    by_list();
    return arrays_;
}

}  // namespace mlsample
