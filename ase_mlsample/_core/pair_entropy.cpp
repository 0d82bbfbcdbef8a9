#include "pair_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "parallel.hpp"
#include "structure_factor.hpp"

namespace mlsample {
namespace {

constexpr int64_t kGrain = 256;  // atoms worth a thread of their own

// Coefficients of t^p of the B-spline on the grid point j - 2 places from the one below, for a rest t.
void quintic(double (*out)[8]) {
    constexpr double kChoose6[6] = {1, 6, 15, 20, 15, 6}, kChoose5[6] = {1, 5, 10, 10, 5, 1};
    for (int p = 0; p < 6; ++p) std::fill_n(out[p], 8, 0.0);
    for (int j = 0; j < 6; ++j)
        for (int i = 0; i <= 5 - j; ++i)
            for (int p = 0; p < 6; ++p)
                out[p][j] += (i % 2 ? -1.0 : 1.0) * kChoose6[i] * kChoose5[p] * std::pow(5 - j - i, 5 - p) / 120.0;
}

}  // namespace

PairEntropy::PairEntropy(std::shared_ptr<HalfPairArrays> pairs, const EntropySettings& settings, double density,
                         bool local)
    : pairs_(std::move(pairs)), settings_(settings), local_(local) {
    const auto width = static_cast<int64_t>(settings_.gauss.size()) - 1;
    if (!(density > 0) || !std::isfinite(density))
        throw std::invalid_argument("the density must be positive, not " + std::to_string(density));
    if (settings_.points < 2 || width < 1 || !(settings_.cutoff > 0))
        throw std::invalid_argument("pair entropy: a positive cutoff, two points and two coefficients are the least");
    if (std::abs(pairs_->cutoff - settings_.reach()) > 1e-9 * settings_.reach())
        throw std::invalid_argument("pair entropy: the pairs end at " + std::to_string(pairs_->cutoff) +
                                    " Å, but the Gaussians reach " + std::to_string(settings_.reach()) + " Å");
    if (static_cast<int64_t>(settings_.shares.size()) != settings_.points + 1)
        throw std::invalid_argument("pair entropy: there must be one share more than points");
    settings_.shares[0] = 0.0;  // g is not defined there
    settings_.shares.resize((settings_.points + 8) / 8 * 8, 0.0);
    const int64_t offset = (width + 24) / 8 * 8;
    const int64_t length = (offset + settings_.points + 2 * width + 48) / 8 * 8;
    task_ = EntropyTask{{settings_.points, width, settings_.cutoff / settings_.points, settings_.gauss.data(), offset,
                         length},
                        {}, pairs_->first.data(), pairs_->second.data(), pairs_->square(), local ? length : 0, nullptr,
                        nullptr, nullptr, pairs_->cutoff * pairs_->cutoff};
    quintic(task_.spline);
    const int64_t rows = local ? pairs_->n : 1;
    rows_.assign(rows * length, 0.0);
    values_.resize(rows);
    by_density_.resize(rows);
    deposit();
    const int parts = parts_for(rows, 64);
    std::vector<double> storage(16 * length * parts + 8);
    auto* scratch = reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) & ~uintptr_t{63});
    const double atoms = local_ ? 1.0 : static_cast<double>(pairs_->n);
    const auto kernel = MLSAMPLE_PICK_KERNEL(entropy_rows);
    parallel_parts(rows, parts, [&](int part, int64_t begin, int64_t end) {
        const EntropyRows task{task_.grid, settings_.shares.data(), density, atoms, rows_.data(), values_.data(),
                               by_density_.data(), scratch + 16 * length * part};
        kernel(task, begin, end);
    });
}

void PairEntropy::deposit() {
    const int64_t n = pairs_->n, length = task_.grid.length;
    const int parts = local_ ? 1 : parts_for(n, kGrain);  // atoms' rows are written from all sides
    std::vector<double> partial(length * (parts - 1));
    const auto kernel = MLSAMPLE_PICK_KERNEL(entropy_deposit);
    parallel_parts(n, parts, [&](int part, int64_t begin, int64_t end) {
        EntropyTask task = task_;
        task.rows = part == 0 ? rows_.data() : partial.data() + length * (part - 1);
        kernel(task, begin, end);
    });
    for (int part = 1; part < parts; ++part)
        for (int64_t k = 0; k < length; ++k) rows_[k] += partial[length * (part - 1) + k];
}

void PairEntropy::pull(const double* weights, double* gradient, double* virial) const {
    const int64_t n = pairs_->n;
    std::vector<double> slopes(pairs_->lanes()), same;
    if (!local_) same.assign(n, weights[0]);
    const auto kernel = MLSAMPLE_PICK_KERNEL(entropy_slopes);
    parallel_parts(n, parts_for(n, kGrain), [&](int, int64_t begin, int64_t end) {
        EntropyTask task = task_;
        task.rows = const_cast<double*>(rows_.data());
        task.weights = local_ ? weights : same.data();
        task.slopes = slopes.data();
        kernel(task, begin, end);
    });
    pull_pairs(*pairs_, slopes.data(), nullptr, gradient, virial);
}

}  // namespace mlsample
