#include "steinhardt_kernels.hpp"

#include "pair_lanes.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

// One neighbour of each of eight atoms.
struct Neighbor {
    Eight x, y, z, inverse, s, slope;  // unit vector, 1/r, switch and its derivative
};

// Lays out the neighbours of atoms begin .. begin + lanes; empty places lie at the outer radius. Returns their number.
int64_t lay_out(const SteinhardtTask& task, int64_t begin, int lanes) {
    int64_t slots = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const int64_t count = task.first[begin + lane + 1] - task.first[begin + lane];
        slots = count > slots ? count : slots;
    }
    for (int lane = 0; lane < 8; ++lane) {
        const int64_t from = lane < lanes ? task.first[begin + lane] : 0;
        const int64_t count = lane < lanes ? task.first[begin + lane + 1] - from : 0;
        for (int64_t k = 0; k < slots; ++k) {
            double* p = task.scratch + 8 * kSteinhardtRows * k + lane;
            const bool there = k < count;
            for (int a = 0; a < 3; ++a)
                p[8 * a] = there ? task.vectors[3 * (from + k) + a] : (a == 0 ? task.outer : 0.0);
            p[24] = there ? task.distances[from + k] : task.outer;
            p[32] = there && task.by_switches ? task.by_switches[from + k] : 0.0;
        }
    }
    return slots;
}

// The switch falls as 1 - t^3 (10 - 15 t + 6 t^2), with two continuous derivatives at both ends.
MLSAMPLE_EIGHT Neighbor neighbor(const SteinhardtTask& task, const double* slot) {
    const Eight r = get(slot + 24), inverse = splat(1.0) / r;
    const double scale = 1.0 / (task.outer - task.inner);
    Eight t = (r - task.inner) * scale;
    t = where_less(t, Eight{}, Eight{}, lower(t, splat(1.0)));
    const Eight left = splat(1.0) - t;
    return {get(slot) * inverse, get(slot + 8) * inverse, get(slot + 16) * inverse, inverse,
            splat(1.0) - t * t * t * ((t * 6.0 - 15.0) * t + 10.0), t * t * left * left * (-30.0 * scale)};
}

template <int L>
struct Harmonics {
    Eight P[(L ? L : kLargestDegree) + 2], re[(L ? L : kLargestDegree) + 1], im[(L ? L : kLargestDegree) + 1];

    MLSAMPLE_EIGHT void fill(const HarmonicTerms& terms, int l, const Neighbor& n) {
        const Eight across = n.x * n.x + n.y * n.y;
        P[l + 1] = Eight{};
        P[l] = splat(terms.top);
#pragma GCC unroll 16
        for (int m = l - 1; m >= 0; --m)
            P[m] = terms.raise[m] * (n.z * P[m + 1]) - terms.lower[m] * (across * P[m + 2]);
        re[0] = splat(1.0);
        im[0] = Eight{};
#pragma GCC unroll 16
        for (int m = 1; m <= l; ++m) {
            re[m] = n.x * re[m - 1] - n.y * im[m - 1];
            im[m] = n.x * im[m - 1] + n.y * re[m - 1];
        }
    }
};

template <int L>
void moments_of(const SteinhardtTask& task, int64_t begin, int64_t end) {
    const int l = L ? L : task.terms.degree;
    Harmonics<L> h{};
    for (int64_t i = begin; i < end; i += 8) {
        const int lanes = static_cast<int>(end - i < 8 ? end - i : 8);
        const int64_t slots = lay_out(task, i, lanes);
        Eight re[(L ? L : kLargestDegree) + 1] = {}, im[(L ? L : kLargestDegree) + 1] = {}, number{};
        for (int64_t k = 0; k < slots; ++k) {
            const Neighbor n = neighbor(task, task.scratch + 8 * kSteinhardtRows * k);
            h.fill(task.terms, l, n);
            number += n.s;
            re[0] += n.s * h.P[0];
#pragma GCC unroll 16
            for (int m = 1; m <= l; ++m) {
                const Eight weight = n.s * h.P[m];
                re[m] += weight * h.re[m];
                im[m] += weight * h.im[m];
            }
            double s[8];
            put(s, n.s);
            for (int lane = 0; lane < lanes; ++lane) {
                const int64_t e = task.first[i + lane] + k;
                if (e < task.first[i + lane + 1]) task.switches[e] = s[lane];
            }
        }
        const Eight inverse = splat(1.0) / root(number * number + task.floor_squared);
        double values[8], other[8];
        put(values, number);
        for (int lane = 0; lane < lanes; ++lane) task.numbers[i + lane] = values[lane];
        for (int m = 0; m <= l; ++m) {
            put(values, re[m] * inverse);
            put(other, im[m] * inverse);
            for (int lane = 0; lane < lanes; ++lane) {
                double* to = task.moments + (i + lane) * task.row;
                to[m ? 2 * m - 1 : 0] = values[lane];
                if (m) to[2 * m] = other[lane];
            }
        }
        for (int lane = 0; lane < lanes; ++lane)
            for (int64_t k = 2 * l + 1; k < task.row; ++k) task.moments[(i + lane) * task.row + k] = 0.0;
    }
}

// Derivatives by moments and numbers, eight atoms in the lanes.
template <int L>
struct Adjoints {
    Eight re[(L ? L : kLargestDegree) + 1], im[(L ? L : kLargestDegree) + 1], number;

