// The sum over pairs of neighbours is taken through moments of the neighbours: with g = exp(gamma sigma/(r - a sigma))
// and unit vectors u, sum_jk g_j g_k (u_j.u_k - c)^2 = |T|^2 - 2c |V|^2 + c^2 S^2 for T = sum g uu, V = sum g u,
// S = sum g, so that the work grows with the neighbours and not with the triplets. Lanes of a vector are centres.
#include "stillinger_weber_kernels.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr int kLanes = 8;

// Values of one neighbour slot of eight centres.
struct Slot {
    double *x, *y, *z, *r, *g, *dg, *pair, *inverse;
};

inline Slot slot(double* scratch, int64_t k) {
    double* p = scratch + k * kStillingerWeberRows * kLanes;
    return {p,          p + kLanes,     p + 2 * kLanes, p + 3 * kLanes,
            p + 4 * kLanes, p + 5 * kLanes, p + 6 * kLanes, p + 7 * kLanes};
}

// exp for x <= 0, to 1 unit in the last place; zero below -700.
inline double exponential(double x) {
    constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it leaves the integer in the low bits
    const bool vanishes = x < -700.0;
    x = vanishes ? -700.0 : x;
    const double shifted = x * 1.4426950408889634074 + kMagic;
    const double n = shifted - kMagic;
    const double y = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800.0;
    p = p * y + 1.0 / 479001600.0;
    p = p * y + 1.0 / 39916800.0;
    p = p * y + 1.0 / 3628800.0;
    p = p * y + 1.0 / 362880.0;
    p = p * y + 1.0 / 40320.0;
    p = p * y + 1.0 / 5040.0;
    p = p * y + 1.0 / 720.0;
    p = p * y + 1.0 / 120.0;
    p = p * y + 1.0 / 24.0;
    p = p * y + 1.0 / 6.0;
    p = p * y + 0.5;
    p = p * y + 1.0;
    p = p * y + 1.0;
    uint64_t bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double scale;
    __builtin_memcpy(&scale, &bits, sizeof scale);
    return vanishes ? 0.0 : p * scale;
}

// Lays out the neighbours of centres begin .. begin + lanes; empty places lie beyond the cutoff. Returns the slots.
int64_t load(const StillingerWeberTask& task, int64_t begin, int lanes) {
    int64_t slots = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const int64_t count = task.first[begin + lane + 1] - task.first[begin + lane];
        slots = count > slots ? count : slots;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
        const int64_t from = lane < lanes ? task.first[begin + lane] : 0;
        const int64_t count = lane < lanes ? task.first[begin + lane + 1] - from : 0;
        for (int64_t k = 0; k < count; ++k) {
            const Slot s = slot(task.scratch, k);
            s.x[lane] = task.vectors[3 * (from + k)];
            s.y[lane] = task.vectors[3 * (from + k) + 1];
            s.z[lane] = task.vectors[3 * (from + k) + 2];
            s.r[lane] = task.distances[from + k];
        }
        for (int64_t k = count; k < slots; ++k) {
            const Slot s = slot(task.scratch, k);
            s.x[lane] = task.cutoff;
            s.y[lane] = s.z[lane] = 0.0;
            s.r[lane] = task.cutoff;
        }
    }
    return slots;
}

struct Moments {
    double S[kLanes], squares[kLanes], V[3][kLanes], T[6][kLanes], energy[kLanes];
};

// Pair energies, exponentials and moments; vectors become unit vectors.
void accumulate(const StillingerWeberTask& task, int64_t slots, Moments& m) {
    for (int lane = 0; lane < kLanes; ++lane) {
        m.S[lane] = m.squares[lane] = m.energy[lane] = 0.0;
        for (auto& row : m.V) row[lane] = 0.0;
        for (auto& row : m.T) row[lane] = 0.0;
    }
    for (int64_t k = 0; k < slots; ++k) {
        const Slot s = slot(task.scratch, k);
#pragma omp simd
        for (int lane = 0; lane < kLanes; ++lane) {
            const double inverse = 1.0 / s.r[lane];
            double gap = s.r[lane] - task.cutoff;
            gap = gap > -1e-12 ? -1e-12 : gap;
            const double reach = 1.0 / gap;
            const double e = exponential(task.sigma * reach);
            const double g = exponential(task.gamma_sigma * reach);
            const double square = inverse * inverse;
            const double core = task.B_sigma4 * (square * square);
            m.energy[lane] += 0.5 * task.pair_scale * (core - 1.0) * e;
            s.pair[lane] = -0.5 * task.pair_scale * e *
                           (4.0 * core * inverse + (core - 1.0) * task.sigma * reach * reach);
            s.g[lane] = g;
            s.dg[lane] = -task.gamma_sigma * reach * reach * g;
            s.inverse[lane] = inverse;
            const double x = s.x[lane] * inverse, y = s.y[lane] * inverse, z = s.z[lane] * inverse;
            s.x[lane] = x;
            s.y[lane] = y;
            s.z[lane] = z;
            m.S[lane] += g;
            m.squares[lane] += g * g;
            m.V[0][lane] += g * x;
            m.V[1][lane] += g * y;
            m.V[2][lane] += g * z;
            m.T[0][lane] += g * x * x;
            m.T[1][lane] += g * y * y;
            m.T[2][lane] += g * z * z;
            m.T[3][lane] += g * y * z;
            m.T[4][lane] += g * x * z;
            m.T[5][lane] += g * x * y;
        }
    }
}

