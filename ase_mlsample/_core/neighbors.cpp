#include "neighbors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "neighbors_kernels.hpp"
#include "parallel.hpp"

namespace mlsample {
namespace {

void check_positions(const double* positions, int64_t n) {
    for (int64_t k = 0; k < 3 * n; ++k) {
        if (std::abs(positions[k]) <= kFarthest) continue;
        const double* r = positions + 3 * (k / 3);
        std::ostringstream text;
        text << "the position of atom " << k / 3
             << (std::isfinite(positions[k]) ? " is too far from the origin: (" : " is not finite: (") << r[0] << ", "
             << r[1] << ", " << r[2] << "); the structure was broken before it reached the neighbour list";
        throw std::invalid_argument(text.str());
    }
}

bool same_periodicity(const Lattice& a, const Lattice& b) { return std::equal(a.pbc, a.pbc + 3, b.pbc); }

// F with cell = reference @ F, and a lower bound of its smallest singular value.
double deformation(const Lattice& reference, const Lattice& lattice, double* F) {
    double square = 0.0;
    for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b) {
            double sum = 0.0;
            for (int k = 0; k < 3; ++k) sum += reference.inverse[3 * a + k] * lattice.cell[3 * k + b];
            F[3 * a + b] = sum;
            const double off = sum - (a == b);
            square += off * off;
        }
    return 1.0 - std::sqrt(square);
}

// Throws if a pair, named by its atoms and its distance, is too close.
void require_apart(int64_t i, int32_t j, double distance) {
    if (distance >= kOverlap) return;
    std::ostringstream text;
    text << "atoms " << i << " and " << j << " are on top of each other (" << distance
         << " Å apart, images counted); a potential is not defined there: move or remove one of them";
    throw std::invalid_argument(text.str());
}

}  // namespace

NeighborList::NeighborList(double cutoff, double skin)
    : cutoff_(cutoff), skin_(skin), arrays_(std::make_shared<PairArrays>()) {
    if (!(cutoff > 0) || !std::isfinite(cutoff))
        throw std::invalid_argument("the cutoff must be a positive length in Å, not " + std::to_string(cutoff));
    if (!(skin >= 0) || !std::isfinite(skin))
        throw std::invalid_argument("the skin must be a length in Å of at least 0, not " + std::to_string(skin));
}

// A pair outside the candidates was at least cutoff + skin apart; with r = r_ref F + u for atoms and cell alike it
// is now at least s_min(F) (cutoff + skin) - |u_i| - |u_j| apart. A common translation in u is taken off.
bool NeighborList::still_valid(const double* positions, int64_t n, const Lattice& lattice) const {
    if (n != n_ || !same_periodicity(lattice, reference_)) return false;
    double F[9], shrink = 1.0;
    const bool strained = std::memcmp(lattice.cell, reference_.cell, sizeof lattice.cell) != 0;
    if (strained) shrink = deformation(reference_, lattice, F);
    const double* reference = reference_positions_.data();
    auto moved = [&](int64_t i, double* u) {
        const double* r = positions + 3 * i;
        const double* q = reference + 3 * i;
        for (int a = 0; a < 3; ++a)
            u[a] = r[a] - (strained ? q[0] * F[a] + q[1] * F[3 + a] + q[2] * F[6 + a] : q[a]);
    };
    double mean[3] = {0, 0, 0}, u[3];
    for (int64_t i = 0; i < n; ++i) {
        moved(i, u);
        for (int a = 0; a < 3; ++a) mean[a] += u[a];
    }
    for (double& m : mean) m /= static_cast<double>(std::max<int64_t>(1, n));
    double largest = 0.0, next = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        moved(i, u);
        for (int a = 0; a < 3; ++a) u[a] -= mean[a];
        const double square = u[0] * u[0] + u[1] * u[1] + u[2] * u[2];
        next = std::max(next, std::min(square, largest));
        largest = std::max(largest, square);
    }
    return shrink * (cutoff_ + skin_) - std::sqrt(largest) - std::sqrt(next) >= cutoff_;
}

void NeighborList::place_images(const double* positions, const double* cell) {
    const int64_t count = static_cast<int64_t>(candidates_.image_atom.size());
    images_.resize(8 * count);
    for (int64_t k = 0; k < count; ++k) {
        const double* r = positions + 3 * static_cast<int64_t>(candidates_.image_atom[k]);
        const int32_t* s = &candidates_.image_shift[3 * k];
        for (int a = 0; a < 3; ++a) {
            images_[8 * k + a] = r[a];
            images_[8 * k + 4 + a] = s[0] * cell[a] + s[1] * cell[3 + a] + s[2] * cell[6 + a];
        }
    }
}

