// The sweep over atoms: the matrices T and D, and gradients of sums over D. Compiled once per instruction set.
#include "deep_potential_kernels.hpp"

#include "deep_potential_embedding.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

template <class T>
struct Workspace {
    Gathering gathering;
    T *radial, *adjoint, *p, *crossed, *totals;
    Vec<T>*lanes, *sums;
    EmbeddingMemory<T> embedding;
};

template <class T>
int64_t layout(Workspace<T>& w, const DeepPotentialConstants<T>& c, int64_t most, void* base) {
    const int64_t slots = most_slots<T>(c.num_species, most), rows = network_block * static_cast<int64_t>(c.widest);
    Arena arena{reinterpret_cast<uintptr_t>(base)};
    arena.take(most, w.gathering.r2);
    arena.take(2 * c.num_species, w.gathering.cursor);
    arena.take(slots, w.radial);
    arena.take(4 * c.row, w.adjoint);
    arena.take(4 * slots, w.p);
    arena.take(5 * width<T>, w.lanes);
    arena.take(up(4 * c.axis, width<T>), w.sums, w.crossed);
    arena.take(up(12, width<T>), w.totals);
    if (c.intervals == 0) {
        EmbeddingMemory<T>& m = w.embedding;
        arena.take(rows, m.values[0], m.values[1], m.rates[0], m.rates[1], m.slopes);
    }
    return static_cast<int64_t>(arena.at - reinterpret_cast<uintptr_t>(base));
}

template <class T>
int64_t scratch_bytes(const DeepPotentialConstants<T>& c, int64_t most) {
    Workspace<T> workspace;
    return layout(workspace, c, most, nullptr);
}

template <class T>
int64_t slots_bytes(const DeepPotentialConstants<T>& c, int64_t most) {
    Environment<T> environment;
    return layout(environment, c, most, nullptr);
}

template <class T>
Workspace<T> workspace_of(const DeepPotentialTask<T>& task) {
    Workspace<T> w;
    layout(w, *task.constants, task.most_neighbors, task.scratch);
    for (int64_t k = 4 * task.constants->axis; k < up(4 * task.constants->axis, width<T>); ++k) w.sums[k] = Vec<T>{};
    return w;
}

template <class T>
Environment<T> environment_of(const DeepPotentialTask<T>& task, int64_t i) {
    Environment<T> e;
    layout(e, *task.constants, task.most_neighbors, task.kept + (i - task.kept_begin) * task.slots_bytes);
    return e;
}

template <class T>
int64_t gather(const DeepPotentialTask<T>& task) {
    const DeepPotentialConstants<T>& c = *task.constants;
    const NoDenormals quick;
    const Workspace<T> w = workspace_of(task);
    const Edges edges{task.species, task.first,    task.second, task.vectors, task.low,
                      task.high,    c.num_species, c.cutoff,    0.0};
    for (int64_t i = task.begin; i < task.end; ++i) {
        const Environment<T> e = environment_of(task, i);
        const int64_t bad = gather_edges<T>(edges, e, w.gathering, i);
        if (bad >= 0) return bad;
        measure_environment(c, e);
    }
    return -1;
}

// What a member makes of the neighbours of one atom of species `centre`.
template <class T>
struct Centre {
    const Embedding<T>* embeddings;  // (neighbour,)
    T mean, inverse, radial, angular;

    Centre(const DeepPotentialTask<T>& task, int64_t i) {
        const DeepPotentialConstants<T>& c = *task.constants;
        const int64_t k = static_cast<int64_t>(task.member) * c.num_species + task.species[i];
        embeddings = c.embeddings + k * c.num_species;
        mean = c.mean[k], inverse = c.inverse[k], radial = c.radial[k], angular = c.angular[k];
    }
};

template <class T>
void shift_radial(const Environment<T>& e, T mean, T* out) {
    for (int64_t k = 0; k < *e.used; k += width<T>) store<T>(out + k, load(e.s + k) - mean);
}

