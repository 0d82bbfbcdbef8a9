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
Workspace<T> workspace_of(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    Workspace<T> w;
    layout(w, c, task.most_neighbors, task.members, task.scratch);
    // rows that only fill up register blocks
    for (int64_t k = c.n_shifts * chunk_pairs; k < w.shifts * chunk_pairs; ++k) {
        w.radial[k] = w.product[k] = w.d_product[k] = 0;
    }
    for (int64_t k = c.n_sections * chunk_pairs; k < w.sections * chunk_pairs; ++k) w.angle[k] = w.d_angle[k] = 0;
    return w;
}

template <class T>
int64_t forward(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    const Workspace<T> w = workspace_of(task);
    for (int64_t i = task.begin; i < task.end; ++i) {
        const Counts counts = gather(task, w, i);
        if (counts.fault >= 0) return counts.fault;
        T* out = task.aev + i * c.length;
        for (int k = 0; k < c.length; ++k) out[k] = 0;
        for (int kind = 0; kind < counts.kinds; ++kind) radial_forward(task, w, kind, out);
        angular<T, Mode::forward>(task, w, counts.kinds, nullptr, out, 0);
    }
    return -1;
}

// Gradients by the edges' vectors of one member into p, their sum into net and sum of p_a d_b into virial.
template <class T>
void edge_gradients(const Workspace<T>& w, int member, int64_t used, T* net, T* virial) {
    const T *slope = w.slope + member * w.slots, *along = w.along + member * w.slots;
    const T* turn = w.turn + 3 * member * w.slots;
    const T* u[3] = {w.ux, w.uy, w.uz};
    constexpr int rows = (12 + width<T> - 1) / width<T> * width<T>;
    Vec<T> sums[rows]{};
    for (int64_t k = 0; k < used; k += width<T>) {
        const Vec<T> forward = load(slope + k) + load(along + k), side = load(w.inverse + k) * T(shrink);
        const Vec<T> r = load(w.r + k);
        for (int a = 0; a < 3; ++a) {
            const Vec<T> p = forward * load(u[a] + k) + side * load(turn + a * w.slots + k), pr = p * r;
            store<T>(w.p + a * w.slots + k, p);
            sums[a] += p;
            for (int b = 0; b < 3; ++b) sums[3 + 3 * a + b] += pr * load(u[b] + k);
        }
    }
    T totals[rows];
    sum_lanes<T>(sums, rows, totals);
    for (int a = 0; a < 3; ++a) net[a] = totals[a];
    for (int a = 0; a < 9; ++a) virial[a] = totals[3 + a];
}

template <class T>
int64_t gradient(const AevTask<T>& task) {
    const AevConstants<T>& c = *task.constants;
    const Workspace<T> w = workspace_of(task);
    const int64_t stride = task.stride;
    for (int64_t i = task.begin; i < task.end; ++i) {
        const Counts counts = gather(task, w, i);
        if (counts.fault >= 0) return counts.fault;
        const int64_t filled = counts.used + width<T>;
        for (int k = 0; k < task.members; ++k) {
            for (int64_t s = 0; s < filled; ++s) w.along[k * w.slots + s] = 0;
            for (int a = 0; a < 3; ++a) {
                for (int64_t s = 0; s < filled; ++s) w.turn[(3 * k + a) * w.slots + s] = 0;
            }
        }
        const T* g = task.weights + i * c.length;
        for (int kind = 0; kind < counts.kinds; ++kind) radial_gradient(task, w, kind, g, stride);
        angular<T, Mode::gradient>(task, w, counts.kinds, g, nullptr, stride);
        for (int k = 0; k < task.members; ++k) {
            T net[3], virial[9];
            edge_gradients(w, k, counts.used, net, virial);
            double* out = task.gradient + 3 * k * task.n_atoms;
            for (int64_t s = 0; s < counts.used; ++s) {
                double* at = out + 3 * static_cast<int64_t>(w.atom[s]);
                for (int a = 0; a < 3; ++a) at[a] += static_cast<double>(w.p[a * w.slots + s]);
            }
            for (int a = 0; a < 3; ++a) out[3 * i + a] -= static_cast<double>(net[a]);
            for (int a = 0; a < 9; ++a) task.virial[k * task.virial_stride + a] += static_cast<double>(virial[a]);
        }
    }
    return -1;
}

// Rates of change of the distances (speed) and directions (tangent) of the edges of atom i for one member.
template <class T>
void edge_rates(const AevTask<T>& task, const Workspace<T>& w, int member, int64_t i, int64_t used) {
    const double *v = task.directions + 3 * member * task.n_atoms, *mine = v + 3 * i;
    T* t = w.tangent + 3 * member * w.slots;
    const T* u[3] = {w.ux, w.uy, w.uz};
    T* speed = w.speed + member * w.slots;
    for (int64_t s = 0; s < used; ++s) {
        const double* other = v + 3 * static_cast<int64_t>(w.atom[s]);
        for (int a = 0; a < 3; ++a) t[a * w.slots + s] = static_cast<T>(other[a] - mine[a]);
    }
    T strain[9] = {};
    if (task.strain) {
        for (int a = 0; a < 9; ++a) strain[a] = static_cast<T>(task.strain[member * task.strain_stride + a]);
    }
    for (int64_t k = 0; k < used; k += width<T>) {
        const Vec<T> r = load(w.r + k), inverse = load(w.inverse + k);
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
    const Workspace<T> w = workspace_of(task);
    const int64_t stride = task.stride;
    for (int64_t i = task.begin; i < task.end; ++i) {
        const Counts counts = gather(task, w, i);
        if (counts.fault >= 0) return counts.fault;
        T* out = task.aev + i * c.length;
        for (int k = 0; k < task.members; ++k) {
            for (int m = 0; m < c.length; ++m) out[k * stride + m] = 0;
            edge_rates(task, w, k, i, counts.used);
        }
        for (int kind = 0; kind < counts.kinds; ++kind) radial_tangent(task, w, kind, out, stride);
        angular<T, Mode::tangent>(task, w, counts.kinds, nullptr, out, stride);
    }
    return -1;
}

template <class T>
void fill(AevKernels<T>* kernels) {
    kernels->scratch_bytes = scratch_bytes<T>;
    kernels->forward = forward<T>;
    kernels->gradient = gradient<T>;
    kernels->tangent = tangent<T>;
}

}  // namespace

void aev_kernels_single(AevKernels<float>* kernels) { fill(kernels); }
void aev_kernels_double(AevKernels<double>* kernels) { fill(kernels); }

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