void triplet_energies(const StillingerWeberTask& task, Moments& m) {
    const double c = task.cos_theta0;
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
        double tensor = 0.0, vector = 0.0;
        for (int a = 0; a < 3; ++a) {
            tensor += m.T[a][lane] * m.T[a][lane] + 2.0 * m.T[a + 3][lane] * m.T[a + 3][lane];
            vector += m.V[a][lane] * m.V[a][lane];
        }
        m.energy[lane] += 0.5 * task.triplet_scale *
                          (tensor - 2.0 * c * vector + c * c * m.S[lane] * m.S[lane] -
                           (1.0 - c) * (1.0 - c) * m.squares[lane]);
    }
}

// Gradients of the centres' energies by their neighbours' displacements, left in x, y, z; sums the virial.
void differentiate(const StillingerWeberTask& task, int64_t slots, const Moments& m, double (*virial)[kLanes]) {
    const double c = task.cos_theta0, self = (1.0 - c) * (1.0 - c);
    for (int64_t k = 0; k < slots; ++k) {
        const Slot s = slot(task.scratch, k);
#pragma omp simd
        for (int lane = 0; lane < kLanes; ++lane) {
            const double x = s.x[lane], y = s.y[lane], z = s.z[lane], g = s.g[lane];
            const double vx = m.V[0][lane], vy = m.V[1][lane], vz = m.V[2][lane];
            const double tx = m.T[0][lane] * x + m.T[5][lane] * y + m.T[4][lane] * z;
            const double ty = m.T[5][lane] * x + m.T[1][lane] * y + m.T[3][lane] * z;
            const double tz = m.T[4][lane] * x + m.T[3][lane] * y + m.T[2][lane] * z;
            const double q = tx * x + ty * y + tz * z, v = vx * x + vy * y + vz * z;
            const double by_g = task.triplet_scale * (q - 2.0 * c * v + c * c * m.S[lane] - self * g);
            const double across = 2.0 * task.triplet_scale * g * s.inverse[lane];
            const double along = by_g * s.dg[lane] + s.pair[lane] - across * (q - c * v);
            const double px = along * x + across * (tx - c * vx);
            const double py = along * y + across * (ty - c * vy);
            const double pz = along * z + across * (tz - c * vz);
            const double r = s.r[lane];
            virial[0][lane] += r * px * x;
            virial[1][lane] += r * py * y;
            virial[2][lane] += r * pz * z;
            virial[3][lane] += r * py * z;
            virial[4][lane] += r * px * z;
            virial[5][lane] += r * px * y;
            s.x[lane] = px;
            s.y[lane] = py;
            s.z[lane] = pz;
        }
    }
}

void scatter(const StillingerWeberTask& task, int64_t begin, int lanes) {
    for (int lane = 0; lane < lanes; ++lane) {
        const int64_t i = begin + lane, from = task.first[i], count = task.first[i + 1] - from;
        double fx = 0.0, fy = 0.0, fz = 0.0;
        for (int64_t k = 0; k < count; ++k) {
            const Slot s = slot(task.scratch, k);
            double* other = task.forces + 3 * static_cast<int64_t>(task.second[from + k]);
            fx += s.x[lane];
            fy += s.y[lane];
            fz += s.z[lane];
            other[0] -= s.x[lane];
            other[1] -= s.y[lane];
            other[2] -= s.z[lane];
        }
        task.forces[3 * i] += fx;
        task.forces[3 * i + 1] += fy;
        task.forces[3 * i + 2] += fz;
    }
}

}  // namespace

void stillinger_weber(StillingerWeberTask& task, int64_t begin, int64_t end) {
    double virial[6][kLanes] = {};
    Moments m;
    for (int64_t i = begin; i < end; i += kLanes) {
        const int lanes = static_cast<int>(end - i < kLanes ? end - i : kLanes);
        const int64_t slots = load(task, i, lanes);
        accumulate(task, slots, m);
        triplet_energies(task, m);
        differentiate(task, slots, m, virial);
        scatter(task, i, lanes);
        for (int lane = 0; lane < lanes; ++lane) task.energies[i + lane] = m.energy[lane];
    }
    for (int a = 0; a < 6; ++a) {
        task.virial[a] = 0.0;
        for (int lane = 0; lane < kLanes; ++lane) task.virial[a] += virial[a][lane];
    }
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