    void fill(const SteinhardtTask& task, int l, int64_t begin, int lanes) {
        double rows[2 * kLargestDegree + 1][8] = {}, numbers[8] = {}, by_numbers[8] = {}, along[8] = {};
        for (int lane = 0; lane < lanes; ++lane) {
            const int64_t i = begin + lane;
            numbers[lane] = task.numbers[i];
            by_numbers[lane] = task.by_numbers[i];
            for (int k = 0; k < 2 * l + 1; ++k) {
                rows[k][lane] = task.by_moments[i * task.row + k];
                along[lane] += rows[k][lane] * task.moments[i * task.row + k];
            }
        }
        const Eight n = get(numbers), square = splat(1.0) / (n * n + task.floor_squared), inverse = root(square);
        number = get(by_numbers) - get(along) * n * square;
        re[0] = get(rows[0]) * inverse;
        im[0] = Eight{};
        for (int m = 1; m <= l; ++m) {
            re[m] = get(rows[2 * m - 1]) * inverse;
            im[m] = get(rows[2 * m]) * inverse;
        }
    }
};

struct Vector {
    Eight x, y, z;
};

// Derivative of what the moments are weighted with by the vector to a neighbour.
template <int L>
MLSAMPLE_EIGHT Vector differentiate(const SteinhardtTask& task, int l, const Neighbor& n, const Eight& by_switch,
                                    const Harmonics<L>& h, const Adjoints<L>& a) {
    Eight value = a.re[0] * h.P[0], x{}, y{}, z = a.re[0] * (task.terms.slope[0] * h.P[1]);
#pragma GCC unroll 16
    for (int m = 1; m <= l; ++m) {
        const Eight both = a.re[m] * h.re[m] + a.im[m] * h.im[m], weight = static_cast<double>(m) * h.P[m];
        value += both * h.P[m];
        z += both * (task.terms.slope[m] * h.P[m + 1]);
        x += weight * (a.re[m] * h.re[m - 1] + a.im[m] * h.im[m - 1]);
        y += weight * (a.im[m] * h.re[m - 1] - a.re[m] * h.im[m - 1]);
    }
    const Eight across = n.s * n.inverse, along = x * n.x + y * n.y + z * n.z;
    const Eight radial = n.slope * (value + a.number + by_switch) - across * along;
    return {radial * n.x + across * x, radial * n.y + across * y, radial * n.z + across * z};
}

template <int L>
void pull_of(SteinhardtTask& task, int64_t begin, int64_t end) {
    const int l = L ? L : task.terms.degree;
    Harmonics<L> h{};
    Adjoints<L> adjoints{};
    Eight virial[6] = {};
    for (int64_t i = begin; i < end; i += 8) {
        const int lanes = static_cast<int>(end - i < 8 ? end - i : 8);
        const int64_t slots = lay_out(task, i, lanes);
        adjoints.fill(task, l, i, lanes);
        Vector own{};
        int32_t places[8];
        for (int64_t k = 0; k < slots; ++k) {
            const double* slot = task.scratch + 8 * kSteinhardtRows * k;
            const Neighbor n = neighbor(task, slot);
            h.fill(task.terms, l, n);
            const Vector p = differentiate(task, l, n, get(slot + 32), h, adjoints);
            const Eight x = get(slot), y = get(slot + 8), z = get(slot + 16);
            virial[0] += p.x * x;
            virial[1] += p.y * y;
            virial[2] += p.z * z;
            virial[3] += p.y * z;
            virial[4] += p.x * z;
            virial[5] += p.x * y;
            own.x -= p.x;
            own.y -= p.y;
            own.z -= p.z;
            for (int lane = 0; lane < 8; ++lane) {  // nothing acts in empty places
                const int64_t atom = i + (lane < lanes ? lane : 0), e = task.first[atom] + k;
                places[lane] = lane < lanes && e < task.first[atom + 1] ? task.second[e] : static_cast<int32_t>(i);
            }
            scatter(p.x, p.y, p.z, places, task.gradient);
        }
        for (int lane = 0; lane < 8; ++lane) places[lane] = static_cast<int32_t>(i + (lane < lanes ? lane : 0));
        scatter(own.x, own.y, own.z, places, task.gradient);
    }
    for (int a = 0; a < 6; ++a) task.virial[a] = sum(virial[a]);
}

}  // namespace

void steinhardt_moments(const SteinhardtTask& task, int64_t begin, int64_t end) {
    if (task.terms.degree == 4) return moments_of<4>(task, begin, end);
    if (task.terms.degree == 6) return moments_of<6>(task, begin, end);
    moments_of<0>(task, begin, end);
}

void steinhardt_pull(SteinhardtTask& task, int64_t begin, int64_t end) {
    if (task.terms.degree == 4) return pull_of<4>(task, begin, end);
    if (task.terms.degree == 6) return pull_of<6>(task, begin, end);
    pull_of<0>(task, begin, end);
}

void steinhardt_gather(const MixTask& task, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
        for (int64_t k = 0; k < task.row; k += 8) {
            Eight total{};
            for (int64_t e = task.first[i]; e < task.first[i + 1]; ++e)
                total += task.switches[e] * get(task.others + task.second[e] * task.row + k);
            put(task.out + i * task.row + k, total);
        }
}

void steinhardt_products(const MixTask& task, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
        for (int64_t e = task.first[i]; e < task.first[i + 1]; ++e) {
            Eight total{};
            for (int64_t k = 0; k < task.row; k += 8)
                total += get(task.moments + i * task.row + k) * get(task.others + task.second[e] * task.row + k);
            task.out[e] = sum(total);
        }
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
