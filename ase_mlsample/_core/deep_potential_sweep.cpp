// The whole evaluation of a Deep Potential, a block of atoms at a time: neighbours, and member by member the matrices,
// the fitting networks and the sweep back.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "deep_potential.hpp"
#include "evaluations.hpp"
#include "scratch.hpp"

namespace mlsample {
namespace {

constexpr int64_t kBlock = 192;           // atoms whose neighbours are kept while one member after another reads them
constexpr int64_t kRows = network_block;  // of these, as many as have features at a time

// A thread's memory for one block.
template <class T>
struct Block {
    T *matrix, *features, *energies;
    void *networks, *sweep;
    char* slots;
    PairBlock pairs;
};

template <class T>
class Evaluation {
public:
    // Where there is a list, the graph's edges are its candidates.
    Evaluation(const DeepPotential<T>& potential, const AevGraph& graph, const NeighborList* list, bool mean)
        : potential_(potential), kernels_(potential.kernels()), graph_(graph), list_(list), mean_(mean) {
        check_graph(graph, potential.constants().num_species);
        task_.constants = &potential.constants();
        task_.species = graph.species;
        task_.first = graph.first;
        task_.second = graph.second;
        task_.vectors = graph.vectors;
        task_.most_neighbors = most_neighbors(graph);
        task_.slots_bytes = kernels_.slots_bytes(*task_.constants, task_.most_neighbors);
        task_.weight = mean ? T(1) / T(potential.members()) : T(1);
    }

    void run(double* energies, double* gradient, double* virial) {
        sweep_blocks(graph_, list_ != nullptr, mean_ ? 1 : potential_.members(), kBlock, kRows, gradient, virial,
                     [&] { return memory(); },
                     [&](const Block<T>& block, int64_t begin, int64_t end, double* g, double* w) {
                         run_block(block, begin, end, energies, g, w);
                     });
    }

private:
    Block<T> memory() const {
        const DeepPotentialConstants<T>& c = potential_.constants();
        const int64_t size = static_cast<int64_t>(sizeof(T)), most = task_.most_neighbors;
        const int64_t matrix = aligned(size * kRows * 4 * c.row), features = aligned(size * kRows * c.length);
        const int64_t energies = aligned(size * kBlock * potential_.members());
        const int64_t slots = aligned(kBlock * task_.slots_bytes);
        const int64_t net = aligned(potential_.fitting(0).scratch_bytes(kRows));
        const int64_t sweep = aligned(kernels_.scratch_bytes(c, most));
        const int64_t pairs = list_ ? pair_bytes(most) : 0;
        char* at = static_cast<char*>(thread_scratch(matrix + features + energies + net + sweep + slots + pairs));
        Block<T> block{};
        block.matrix = reinterpret_cast<T*>(at);
        block.features = reinterpret_cast<T*>(at += matrix);
        block.energies = reinterpret_cast<T*>(at += features);
        block.networks = at += energies;
        block.sweep = at += net;
        block.slots = at += sweep;
        if (list_) block.pairs = pairs_at(at + slots, most);
        return block;
    }

    void run_block(const Block<T>& block, int64_t begin, int64_t end, double* energies, double* gradient,
                   double* virial) const {
        DeepPotentialTask<T> task = task_;
        task.kept = block.slots;
        task.kept_begin = begin;
        task.scratch = block.sweep;
        task.matrix = block.matrix;
        task.features = block.features;
        find_neighbors(block, task, begin, end);
        const int64_t atoms = graph_.n_atoms, stride = mean_ ? 0 : 1;
        for (int m = 0; m < potential_.members(); ++m) {
            task.member = m;
            task.gradient = gradient + stride * m * 4 * atoms;
            double* const own_virial = virial + stride * m * 9 * graph_.n_frames;
            for (int64_t from = begin; from < end; from += kRows) {
                task.begin = from, task.end = std::min(end, from + kRows);
                run_rows(block, task, block.energies + m * kBlock + (from - begin), own_virial);
            }
        }
        put_member_energies(block.energies, potential_.members(), kBlock, mean_, begin, end, atoms, energies);
    }

    void find_neighbors(const Block<T>& block, DeepPotentialTask<T>& task, int64_t begin, int64_t end) const {
        if (!list_) {
            for_pieces(graph_, begin, end, [&](int64_t f, int64_t from, int64_t to) { gather(task, f, from, to); });
            return;
        }
        cut_pairs(*list_, block.pairs, task, begin, end, [&](int64_t from, int64_t to) { gather(task, 0, from, to); });
    }

    void gather(DeepPotentialTask<T>& task, int64_t f, int64_t from, int64_t to) const {
        task.begin = from, task.end = to;
        task.low = graph_.frame_first[f], task.high = graph_.frame_first[f + 1];
        const int64_t bad = kernels_.gather(task);
        if (bad >= 0 && !list_) report_edge(graph_, bad);
        if (bad >= 0) throw std::invalid_argument("the neighbour list holds a pair that no environment is defined for");
    }

    // One member on as many atoms as have features at a time.
    void run_rows(const Block<T>& block, DeepPotentialTask<T>& task, T* energies, double* virial) const {
        const int64_t begin = task.begin, end = task.end, count = end - begin;
        kernels_.forward(task);
        // the derivatives take the place of the features
        potential_.fitting(task.member).run(graph_.species + begin, count, block.features, false, energies, kRows,
                                            block.features, kRows * task.constants->length, block.networks);
        T* const features = task.features;
        T* const matrix = task.matrix;
        for_pieces(graph_, begin, end, [&](int64_t f, int64_t from, int64_t to) {
            task.begin = from, task.end = to;
            task.features = features + (from - begin) * task.constants->length;
            task.matrix = matrix + (from - begin) * 4 * task.constants->row;
            task.virial = virial + 9 * f;
            kernels_.backward(task);
        });
        task.features = features;
        task.matrix = matrix;
    }

    const DeepPotential<T>& potential_;
    const DeepPotentialKernels<T>& kernels_;
    const AevGraph& graph_;
    const NeighborList* const list_;
    const bool mean_;
    DeepPotentialTask<T> task_{};
};

}  // namespace

template <class T>
void DeepPotential<T>::evaluate(const AevGraph& graph, bool mean, double* energies, double* gradient,
                                double* virial) const {
    Evaluation<T>(*this, graph, nullptr, mean).run(energies, gradient, virial);
}

template <class T>
void DeepPotential<T>::evaluate(const NeighborList& neighbors, const int32_t* species, bool mean, double* energies,
                                double* gradient, double* virial) const {
    require_reach(neighbors, constants_.cutoff, "Deep Potential");
    const CandidateGraph candidates(neighbors, species);
    Evaluation<T>(*this, candidates.graph, &neighbors, mean).run(energies, gradient, virial);
}

template void DeepPotential<float>::evaluate(const AevGraph&, bool, double*, double*, double*) const;
template void DeepPotential<double>::evaluate(const AevGraph&, bool, double*, double*, double*) const;
template void DeepPotential<float>::evaluate(const NeighborList&, const int32_t*, bool, double*, double*,
                                             double*) const;
template void DeepPotential<double>::evaluate(const NeighborList&, const int32_t*, bool, double*, double*,
                                              double*) const;

}  // namespace mlsample