// use(rows, from, to) with embeddings of the slots [from, to) of one species, which start at a multiple of the width.
template <class T, bool rates, class Use>
MLSAMPLE_INLINE void with_rows(const DeepPotentialConstants<T>& c, const Centre<T>& centre, int32_t species,
                               const Environment<T>& e, const Workspace<T>& w, int64_t from, int64_t to,
                               const Use& use) {
    const Embedding<T>& net = centre.embeddings[species];
    if (c.intervals > 0) return use(TableRows<T>{net.table, e.interval, e.place, c.row}, from, to);
    for (int64_t begin = from; begin < to; begin += network_block) {
        const int64_t end = begin + network_block < to ? begin + network_block : to;
        const int count = static_cast<int>(end - begin);
        GivenRows<T> rows = embed<T, rates>(c, net, w.radial + begin, centre.inverse, count, w.embedding);
        rows.first = begin;
        use(rows, begin, end);
    }
}

// T of one atom: sums over neighbours and over empty slots, which are neighbours at s = 0 and negative in number where
// there are more neighbours than slots.
template <class T>
void sum_matrix(const DeepPotentialConstants<T>& c, const Environment<T>& e, const Centre<T>& centre,
                const Workspace<T>& w, T* matrix) {
    const int64_t row = c.row;
    for (int64_t v = 0; v < 4 * row; v += width<T>) store<T>(matrix + v, Vec<T>{});
    for (int species = 0, kind = 0; species < c.num_species; ++species) {
        const bool there = kind < *e.kinds && e.present[kind] == species;
        const T empty = (c.slots[species] - T(there ? e.all[kind++] : 0)) * -centre.mean;
        const T* g = centre.embeddings[species].empty;
        for (int64_t v = 0; v < row; v += width<T>) store<T>(matrix + v, load(matrix + v) + load(g + v) * empty);
    }
    const T* const r[] = {w.radial, e.sx, e.sy, e.sz};
    for (int kind = 0; kind < *e.kinds; ++kind) {
        const int64_t from = e.start[kind], to = from + e.all[kind];
        with_rows<T, false>(c, centre, e.present[kind], e, w, from, to,
                            [&](const auto& rows, int64_t begin, int64_t end) {
                                add_neighbors<T>(rows, r, begin, end, row, matrix);
                            });
    }
    for (int a = 0; a < 4; ++a) {
        const T factor = a == 0 ? centre.radial : centre.angular;
        for (int64_t v = a * row; v < (a + 1) * row; v += width<T>) store<T>(matrix + v, load(matrix + v) * factor);
    }
}

// D_a = sum_c T_c[a] T_c.
template <class T>
void put_features(const DeepPotentialConstants<T>& c, const T* matrix, T* features) {
    for (int a = 0; a < c.axis; ++a) {
        const T x = matrix[a], y = matrix[c.row + a], z = matrix[2 * c.row + a], last = matrix[3 * c.row + a];
        for (int64_t v = 0; v < c.row; v += width<T>) {
            const T* at = matrix + v;
            store<T>(features + a * c.row + v, load(at) * x + load(at + c.row) * y + load(at + 2 * c.row) * z +
                                                   load(at + 3 * c.row) * last);
        }
    }
}

template <class T>
void forward(const DeepPotentialTask<T>& task) {
    const DeepPotentialConstants<T>& c = *task.constants;
    const NoDenormals quick;
    const Workspace<T> w = workspace_of(task);
    for (int64_t i = task.begin; i < task.end; ++i) {
        const Environment<T> e = environment_of(task, i);
        const Centre<T> centre(task, i);
        T* const matrix = task.matrix + 4 * c.row * (i - task.begin);
        shift_radial(e, centre.mean, w.radial);
        sum_matrix(c, e, centre, w, matrix);
        put_features(c, matrix, task.features + c.length * (i - task.begin));
    }
}

