// Products with kept derivatives of AEVs: small dense blocks, four members at a time.
#include "aev_jacobian_kernels.hpp"

#include "aev_simd.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr int group = 4;  // members whose sums are held in registers together

// p[m][c] += sum_r g[m][r] J[r][c] over V vectors of columns.
template <class T, int M, int V>
MLSAMPLE_INLINE void rows_tile(const T* block, int64_t columns, int rows, const T* g, int64_t gs, T* p, int64_t ps) {
    Vec<T> sum[M][V];
    for (int m = 0; m < M; ++m)
        for (int v = 0; v < V; ++v) sum[m][v] = load(p + m * ps + v * width<T>);
    for (int r = 0; r < rows; ++r) {
        Vec<T> j[V];
        for (int v = 0; v < V; ++v) j[v] = load(block + r * columns + v * width<T>);
        for (int m = 0; m < M; ++m)
            for (int v = 0; v < V; ++v) sum[m][v] += g[m * gs + r] * j[v];
    }
    for (int m = 0; m < M; ++m)
        for (int v = 0; v < V; ++v) store(p + m * ps + v * width<T>, sum[m][v]);
}

template <class T, int M>
void add_rows(const JacobianBlock& b, const T* numbers, const T* g, int64_t gs, T* p, int64_t ps) {
    const T* block = numbers + b.data;
    int c = 0;
    for (; c + 3 * width<T> <= b.columns; c += 3 * width<T>)
        rows_tile<T, M, 3>(block + c, b.columns, b.rows, g + b.feature, gs, p + b.column + c, ps);
    for (; c < b.columns; c += width<T>)
        rows_tile<T, M, 1>(block + c, b.columns, b.rows, g + b.feature, gs, p + b.column + c, ps);
}

// out[m][r] += sum_c J[r][c] t[m][c] for R rows.
template <class T, int M, int R>
MLSAMPLE_INLINE void columns_tile(const T* block, int64_t columns, const T* t, int64_t ts, T* out, int64_t os) {
    Vec<T> sum[group * group] = {};
    for (int64_t c = 0; c < columns; c += width<T>) {
        Vec<T> v[M];
        for (int m = 0; m < M; ++m) v[m] = load(t + m * ts + c);
        for (int r = 0; r < R; ++r) {
            const Vec<T> j = load(block + r * columns + c);
            for (int m = 0; m < M; ++m) sum[r * M + m] += j * v[m];
        }
    }
    T total[group * group];
    sum_lanes<T>(sum, group * group, total);
    for (int r = 0; r < R; ++r)
        for (int m = 0; m < M; ++m) out[m * os + r] += total[r * M + m];
}

template <class T, int M>
void add_columns(const JacobianBlock& b, const T* numbers, const T* t, int64_t ts, T* out, int64_t os) {
    const T* block = numbers + b.data;
    int r = 0;
    for (; r + 4 <= b.rows; r += 4)
        columns_tile<T, M, 4>(block + r * b.columns, b.columns, t + b.column, ts, out + b.feature + r, os);
    for (; r < b.rows; ++r)
        columns_tile<T, M, 1>(block + r * b.columns, b.columns, t + b.column, ts, out + b.feature + r, os);
}

// Derivatives by each neighbour's vector, q[axis][slot], from those by the columns.
template <class T>
void columns_to_vectors(const JacobianTask<T>& task, const JacobianAtom* atom, const T* p, T* q) {
    const int64_t n = atom->stride;
    const T* u = task.numbers + atom->edges;
    for (int64_t s = atom[0].segments; s < atom[1].segments; ++s) {
        const JacobianSegment& g = task.segments[s];
        for (int a = 0; a < 3; ++a) {
            T* to = q + a * n + g.slot;
            const T* from = p + g.column + (g.angular ? a * g.count : 0);
            const T* direction = u + a * n + g.slot;
            if (g.angular)
                for (int k = 0; k < g.count; ++k) to[k] += from[k];
            else
                for (int k = 0; k < g.count; ++k) to[k] = from[k] * direction[k];
        }
    }
}

template <class T>
void vectors_to_columns(const JacobianTask<T>& task, const JacobianAtom* atom, const T* q, T* t) {
    const int64_t n = atom->stride;
    const T* u = task.numbers + atom->edges;
    for (int64_t s = atom[0].segments; s < atom[1].segments; ++s) {
        const JacobianSegment& g = task.segments[s];
        if (g.angular) {
            for (int a = 0; a < 3; ++a)
                for (int k = 0; k < g.count; ++k) t[g.column + a * g.count + k] = q[a * n + g.slot + k];
        } else {
            for (int k = g.slot; k < g.slot + g.count; ++k)
                t[g.column + k - g.slot] = u[k] * q[k] + u[n + k] * q[n + k] + u[2 * n + k] * q[2 * n + k];
        }
    }
}