void NeighborList::find_pairs() {
    if (ready_ || !placed_) return;
    if (arrays_.use_count() > 1) arrays_ = std::make_shared<PairArrays>();  // someone still looks at the old ones
    PairArrays& to = *arrays_;
    const size_t room = candidates_.image.size();
    to.first.resize(n_ + 1);
    to.second.resize(room);
    to.kept.resize(room);
    to.vectors.resize(3 * room);
    to.distances.resize(room);
    to.shifts_ready = false;
    to.first[0] = 0;
    const int parts = parts_for(n_, 128);
    int64_t ends[kMostThreads];
    double closest[kMostThreads];
    const auto kernel = MLSAMPLE_PICK_KERNEL(cut_candidates);
    parallel_parts(n_, parts, [&](int part, int64_t begin, int64_t end) {
        CutTask task{images_.data(), candidates_.first.data(), candidates_.image.data(),
                     candidates_.image_atom.data(), cutoff_ * cutoff_, candidates_.first[begin], to.first.data(),
                     to.second.data(), to.kept.data(), to.vectors.data(), to.distances.data(), 0.0};
        ends[part] = kernel(task, begin, end);
        closest[part] = task.closest_squared;
    });
    close_gaps(parts, ends);
    if (*std::min_element(closest, closest + parts) < kOverlap * kOverlap) {
        placed_ = false;
        for (int64_t i = 0; i < n_; ++i)
            for (int64_t e = first()[i]; e < first()[i + 1]; ++e) require_apart(i, second()[e], distances()[e]);
        placed_ = true;
    }
    ready_ = true;
}

// Parts wrote with gaps between them.
void NeighborList::close_gaps(int parts, const int64_t* ends) {
    PairArrays& to = *arrays_;
    pairs_ = ends[0];
    for (int part = 1; part < parts; ++part) {
        const int64_t begin = n_ * part / parts, end = n_ * (part + 1) / parts;
        const int64_t start = candidates_.first[begin], count = ends[part] - start;
        std::copy_n(to.second.begin() + start, count, to.second.begin() + pairs_);
        std::copy_n(to.kept.begin() + start, count, to.kept.begin() + pairs_);
        std::copy_n(to.vectors.begin() + 3 * start, 3 * count, to.vectors.begin() + 3 * pairs_);
        std::copy_n(to.distances.begin() + start, count, to.distances.begin() + pairs_);
        for (int64_t i = begin; i < end; ++i) to.first[i + 1] += pairs_ - start;
        pairs_ += count;
    }
}

void NeighborList::cut(int64_t begin, int64_t end, const PairBlock& to) const {
    to.first[0] = 0;
    CutTask task{images_.data(), candidates_.first.data(), candidates_.image.data(), candidates_.image_atom.data(),
                 cutoff_ * cutoff_, 0, to.first - begin, to.second, nullptr, to.vectors, nullptr, 0.0};
    MLSAMPLE_PICK_KERNEL(cut_candidates)(task, begin, end);
    if (task.closest_squared >= kOverlap * kOverlap) return;
    for (int64_t i = begin; i < end; ++i)
        for (int64_t e = to.first[i - begin]; e < to.first[i - begin + 1]; ++e) {
            const double* d = to.vectors + 3 * e;
            require_apart(i, to.second[e], std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]));
        }
}

bool NeighborList::update(const double* positions, int64_t n, const double* cell, const bool* pbc) {
    const bool rebuilt = place(positions, n, cell, pbc);
    find_pairs();
    return rebuilt;
}

bool NeighborList::place(const double* positions, int64_t n, const double* cell, const bool* pbc) {
    const bool known = placed_;
    placed_ = ready_ = false;
    check_positions(positions, n);
    const Lattice lattice = complete_lattice(cell, pbc);
    const bool rebuilt = !(known && still_valid(positions, n, lattice));
    if (rebuilt) {
        double far = 0.0;
        for (int64_t k = 0; k < 3 * n; ++k) far = std::max(far, std::abs(positions[k]));
        // the margin covers rounding, so that a pair on the edge does not depend on the age of the list
        find_candidates(positions, n, lattice, cutoff_ + skin_ + 1e-9 * (1.0 + far), candidates_);
        reference_ = lattice;
        reference_positions_.assign(positions, positions + 3 * n);
        n_ = n;
    }
    place_images(positions, lattice.cell);
    placed_ = true;
    return rebuilt;
}

const int32_t* NeighborList::shifts() {
    PairArrays& to = *arrays_;
    if (!to.shifts_ready) {
        to.shifts.resize(3 * to.kept.size());
        for (int64_t e = 0; e < pairs_; ++e)
            std::copy_n(&candidates_.image_shift[3 * static_cast<int64_t>(candidates_.image[to.kept[e]])], 3,
                        &to.shifts[3 * e]);
        to.shifts_ready = true;
    }
    return to.shifts.data();
}

}  // namespace mlsample
