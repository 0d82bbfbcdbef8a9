#include "ani.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "evaluations.hpp"
#include "scratch.hpp"

namespace mlsample {
namespace {

constexpr int64_t kBlock = network_block;  // atoms
constexpr int64_t kRows = 8;    // that the networks take at a time

// A thread's memory for one block.
template <class T>
struct Block {
    T *aev, *weights, *energies;
    void *networks, *sweep;
    char* slots;
    PairBlock pairs;
};

template <class T>
class Evaluation {
public:
    // Where there is a list, the graph's edges are its candidates.
    Evaluation(const Aev& aev, const Networks<T>& networks, const AevGraph& graph, const NeighborList* list, bool mean)
        : kernels_(aev.kernels<T>()),
          networks_(networks),
          graph_(graph),
          list_(list),
          mean_(mean),
          forward_(aev.task<T>(graph, 1)),
          backward_(aev.task<T>(graph, mean ? 1 : networks.members())) {
        // as long as the block's own arrays, whatever the number of atoms
        backward_.stride = kBlock * networks.inputs();
    }

    void run(double* energies, double* gradient, double* virial) {
        sweep_blocks(graph_, list_ != nullptr, backward_.members, kBlock, kRows, gradient, virial,
                     [&] { return memory(); },
                     [&](const Block<T>& block, int64_t begin, int64_t end, double* g, double* w) {
                         run_block(block, begin, end, energies, g, w);
                     });
    }

private:
    Block<T> memory() const {
        const int64_t length = networks_.inputs(), size = static_cast<int64_t>(sizeof(T));
        const int64_t rows = aligned(size * kBlock * length), members = aligned(size * kBlock * networks_.members());
        const int64_t net = aligned(networks_.scratch_bytes(kBlock));
        const int64_t slots = kBlock * forward_.slots_bytes;
        const int64_t sweep = aligned(std::max(forward_.scratch_bytes, backward_.scratch_bytes));
        const int64_t most = forward_.most_neighbors, pairs = list_ ? pair_bytes(most) : 0;
        char* at = static_cast<char*>(
            thread_scratch((1 + backward_.members) * rows + members + net + slots + sweep + pairs));
        Block<T> block{};
        block.aev = reinterpret_cast<T*>(at);
        block.weights = reinterpret_cast<T*>(at += rows);
        block.energies = reinterpret_cast<T*>(at += backward_.members * rows);
        block.networks = at += members;
        block.slots = at += net;
        block.sweep = at += slots;
        if (list_) block.pairs = pairs_at(at + sweep, most);
        return block;
    }

    void run_block(const Block<T>& block, int64_t begin, int64_t end, double* energies, double* gradient,
                   double* virial) const {
        const int64_t length = networks_.inputs(), count = end - begin;
        AevTask<T> forward = forward_, backward = backward_;
        forward.aev = block.aev - begin * length;
        backward.weights = block.weights - begin * length;
        backward.gradient = gradient;
        forward.kept = backward.kept = block.slots;
        forward.kept_begin = backward.kept_begin = begin;
        forward.scratch = backward.scratch = block.sweep;
        if (list_) {
            cut_pairs(*list_, block.pairs, forward, begin, end,
                      [&](int64_t from, int64_t to) { sweep(kernels_.forward, forward, 0, from, to); });
        } else {
            for_pieces(graph_, begin, end, [&](int64_t f, int64_t from, int64_t to) {
                sweep(kernels_.forward, forward, f, from, to);
            });
        }
        networks_.run(graph_.species + begin, count, block.aev, mean_, block.energies, kBlock, block.weights,
                      kBlock * length, block.networks);
        put_member_energies(block.energies, networks_.members(), kBlock, mean_, begin, end, graph_.n_atoms, energies);
        for_pieces(graph_, begin, end, [&](int64_t f, int64_t from, int64_t to) {
            backward.virial = virial + 9 * f;
            sweep(kernels_.gradient, backward, f, from, to);
        });
    }

    void sweep(int64_t (*kernel)(const AevTask<T>&), AevTask<T>& task, int64_t f, int64_t begin, int64_t end) const {
        task.begin = begin, task.end = end;
        task.low = graph_.frame_first[f], task.high = graph_.frame_first[f + 1];
        const int64_t bad = kernel(task);
        if (bad >= 0 && !list_) report_edge(graph_, bad);
        if (bad >= 0) throw std::invalid_argument("the neighbour list holds a pair that no AEV is defined for");
    }

    const AevKernels<T>& kernels_;
    const Networks<T>& networks_;
    const AevGraph& graph_;
    const NeighborList* const list_;
    const bool mean_;
    AevTask<T> forward_, backward_;
};

template <class T>
void require_fitting(const Aev& aev, const Networks<T>& networks) {
    if (networks.inputs() == aev.length() && networks.num_species() == aev.settings().num_species) return;
    throw std::invalid_argument("the networks take AEVs of length " + std::to_string(networks.inputs()) + " for " +
                                std::to_string(networks.num_species()) + " elements, this AEV has length " +
                                std::to_string(aev.length()) + " for " + std::to_string(aev.settings().num_species));
}

}  // namespace

template <class T>
void evaluate_ani(const Aev& aev, const Networks<T>& networks, const AevGraph& graph, bool mean, double* energies,
                  double* gradient, double* virial) {
    require_fitting(aev, networks);
    Evaluation<T>(aev, networks, graph, nullptr, mean).run(energies, gradient, virial);
}

template <class T>
void evaluate_ani(const Aev& aev, const Networks<T>& networks, const NeighborList& neighbors, const int32_t* species,
                  bool mean, double* energies, double* gradient, double* virial) {
    require_fitting(aev, networks);
    require_reach(neighbors, aev.settings().radial_cutoff, "AEV");
    const CandidateGraph candidates(neighbors, species);
    Evaluation<T>(aev, networks, candidates.graph, &neighbors, mean).run(energies, gradient, virial);
}

template void evaluate_ani(const Aev&, const Networks<float>&, const AevGraph&, bool, double*, double*, double*);
template void evaluate_ani(const Aev&, const Networks<double>&, const AevGraph&, bool, double*, double*, double*);
template void evaluate_ani(const Aev&, const Networks<float>&, const NeighborList&, const int32_t*, bool, double*,
                           double*, double*);
template void evaluate_ani(const Aev&, const Networks<double>&, const NeighborList&, const int32_t*, bool, double*,
                           double*, double*);

}  // namespace mlsample