// The derivative by T from that by D, (axis, row): A_c = sum_a T_c[a] B_a, and A_c[a] += B_a . T_c.
template <class T>
void put_adjoint(const DeepPotentialConstants<T>& c, const T* matrix, const T* by_features, const Centre<T>& centre,
                 T weight, const Workspace<T>& w) {
    const int64_t row = c.row;
    for (int64_t v = 0; v < row; v += width<T>) {
        Vec<T> sum[4]{};
        for (int a = 0; a < c.axis; ++a) {
            const Vec<T> B = load(by_features + a * row + v);
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) sum[k] += B * matrix[k * row + a];
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) store<T>(w.adjoint + k * row + v, sum[k]);
    }
    for (int a = 0; a < c.axis; ++a) {
        Vec<T> sum[4]{};
        for (int64_t v = 0; v < row; v += width<T>) {
            const Vec<T> B = load(by_features + a * row + v);
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) sum[k] += B * load(matrix + k * row + v);
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) w.sums[k * c.axis + a] = sum[k];
    }
    sum_lanes<T>(w.sums, up(4 * c.axis, width<T>), w.crossed);
    for (int k = 0; k < 4; ++k) {
        T* const adjoint = w.adjoint + k * row;
        const T factor = weight * (k == 0 ? centre.radial : centre.angular);
        for (int a = 0; a < c.axis; ++a) adjoint[a] += w.crossed[k * c.axis + a];
        for (int64_t v = 0; v < row; v += width<T>) store<T>(adjoint + v, load(adjoint + v) * factor);
    }
}

// Gradients by the edges of one atom, added to the neighbours, the atom and the virial.
template <class T>
void spread(const DeepPotentialTask<T>& task, const Environment<T>& e, const Centre<T>& centre, const Workspace<T>& w,
            int64_t i) {
    const DeepPotentialConstants<T>& c = *task.constants;
    const T* const r[] = {w.radial, e.sx, e.sy, e.sz};
    const T* const place_slope = c.intervals > 0 ? e.place_slope : e.slope;
    EdgeSums<T> all;
    const auto vector_of_slots = [&](const auto& rows, int64_t k, int64_t end) MLSAMPLE_LAMBDA {
        Vec<T> q[5];
        contract<T>(rows, r, k, end, c.row, w.adjoint, w.lanes, q);
        const Vec<T> u[3] = {load(e.ux + k), load(e.uy + k), load(e.uz + k)};
        const Vec<T> along = q[1] * u[0] + q[2] * u[1] + q[3] * u[2], side = load(e.s + k) * load(e.inverse + k);
        const Vec<T> radial = (q[0] + along) * load(e.slope + k) + q[4] * load(place_slope + k) - side * along;
        Vec<T> p[3];
        for (int a = 0; a < 3; ++a) p[a] = radial * u[a] + side * q[1 + a];
        put_edges<T>(e, k, p, all, w.p);
    };
    for (int kind = 0; kind < *e.kinds; ++kind) {
        const int64_t from = e.start[kind], to = from + e.all[kind];
        with_rows<T, true>(c, centre, e.present[kind], e, w, from, to,
                           [&](const auto& rows, int64_t begin, int64_t end) {
                               for (int64_t k = begin; k < end; k += width<T>) {
                                   vector_of_slots(rows, k, k + width<T> < end ? k + width<T> : end);
                               }
                           });
    }
    scatter<T>(e, w.p, task.gradient);
    constexpr int rows = (12 + width<T> - 1) / width<T> * width<T>;
    Vec<T> sums[rows]{};
    store_sums<T>(all, sums);
    sum_lanes<T>(sums, rows, w.totals);
    add_totals<T>(w.totals, task.gradient + 4 * i, task.virial);
}

template <class T>
void backward(const DeepPotentialTask<T>& task) {
    const DeepPotentialConstants<T>& c = *task.constants;
    const NoDenormals quick;
    const Workspace<T> w = workspace_of(task);
    for (int64_t i = task.begin; i < task.end; ++i) {
        const Environment<T> e = environment_of(task, i);
        const Centre<T> centre(task, i);
        const int64_t k = i - task.begin;
        put_adjoint(c, task.matrix + 4 * c.row * k, task.features + c.length * k, centre, task.weight, w);
        shift_radial(e, centre.mean, w.radial);
        spread(task, e, centre, w, i);
    }
}

template <class T>
void fill(DeepPotentialKernels<T>* kernels) {
    kernels->scratch_bytes = scratch_bytes<T>;
    kernels->slots_bytes = slots_bytes<T>;
    kernels->gather = gather<T>;
    kernels->forward = forward<T>;
    kernels->backward = backward<T>;
}

}  // namespace

void deep_potential_kernels_single(DeepPotentialKernels<float>* kernels) { fill(kernels); }
void deep_potential_kernels_double(DeepPotentialKernels<double>* kernels) { fill(kernels); }

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
