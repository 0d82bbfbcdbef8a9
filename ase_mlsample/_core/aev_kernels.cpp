// The sweep over atoms: AEVs, gradients of sums over AEVs, and tangents of AEVs. Compiled once per instruction set.
#include "aev_kernels.hpp"

#include "aev_angular.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

template <class T>
int64_t scratch_bytes(const AevConstants<T>& c, int64_t most, int members) {
    Workspace<T> workspace;
    return layout(workspace, c, most, members, nullptr);
}

template <class T>
int64_t slots_bytes(const AevConstants<T>& c, int64_t most) {
    Slots<T> slots;
    return layout(slots, c, most, nullptr);
}

template <class T>
Workspace<T> workspace_of(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    Workspace<T> w;
    layout(w, c, task.most_neighbors, task.members, task.scratch);
    layout(w.s, c, task.most_neighbors, w.own_slots);
    // rows that only fill up register blocks
    for (int64_t k = c.angular.count * chunk_row<T>; k < w.shifts * chunk_row<T>; ++k) {
        w.radial[k] = w.product[k] = w.d_product[k] = 0;
    }
    for (int64_t k = c.n_sections * chunk_row<T>; k < w.sections * chunk_row<T>; ++k) w.angle[k] = w.d_angle[k] = 0;
    return w;
}

// Points the workspace to the surroundings of atom i, gathered here unless they are kept from before. Returns -1, or
// the edge that is invalid.
template <class T>
MLSAMPLE_INLINE int64_t surround(const AevTask<T>& task, Workspace<T>& w, int64_t i, bool gathered) {
    if (task.kept) {
        void* const at = task.kept + (i - task.kept_begin) * task.slots_bytes;
        layout(w.s, *task.constants, task.most_neighbors, at);
        if (gathered) return -1;
    }
    return gather(task, w.s, w.gathering, i);
}

template <class T>
int64_t forward(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    const NoDenormals quick;
    Workspace<T> w = workspace_of(task);
    for (int64_t i = task.begin; i < task.end; ++i) {
        const int64_t bad = surround(task, w, i, false);
        if (bad >= 0) return bad;
        const int kinds = *w.s.kinds;
        T* out = task.aev + i * c.length;
        for (int k = 0; k < c.length; ++k) out[k] = 0;
        for (int kind = 0; kind < kinds; ++kind) radial_forward(task, w, kind, out);
        angular<T, Mode::forward>(task, w, kinds, nullptr, out, 0);
    }
    return -1;
}

// Gradients by the edges' vectors of one member, interleaved into p, and the sums over lanes of each and of p_a d_b.
template <class T>
MLSAMPLE_INLINE void edge_gradients(const Workspace<T>& w, int member, Vec<T>* sums) {
    const T *slope = w.slope + member * w.slots, *along = w.along + member * w.slots;
    const T* turn = w.turn + 3 * member * w.slots;
    const Slots<T> s = w.s;
    const int64_t slots = w.slots;
    T* const out = w.p;
    EdgeSums<T> all;
    for (int kind = 0; kind < *s.kinds; ++kind) {
        const int64_t near = s.start[kind] + s.near[kind], end = s.start[kind] + s.all[kind];
        for (int64_t k = s.start[kind]; k < end; k += width<T>) {
            const Vec<T> u[3] = {load(s.ux + k), load(s.uy + k), load(s.uz + k)};
            Vec<T> p[3]{}, forward = load(slope + k);
            if (k < near) {
                const Vec<T> side = load(s.inverse + k) * T(shrink);
                for (int a = 0; a < 3; ++a) p[a] = side * load(turn + a * slots + k);
                forward += load(along + k) - (p[0] * u[0] + p[1] * u[1] + p[2] * u[2]);
            }
#pragma GCC unroll 3
            for (int a = 0; a < 3; ++a) p[a] += forward * u[a];
            put_edges<T>(s, k, p, all, out);
        }
    }
    store_sums<T>(all, sums);
}

// Sums over angular pairs are nil to begin with.
template <class T>
void clear_angular(const Workspace<T>& w, int members) {
    for (int kind = 0; kind < *w.s.kinds; ++kind) {
        const int64_t start = w.s.start[kind], end = start + w.s.near[kind];
        for (int k = 0; k < members; ++k) {
            for (int64_t s = start; s < end; s += width<T>) {
                store<T>(w.along + k * w.slots + s, Vec<T>{});
                for (int a = 0; a < 3; ++a) store<T>(w.turn + (3 * k + a) * w.slots + s, Vec<T>{});
            }
        }
    }
}