template <class T>
void scatter(const JacobianTask<T>& task, const JacobianAtom* atom, int64_t i, const T* q, int m) {
    const int64_t n = atom->stride;
    const int32_t* neighbors = task.neighbors + atom->neighbors;
    const T* d = task.numbers + atom->edges + 3 * n;
    double* gradient = task.gradient + m * task.member_positions;
    double* virial = task.virial + m * task.member_strain;
    for (int a = 0; a < 3; ++a) {
        const T* qa = q + a * n;
        double own = 0;
        for (int k = 0; k < atom->count; ++k) {
            gradient[3 * neighbors[k] + a] += qa[k];
            own += qa[k];
        }
        gradient[3 * i + a] -= own;
        for (int b = 0; b < 3; ++b) {
            const T* db = d + b * n;
            Vec<T> sum{};
            for (int64_t k = 0; k < n; k += width<T>) sum += load(qa + k) * load(db + k);
            double total = 0;
            for (int k = 0; k < width<T>; ++k) total += sum[k];
            virial[3 * a + b] += total;
        }
    }
}

template <class T>
void collect(const JacobianTask<T>& task, const JacobianAtom* atom, int64_t i, T* q, int m) {
    const int64_t n = atom->stride;
    const int32_t* neighbors = task.neighbors + atom->neighbors;
    const T* d = task.numbers + atom->edges + 3 * n;
    const double* v = task.directions + m * task.member_positions;
    for (int a = 0; a < 3; ++a) {
        T* qa = q + a * n;
        const double own = v[3 * i + a];
        for (int k = 0; k < atom->count; ++k) qa[k] = static_cast<T>(v[3 * neighbors[k] + a] - own);
        if (!task.strain) continue;
        const double* e = task.strain + m * task.member_strain + 3 * a;
        const T x = static_cast<T>(e[0]), y = static_cast<T>(e[1]), z = static_cast<T>(e[2]);
        for (int k = 0; k < atom->count; ++k) qa[k] += x * d[k] + y * d[n + k] + z * d[2 * n + k];
    }
}

template <class T>
MLSAMPLE_INLINE void clear(T* values, int64_t n) {
    for (int64_t k = 0; k < n; ++k) values[k] = 0;
}

template <class T, int M>
void gradient_group(const JacobianTask<T>& task, int first, int64_t i) {
    const JacobianAtom* atom = task.atoms + i;
    T *p = task.scratch, *q = p + M * static_cast<int64_t>(atom->columns);
    clear(p, M * static_cast<int64_t>(atom->columns));
    const T* g = task.weights + first * task.member_features + i * task.length;
    for (int64_t b = atom[0].blocks; b < atom[1].blocks; ++b)
        add_rows<T, M>(task.blocks[b], task.numbers, g, task.member_features, p, atom->columns);
    for (int m = 0; m < M; ++m) {
        clear(q, 3 * static_cast<int64_t>(atom->stride));
        columns_to_vectors(task, atom, p + m * static_cast<int64_t>(atom->columns), q);
        scatter(task, atom, i, q, first + m);
    }
}

template <class T, int M>
void tangent_group(const JacobianTask<T>& task, int first, int64_t i) {
    const JacobianAtom* atom = task.atoms + i;
    T *t = task.scratch, *q = t + M * static_cast<int64_t>(atom->columns);
    clear(t, M * static_cast<int64_t>(atom->columns));
    for (int m = 0; m < M; ++m) {
        collect(task, atom, i, q, first + m);
        vectors_to_columns(task, atom, q, t + m * static_cast<int64_t>(atom->columns));
    }
    T* out = task.aev + first * task.member_features + i * task.length;
    for (int m = 0; m < M; ++m) clear(out + m * task.member_features, task.length);
    for (int64_t b = atom[0].blocks; b < atom[1].blocks; ++b)
        add_columns<T, M>(task.blocks[b], task.numbers, t, atom->columns, out, task.member_features);
}

template <class T>
void gradient(const JacobianTask<T>& task) {
    for (int64_t i = task.begin; i < task.end; ++i) {
        int m = 0;
        for (; m + group <= task.members; m += group) gradient_group<T, group>(task, m, i);
        for (; m < task.members; ++m) gradient_group<T, 1>(task, m, i);
    }
}

template <class T>
void tangent(const JacobianTask<T>& task) {
    for (int64_t i = task.begin; i < task.end; ++i) {
        int m = 0;
        for (; m + group <= task.members; m += group) tangent_group<T, group>(task, m, i);
        for (; m < task.members; ++m) tangent_group<T, 1>(task, m, i);
    }
}

}  // namespace

void jacobian_gradient(const JacobianTask<float>& task) { gradient(task); }
void jacobian_gradient_double(const JacobianTask<double>& task) { gradient(task); }
void jacobian_tangent(const JacobianTask<float>& task) { tangent(task); }
void jacobian_tangent_double(const JacobianTask<double>& task) { tangent(task); }

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
