#include "environment.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "parallel.hpp"
#include "scratch.hpp"

namespace mlsample {
namespace {

constexpr double kLog2E = 1.4426950408889634074;

[[noreturn]] void invalid(const std::string& message) { throw std::invalid_argument(message); }

void require_positive(double value, const char* name) {
    if (!(value > 0) || !std::isfinite(value))
        invalid(std::string(name) + " must be positive and finite, not " + std::to_string(value));
}

void check_templates(const EnvironmentTemplates& t) {
    if (t.count < 1) invalid("there must be at least one template");
    for (int64_t l = 0; l < t.count; ++l)
        if (t.site_first[l + 1] <= t.site_first[l] || t.site_first[0] != 0)
            invalid("template " + std::to_string(l) + " has no neighbours: `site_first` must rise from 0");
    for (int64_t k = 0; k < 3 * t.site_first[t.count]; ++k)
        if (!std::isfinite(t.sites[k])) invalid("neighbour " + std::to_string(k / 3) + " of the templates is not finite");
}

EnvironmentSite make_site(const double* place, int32_t species, double sigma) {
    const double square = place[0] * place[0] + place[1] * place[1] + place[2] * place[2];
    EnvironmentSite site{-kLog2E * square / (4.0 * sigma * sigma), {}, {}, static_cast<double>(species)};
    for (int a = 0; a < 3; ++a) {
        site.slope[a] = kLog2E * place[a] / (2.0 * sigma * sigma);
        site.place[a] = place[a];
    }
    return site;
}

}  // namespace

EnvironmentKernel::EnvironmentKernel(const EnvironmentTemplates& t, double sigma, double lambda, double inner,
                                     double outer)
    : sigma_(sigma), lambda_(lambda), inner_(inner), outer_(outer) {
    require_positive(sigma, "sigma");
    require_positive(lambda, "lam");
    require_positive(inner, "inner");
    require_positive(outer, "outer");
    if (inner > outer) invalid("inner must not be larger than outer");
    check_templates(t);
    for (int64_t l = 0; l < t.count; ++l) {
        Group& to = group(t.center[l]);
        const int64_t begin = t.site_first[l], end = t.site_first[l + 1];
        for (int64_t m = begin; m < end; ++m) to.sites.push_back(make_site(t.sites + 3 * m, t.site_species[m], sigma));
        to.site_first.push_back(static_cast<int64_t>(to.sites.size()));
        to.share.push_back(1.0 / static_cast<double>(end - begin));
    }
}

EnvironmentKernel::Group& EnvironmentKernel::group(int32_t species) {
    for (Group& known : groups_)
        if (known.species == species) return known;
    groups_.push_back({species, {0}, {}, {}});
    return groups_.back();
}

// Atoms of one group one after another, in the order in which they come.
void EnvironmentKernel::sort_atoms(const int32_t* species, int64_t n) {
    order_.resize(n);
    ends_.clear();
    int64_t at = 0;
    for (const Group& one : groups_) {
        for (int64_t i = 0; i < n; ++i)
            if (species[i] == one.species) order_[at++] = static_cast<int32_t>(i);
        ends_.push_back(at);
    }
    for (int64_t i = 0; i < n; ++i)
        if (std::none_of(groups_.begin(), groups_.end(), [&](const Group& g) { return g.species == species[i]; }))
            order_[at++] = static_cast<int32_t>(i);
}

void EnvironmentKernel::compute(const NeighborList& neighbors, const int32_t* species, double* values,
                                double* edge_gradient) {
    if (!neighbors.ready()) throw std::runtime_error("the neighbour list is empty: update it first");
    if (neighbors.cutoff() < outer_)
        invalid("the neighbour list ends at " + std::to_string(neighbors.cutoff()) +
                " Å, before the cutoff of the environments, " + std::to_string(outer_) + " Å");
    const int64_t n = neighbors.size();
    const int64_t* first = neighbors.first();
    int64_t longest = 0, most = 0;
    for (int64_t i = 0; i < n; ++i) longest = std::max(longest, first[i + 1] - first[i]);
    for (const Group& one : groups_) most = std::max(most, static_cast<int64_t>(one.share.size()));
    const Group& only = groups_.front();
    const bool plain = groups_.size() == 1 &&
                       std::all_of(species, species + n, [&](int32_t s) { return s == only.species; }) &&
                       std::all_of(only.sites.begin(), only.sites.end(),
                                   [&](const EnvironmentSite& s) { return s.species == only.species; });
    if (plain) ends_.assign(1, n);
    else sort_atoms(species, n);
    const auto kernel = MLSAMPLE_PICK_KERNEL(environment_similarity);
    const double width = sigma_ * sigma_;
    parallel_parts(n, parts_for(n, 256), [&](int, int64_t begin, int64_t end) {
        auto* scratch = static_cast<double*>(thread_scratch(8 * environment_scratch(most, longest)));
        int64_t low = 0;
        for (size_t g = 0; g < groups_.size(); ++g) {
            const Group& one = groups_[g];
            const EnvironmentTask task{static_cast<int64_t>(one.share.size()), one.site_first.data(), one.sites.data(),
                                       one.share.data(), lambda_, -kLog2E / (4.0 * width), 0.5 / width, inner_, outer_,
                                       !plain, plain ? nullptr : order_.data(), species, first, neighbors.second(),
                                       neighbors.vectors(), neighbors.distances(), values, edge_gradient, scratch,
                                       longest};
            kernel(task, std::max(begin, low), std::min(end, ends_[g]));
            low = ends_[g];
        }
        for (int64_t k = std::max(begin, low); k < end; ++k) {
            const int64_t i = order_[k];
            values[i] = 0.0;
            std::fill(edge_gradient + 3 * first[i], edge_gradient + 3 * first[i + 1], 0.0);
        }
    });
}

}  // namespace mlsample
