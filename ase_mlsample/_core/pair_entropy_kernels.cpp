#include "pair_entropy_kernels.hpp"

#include "pair_lanes.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

constexpr double kFloor = 1e-14;  // square of the g below which g ln g is rounded off, so that g may pass zero

// Natural logarithm of normal positive numbers.
MLSAMPLE_EIGHT Eight logarithm(const Eight& x) {
    typedef uint64_t Bits __attribute__((vector_size(8 * kWidth)));
    constexpr uint64_t kHalfRoot = 0x3fe6a09e667f3bcd, kOne = uint64_t{1023} << 52, kMagic = 0x4338000000000000;
    return each([&](int p) __attribute__((always_inline)) {
        const Bits bits = (Bits)x.part[p];
        const Bits exponent = (bits - kHalfRoot + kOne) >> 52;
        const Part m = (Part)(bits - (exponent << 52) + kOne);  // in [1/sqrt 2, sqrt 2)
        const Part whole = (Part)(exponent + kMagic) - (6755399441055744.0 + 1023.0);
        const Part s = (m - 1.0) / (m + 1.0), y = s * s;
        Part series = y * (2.0 / 21.0) + 2.0 / 19.0;
        series = series * y + 2.0 / 17.0;
        series = series * y + 2.0 / 15.0;
        series = series * y + 2.0 / 13.0;
        series = series * y + 2.0 / 11.0;
        series = series * y + 2.0 / 9.0;
        series = series * y + 2.0 / 7.0;
        series = series * y + 2.0 / 5.0;
        series = series * y + 2.0 / 3.0;
        series = series * y + 2.0;
        return whole * 0.693147180559945309417 + s * series;
    });
}

struct Places {
    double from[8], t[8], r[8];  // first of the six grid points, rest of the distance, distance
};

MLSAMPLE_EIGHT void find_places(const EntropyTask& task, int64_t e, Places& places) {
    const Eight r = root(get(task.square + e)), x = r * (1.0 / task.grid.step), below = nearest(x - 0.5);
    put(places.from, below + static_cast<double>(task.grid.offset - 2));
    put(places.t, x - below);
    put(places.r, r);
}

// out[k] = sum of gauss[|d|] in[k + d] for k = 0 .. count, rounded up to fours; eight rows in the lanes.
MLSAMPLE_EIGHT void convolve(const EntropyGrid& grid, const double* in, int64_t count, double* out) {
    for (int64_t k = 0; k < count; k += 4) {
        const double* from = in + 8 * k;
        Eight total[4];
        for (int h = 0; h < 4; ++h) total[h] = grid.gauss[0] * get(from + 8 * h);
        for (int64_t d = 1; d <= grid.width; ++d) {
            const double share = grid.gauss[d];
            for (int h = 0; h < 4; ++h)
                total[h] += share * (get(from + 8 * (h - d)) + get(from + 8 * (h + d)));
        }
        for (int h = 0; h < 4; ++h) put(out + 8 * (k + h), total[h]);
    }
}

// Entropies of the rows in the lanes from their g times the number, which is replaced by the derivatives by it.
MLSAMPLE_EIGHT void integrate(const EntropyRows& task, double* g, Eight& entropy, Eight& change) {
    const double step = task.grid.step;
    const double number = 4.0 * 3.14159265358979323846 * task.density * task.atoms * step * step;
    entropy = change = Eight{};
    put(g, Eight{});  // at r = 0 there is no g
    for (int64_t k = 1; k <= task.grid.points; ++k) {
        const double square = static_cast<double>(k * k), share = task.shares[k];
        const Eight value = get(g + 8 * k) * (1.0 / (number * square));
        const Eight squared = value * value + kFloor, log = 0.5 * logarithm(squared);
        const Eight slope = log + value * value / squared - 1.0;
        entropy += (share * square) * (value * log - value + 1.0);
        change += (share * square) * (value * slope);
        put(g + 8 * k, share * slope);
    }
}

}  // namespace

