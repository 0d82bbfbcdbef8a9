#include "ani.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "scratch.hpp"

namespace mlsample {
namespace {

constexpr int64_t kBlock = network_block;  // atoms

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// A thread's memory for one block.
template <class T>
struct Block {
    T *aev, *weights, *energies;
    void *networks, *sweep;
    char* slots;
};

template <class T>
class Evaluation {
public:
    Evaluation(const Aev& aev, const Networks<T>& networks, const AevGraph& graph, bool mean)
        : kernels_(aev.kernels<T>()),
          networks_(networks),
          graph_(graph),
          mean_(mean),
          forward_(aev.task<T>(graph, 1)),
          backward_(aev.task<T>(graph, mean ? 1 : networks.members())) {
        // as long as the block's own arrays, whatever the number of atoms
        backward_.stride = kBlock * networks.inputs();
    }

    void run(double* energies, double* gradient, double* virial) {
        const Parts parts = make_parts(graph_);
        const PartSums sums(graph_, parts, backward_.members);
        for_parts(graph_, parts, [&](int part, int64_t low, int64_t high) {
            const Block<T> block = memory();
            sums.clear(part);
            for (int64_t begin = low; begin < high; begin += kBlock) {
                const int64_t end = std::min(high, begin + kBlock);
                run_block(block, begin, end, energies, sums.gradient(part), sums.virial(part));
            }
        });
        sums.finish(gradient, virial);
    }

private:
    Block<T> memory() const {
        const int64_t length = networks_.inputs(), size = static_cast<int64_t>(sizeof(T));
        const int64_t rows = aligned(size * kBlock * length), members = aligned(size * kBlock * networks_.members());
        const int64_t net = aligned(networks_.scratch_bytes(kBlock));
        const int64_t sweep = std::max(forward_.scratch_bytes, backward_.scratch_bytes);
        const int64_t slots = kBlock * forward_.slots_bytes;
        char* at =
            static_cast<char*>(thread_scratch((1 + backward_.members) * rows + members + net + slots + sweep));
        Block<T> block{};
        block.aev = reinterpret_cast<T*>(at);
        block.weights = reinterpret_cast<T*>(at += rows);
        block.energies = reinterpret_cast<T*>(at += backward_.members * rows);
        block.networks = at += members;
        block.slots = at += net;
        block.sweep = at + slots;
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
        for_pieces(graph_, begin, end, [&](int64_t f, int64_t from, int64_t to) {
            sweep(kernels_.forward, forward, f, from, to);
        });
        networks_.run(graph_.species + begin, count, block.aev, mean_, block.energies, kBlock, block.weights,
                      kBlock * length, block.networks);
        for (int m = 0; m < networks_.members(); ++m) {
            for (int64_t k = 0; k < count; ++k) {
                energies[m * graph_.n_atoms + begin + k] = static_cast<double>(block.energies[m * kBlock + k]);
            }
        }
        for_pieces(graph_, begin, end, [&](int64_t f, int64_t from, int64_t to) {
            backward.virial = virial + 9 * f;
            sweep(kernels_.gradient, backward, f, from, to);
        });
    }

    void sweep(int64_t (*kernel)(const AevTask<T>&), AevTask<T>& task, int64_t f, int64_t begin, int64_t end) const {
        task.begin = begin, task.end = end;
        task.low = graph_.frame_first[f], task.high = graph_.frame_first[f + 1];
        const int64_t bad = kernel(task);
        if (bad >= 0) report_edge(graph_, bad);
    }

    const AevKernels<T>& kernels_;
    const Networks<T>& networks_;
    const AevGraph& graph_;
    const bool mean_;
    AevTask<T> forward_, backward_;
};

}  // namespace

template <class T>
void evaluate_ani(const Aev& aev, const Networks<T>& networks, const AevGraph& graph, bool mean, double* energies,
                  double* gradient, double* virial) {
    if (networks.inputs() != aev.length() || networks.num_species() != aev.settings().num_species) {
        throw std::invalid_argument("the networks take AEVs of length " + std::to_string(networks.inputs()) + " for " +
                                    std::to_string(networks.num_species()) + " elements, this AEV has length " +
                                    std::to_string(aev.length()) + " for " +
                                    std::to_string(aev.settings().num_species));
    }
    Evaluation<T>(aev, networks, graph, mean).run(energies, gradient, virial);
}

template void evaluate_ani(const Aev&, const Networks<float>&, const AevGraph&, bool, double*, double*, double*);
template void evaluate_ani(const Aev&, const Networks<double>&, const AevGraph&, bool, double*, double*, double*);

}  // namespace mlsample
