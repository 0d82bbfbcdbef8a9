#include "aev_graph.hpp"

#include <stdexcept>
#include <string>

namespace mlsample {
namespace {

[[noreturn]] void invalid(const std::string& message) { throw std::invalid_argument(message); }

}  // namespace

void check_graph(const AevGraph& graph, int num_species) {
    if (graph.first[0] != 0 || graph.first[graph.n_atoms] != graph.n_edges) {
        invalid("first must start at 0 and end at the number of edges (" + std::to_string(graph.n_edges) + ")");
    }
    for (int64_t i = 0; i < graph.n_atoms; ++i) {
        if (graph.first[i + 1] < graph.first[i]) {
            invalid("first must not decrease, but does at atom " + std::to_string(i));
        }
        if (graph.species[i] < 0 || graph.species[i] >= num_species) {
            invalid("species[" + std::to_string(i) + "] is " + std::to_string(graph.species[i]) +
                    ", out of range for num_species = " + std::to_string(num_species));
        }
    }
    const int64_t last = graph.n_frames;
    if (graph.frame_first[0] != 0 || graph.frame_first[last] != graph.n_atoms) {
        invalid("frame_first must start at 0 and end at the number of atoms (" + std::to_string(graph.n_atoms) + ")");
    }
    for (int64_t f = 0; f < last; ++f) {
        if (graph.frame_first[f + 1] < graph.frame_first[f]) invalid("frame_first must not decrease");
    }
}

int64_t most_neighbors(const AevGraph& graph) {
    int64_t most = 0;
    for (int64_t i = 0; i < graph.n_atoms; ++i) most = std::max(most, graph.first[i + 1] - graph.first[i]);
    return most;
}

[[noreturn]] void report_edge(const AevGraph& graph, int64_t edge) {
    const int64_t i = std::upper_bound(graph.first, graph.first + graph.n_atoms + 1, edge) - graph.first - 1;
    const double* d = graph.vectors + 3 * edge;
    const std::string where = "[" + std::to_string(edge) + "] (a neighbour of atom " + std::to_string(i) + ")";
    const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    if (!(r2 > 1e-24 && r2 < 1e200)) {
        invalid("vectors" + where + " is (" + std::to_string(d[0]) + ", " + std::to_string(d[1]) + ", " +
                std::to_string(d[2]) + "): the ends of an edge must be apart by a finite distance");
    }
    invalid("second" + where + " is " + std::to_string(graph.second[edge]) + ", not an atom of the same frame");
}

Parts make_parts(const AevGraph& graph) {
    const int wanted = parts_for(graph.n_atoms, 8);
    Parts parts{graph.n_frames >= wanted, {0}};
    const int64_t n = parts.by_frame ? graph.n_frames : graph.n_atoms;
    const auto cost = [&](int64_t item) {
        const int64_t from = parts.by_frame ? graph.frame_first[item] : item;
        const int64_t to = parts.by_frame ? graph.frame_first[item + 1] : item + 1;
        return static_cast<double>(graph.first[to] - graph.first[from] + 8 * (to - from));
    };
    const double total = static_cast<double>(graph.n_edges + 8 * graph.n_atoms);
    double done = 0;
    for (int64_t item = 0; item < n; ++item) {
        const auto cuts = static_cast<int>(parts.bounds.size());
        if (cuts < wanted && item > 0 && done >= total * cuts / wanted) parts.bounds.push_back(item);
        done += cost(item);
    }
    parts.bounds.push_back(n);
    return parts;
}

Parts even_parts(int64_t atoms) {
    const int wanted = parts_for(atoms, 8);
    Parts parts{false, {0}};
    for (int part = 1; part <= wanted; ++part) parts.bounds.push_back(atoms * part / wanted);
    return parts;
}

PartSums::PartSums(const AevGraph& graph, const Parts& parts, int members)
    : count_(parts.count()),
      atoms_(members * graph.n_atoms),
      virials_(9 * members * graph.n_frames),
      stride_((4 * atoms_ + virials_ + 7) / 8 * 8) {
    thread_local std::vector<double> sums;
    const auto size = static_cast<size_t>(count_ * stride_ + 8);
    if (sums.size() < size) sums.resize(size);
    const auto address = reinterpret_cast<uintptr_t>(sums.data());
    buffers_ = sums.data() + (64 - address % 64) % 64 / sizeof(double);
}

void PartSums::clear(int part) const { std::fill_n(gradient(part), stride_, 0.0); }

void PartSums::finish(double* gradient, double* virial) const {
    parallel_parts(atoms_, parts_for(atoms_, 8192), [&](int, int64_t from, int64_t to) {
        for (int64_t k = from; k < to; ++k) {
            for (int a = 0; a < 3; ++a) {
                double sum = buffers_[4 * k + a];
                for (int part = 1; part < count_; ++part) sum += buffers_[part * stride_ + 4 * k + a];
                gradient[3 * k + a] = sum;
            }
        }
    });
    for (int64_t k = 0; k < virials_; ++k) {
        virial[k] = 0;
        for (int part = 0; part < count_; ++part) virial[k] += this->virial(part)[k];
    }
}

}  // namespace mlsample