void entropy_deposit(const EntropyTask& task, int64_t begin, int64_t end) {
    Eight spline[6];
    const double times = task.stride ? 1.0 : 2.0;  // with one row for all, both directions at once
    for (int p = 0; p < 6; ++p) spline[p] = get(task.spline[p]) * times;
    Places places;
    for (int64_t i = begin; i < end; ++i) {
        double* own = task.rows + i * task.stride;
        for (int64_t e = task.first[i]; e < task.first[i + 1]; e += 8) {
            find_places(task, e, places);
            for (int k = 0; k < 8; ++k) {
                Eight count = spline[5];
                for (int p = 4; p >= 0; --p) count = count * splat(places.t[k]) + spline[p];
                const auto from = static_cast<int64_t>(places.from[k]);
                put(own + from, get(own + from) + count);
                if (!task.stride) continue;
                double* other = task.rows + task.second[e + k] * task.stride + from;
                put(other, get(other) + count);
            }
        }
    }
}

void entropy_rows(const EntropyRows& task, int64_t begin, int64_t end) {
    const EntropyGrid& grid = task.grid;
    const int64_t last = grid.points + grid.width;  // grid point that the Gaussian of the last one touches
    double* counts = task.scratch;
    double* g = task.scratch + 8 * (grid.length + grid.offset);
    const double volume = 2.0 * 3.14159265358979323846 * task.density * grid.step * grid.step * grid.step;
    const double scale = -0.5 * grid.step / task.atoms;
    for (int64_t first = begin; first < end; first += 8) {
        const int lanes = static_cast<int>(end - first < 8 ? end - first : 8);
        double* rows = task.rows + first * grid.length;
        for (int64_t k = 0; k < grid.length; ++k)
            for (int lane = 0; lane < 8; ++lane)
                counts[8 * k + lane] = lane < lanes ? rows[lane * grid.length + k] : 0.0;
        for (int64_t k = 0; k < 8 * grid.length; ++k) task.scratch[8 * grid.length + k] = 0.0;
        convolve(grid, counts + 8 * grid.offset, grid.points + 1, g);
        for (int64_t k = grid.points + 1; k < grid.points + 5; ++k) put(g + 8 * k, Eight{});
        Eight entropy, change;
        integrate(task, g, entropy, change);
        convolve(grid, g - 64, last + 9, counts + 8 * (grid.offset - 8));  // from well before r = 0
        double values[8], changes[8];
        put(values, entropy);
        put(changes, change);
        for (int lane = 0; lane < lanes; ++lane) {
            task.values[first + lane] = -volume * values[lane];
            task.by_density[first + lane] = volume * (changes[lane] - values[lane]);
            for (int64_t k = 0; k < grid.length; ++k) {
                const bool touched = k >= grid.offset - 8 && k <= grid.offset + last;
                rows[lane * grid.length + k] = touched ? scale * counts[8 * k + lane] : 0.0;
            }
        }
    }
}

void entropy_slopes(const EntropyTask& task, int64_t begin, int64_t end) {
    Eight spline[5];
    const double times = task.stride ? 1.0 : 2.0;
    for (int p = 0; p < 5; ++p) spline[p] = get(task.spline[p + 1]) * (times * (p + 1) / task.grid.step);
    const Eight limit = splat(task.cutoff_squared);
    Places places;
    for (int64_t i = begin; i < end; ++i) {
        const double* own = task.rows + i * task.stride;
        for (int64_t e = task.first[i]; e < task.first[i + 1]; e += 8) {
            find_places(task, e, places);
            double found[8];
            for (int k = 0; k < 8; ++k) {
                const int64_t j = task.second[e + k], from = static_cast<int64_t>(places.from[k]);
                Eight slope = spline[4];
                for (int p = 3; p >= 0; --p) slope = slope * splat(places.t[k]) + spline[p];
                Eight by_count = task.weights[i] * get(own + from);
                if (task.stride) by_count += task.weights[j] * get(task.rows + j * task.stride + from);
                found[k] = sum(slope * by_count);
            }
            const Eight inside = where_less(get(task.square + e), limit, get(found), Eight{});
            put(task.slopes + e, inside / get(places.r));
        }
    }
}

}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