// Adds all members' edge gradients to the neighbours, and takes them off atom i.
template <class T>
void spread(const AevTask<T>& task, const Workspace<T>& w, int64_t i) {
    for (int k = 0; k < task.members; ++k) {
        edge_gradients(w, k, w.edge_sums + 12 * k);
        scatter<T>(w.s, w.p, task.gradient + 4 * k * task.n_atoms);
    }
    sum_lanes<T>(w.edge_sums, up(12 * task.members, width<T>), w.edge_totals);
    for (int k = 0; k < task.members; ++k) {
        double* const own = task.gradient + 4 * (k * task.n_atoms + i);
        add_totals<T>(w.edge_totals + 12 * k, own, task.virial + k * task.virial_stride);
    }
}

template <class T>
int64_t gradient(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    const NoDenormals quick;
    Workspace<T> w = workspace_of(task);
    for (int64_t i = task.begin; i < task.end; ++i) {
        const int64_t bad = surround(task, w, i, task.kept != nullptr);
        if (bad >= 0) return bad;
        const int kinds = *w.s.kinds;
        clear_angular(w, task.members);
        const T* g = task.weights + i * c.length;
        for (int kind = 0; kind < kinds; ++kind) radial_gradient(task, w, kind, g, task.stride);
        angular<T, Mode::gradient>(task, w, kinds, g, nullptr, task.stride);
        spread(task, w, i);
    }
    return -1;
}

// Rates of change of the distances (speed) and directions (tangent) of the edges of atom i for one member.
template <class T>
void edge_rates(const AevTask<T>& task, const Workspace<T>& w, int member, int64_t i, int64_t used) {
    const double *v = task.directions + 3 * member * task.n_atoms, *mine = v + 3 * i;
    T* t = w.tangent + 3 * member * w.slots;
    const T* u[3] = {w.s.ux, w.s.uy, w.s.uz};
    T* speed = w.speed + member * w.slots;
    for (int64_t s = 0; s < used; ++s) {
        const double* other = v + 3 * static_cast<int64_t>(w.s.atom[s]);
        for (int a = 0; a < 3; ++a) t[a * w.slots + s] = static_cast<T>(other[a] - mine[a]);
    }
    T strain[9] = {};
    if (task.strain) {
        for (int a = 0; a < 9; ++a) strain[a] = static_cast<T>(task.strain[member * task.strain_stride + a]);
    }
    for (int64_t k = 0; k < used; k += width<T>) {
        const Vec<T> r = load(w.s.r + k), inverse = load(w.s.inverse + k);
        Vec<T> rate[3], along{};
        for (int a = 0; a < 3; ++a) {
            Vec<T> bent{};
            for (int b = 0; b < 3; ++b) bent += load(u[b] + k) * strain[3 * a + b];
            rate[a] = load(t + a * w.slots + k) + bent * r;
            along += rate[a] * load(u[a] + k);
        }
        store<T>(speed + k, along);
        for (int a = 0; a < 3; ++a) store<T>(t + a * w.slots + k, (rate[a] - along * load(u[a] + k)) * inverse);
    }
}

template <class T>
int64_t tangent(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    const NoDenormals quick;
    Workspace<T> w = workspace_of(task);
    const int64_t stride = task.stride;
    for (int64_t i = task.begin; i < task.end; ++i) {
        const int64_t bad = surround(task, w, i, false);
        if (bad >= 0) return bad;
        const int kinds = *w.s.kinds;
        T* out = task.aev + i * c.length;
        for (int k = 0; k < task.members; ++k) {
            for (int m = 0; m < c.length; ++m) out[k * stride + m] = 0;
            edge_rates(task, w, k, i, *w.s.used);
        }
        for (int kind = 0; kind < kinds; ++kind) radial_tangent(task, w, kind, out, stride);
        angular<T, Mode::tangent>(task, w, kinds, nullptr, out, stride);
    }
    return -1;
}

template <class T>
void fill(AevKernels<T>* kernels) {
    kernels->scratch_bytes = scratch_bytes<T>;
    kernels->slots_bytes = slots_bytes<T>;
    kernels->forward = forward<T>;
    kernels->gradient = gradient<T>;
    kernels->tangent = tangent<T>;
}

}  // namespace

void aev_kernels_single(AevKernels<float>* kernels) { fill(kernels); }
void aev_kernels_double(AevKernels<double>* kernels) { fill(kernels); }

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
