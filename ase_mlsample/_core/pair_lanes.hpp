// Eight doubles, in as many vectors of the machine as that takes. Included only by *_kernels.cpp.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define MLSAMPLE_EIGHT inline __attribute__((always_inline))

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 8;
#elif defined(__AVX__)
constexpr int kWidth = 4;
#else
constexpr int kWidth = 2;
#endif
constexpr int kParts = 8 / kWidth;
typedef double Part __attribute__((vector_size(8 * kWidth)));

struct Eight {
    Part part[kParts];
};

template <int...>
struct Numbers {};
#if defined(__AVX512F__)
typedef Numbers<0> EachPart;
#elif defined(__AVX__)
typedef Numbers<0, 1> EachPart;
#else
typedef Numbers<0, 1, 2, 3> EachPart;
#endif

// Written out and not as a loop: the compiler takes parts with constant numbers apart early, into registers.
template <class Operation, int... P>
MLSAMPLE_EIGHT Eight each(const Operation& operation, Numbers<P...>) {
    return {{operation(P)...}};
}

template <class Operation>
MLSAMPLE_EIGHT Eight each(const Operation& operation) {
    return each(operation, EachPart{});
}

MLSAMPLE_EIGHT Eight operator+(const Eight& a, const Eight& b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] + b.part[p]; });
}
MLSAMPLE_EIGHT Eight operator-(const Eight& a, const Eight& b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] - b.part[p]; });
}
MLSAMPLE_EIGHT Eight operator*(const Eight& a, const Eight& b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] * b.part[p]; });
}
MLSAMPLE_EIGHT Eight operator/(const Eight& a, const Eight& b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] / b.part[p]; });
}
MLSAMPLE_EIGHT Eight operator+(const Eight& a, double b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] + b; });
}
MLSAMPLE_EIGHT Eight operator-(const Eight& a, double b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] - b; });
}
MLSAMPLE_EIGHT Eight operator*(const Eight& a, double b) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] * b; });
}
MLSAMPLE_EIGHT Eight operator*(double a, const Eight& b) { return b * a; }
MLSAMPLE_EIGHT Eight& operator+=(Eight& a, const Eight& b) { return a = a + b; }
MLSAMPLE_EIGHT Eight& operator-=(Eight& a, const Eight& b) { return a = a - b; }

MLSAMPLE_EIGHT Eight splat(double x) {
    return each([&](int) __attribute__((always_inline)) { return x - Part{}; });
}

MLSAMPLE_EIGHT Eight get(const double* from) {
    return each([&](int p) __attribute__((always_inline)) {
        Part out;
        __builtin_memcpy(&out, from + kWidth * p, sizeof out);
        return out;
    });
}

template <int... P>
MLSAMPLE_EIGHT void put(double* to, const Eight& v, Numbers<P...>) {
    (__builtin_memcpy(to + kWidth * P, &v.part[P], sizeof(Part)), ...);
}
MLSAMPLE_EIGHT void put(double* to, const Eight& v) { put(to, v, EachPart{}); }

// where a < b: x, else y
MLSAMPLE_EIGHT Eight where_less(const Eight& a, const Eight& b, const Eight& x, const Eight& y) {
    return each([&](int p) __attribute__((always_inline)) { return a.part[p] < b.part[p] ? x.part[p] : y.part[p]; });
}
MLSAMPLE_EIGHT Eight lower(const Eight& a, const Eight& b) { return where_less(a, b, a, b); }
MLSAMPLE_EIGHT Eight size(const Eight& a) {
    typedef uint64_t Bits __attribute__((vector_size(8 * kWidth)));
    return each([&](int p) __attribute__((always_inline)) { return (Part)((Bits)a.part[p] & ~uint64_t{0} >> 1); });
}

MLSAMPLE_EIGHT Eight root(const Eight& x) {
    return each([&](int p) __attribute__((always_inline)) {
        Part out;
        for (int k = 0; k < kWidth; ++k) out[k] = __builtin_sqrt(x.part[p][k]);
        return out;
    });
}

// Nearest whole number, for |x| < 2^51.
MLSAMPLE_EIGHT Eight nearest(const Eight& x) {
    constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
    return (x + kMagic) - kMagic;
}

MLSAMPLE_EIGHT double sum(const Eight& v) {
    double x[8];
    put(x, v);
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

// Bit k is set where a[k] < b[k].
MLSAMPLE_EIGHT unsigned less(const Eight& a, const Eight& b) {
#if defined(__AVX512F__)
    return _mm512_cmp_pd_mask((__m512d)a.part[0], (__m512d)b.part[0], _CMP_LT_OQ);
#elif defined(__AVX__)
    const int low = _mm256_movemask_pd((__m256d)(a.part[0] < b.part[0]));
    const int high = _mm256_movemask_pd((__m256d)(a.part[1] < b.part[1]));
    return static_cast<unsigned>(low | high << 4);
#elif defined(__SSE2__)
    unsigned bits = 0;
    for (int p = 0; p < 4; ++p)
        bits |= static_cast<unsigned>(_mm_movemask_pd((__m128d)(a.part[p] < b.part[p]))) << 2 * p;
    return bits;
#else
    unsigned bits = 0;
    for (int k = 0; k < 8; ++k)
        bits |= static_cast<unsigned>(a.part[k / kWidth][k % kWidth] < b.part[k / kWidth][k % kWidth]) << k;
    return bits;
#endif
}

// Adds eight vectors (x, y, z) to the places of a (N,4) array; places may be the same.
MLSAMPLE_EIGHT void scatter(const Eight& x, const Eight& y, const Eight& z, const int32_t* places, double* to) {
    alignas(64) double rows[32];
#if defined(__AVX512F__)
    const Part zero{}, X = x.part[0], Y = y.part[0], Z = z.part[0];
    const Part a = __builtin_shufflevector(X, Y, 0, 8, 1, 9, 2, 10, 3, 11);
    const Part b = __builtin_shufflevector(Z, zero, 0, 8, 1, 9, 2, 10, 3, 11);
    const Part c = __builtin_shufflevector(X, Y, 4, 12, 5, 13, 6, 14, 7, 15);
    const Part d = __builtin_shufflevector(Z, zero, 4, 12, 5, 13, 6, 14, 7, 15);
    put(rows, {__builtin_shufflevector(a, b, 0, 1, 8, 9, 2, 3, 10, 11)});
    put(rows + 8, {__builtin_shufflevector(a, b, 4, 5, 12, 13, 6, 7, 14, 15)});
    put(rows + 16, {__builtin_shufflevector(c, d, 0, 1, 8, 9, 2, 3, 10, 11)});
    put(rows + 24, {__builtin_shufflevector(c, d, 4, 5, 12, 13, 6, 7, 14, 15)});
#elif defined(__AVX__)
    for (int p = 0; p < 2; ++p) {
        const Part zero{}, X = x.part[p], Y = y.part[p], Z = z.part[p];
        const Part a = __builtin_shufflevector(X, Y, 0, 4, 2, 6), b = __builtin_shufflevector(Z, zero, 0, 4, 2, 6);
        const Part c = __builtin_shufflevector(X, Y, 1, 5, 3, 7), d = __builtin_shufflevector(Z, zero, 1, 5, 3, 7);
        const Part out[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(c, d, 0, 1, 4, 5),
                             __builtin_shufflevector(a, b, 2, 3, 6, 7), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
        __builtin_memcpy(rows + 16 * p, out, sizeof out);
    }
#else
    double columns[24];
    put(columns, x);
    put(columns + 8, y);
    put(columns + 16, z);
    for (int k = 0; k < 32; ++k) rows[k] = k % 4 < 3 ? columns[8 * (k % 4) + k / 4] : 0.0;
#endif
    for (int k = 0; k < 8; ++k) {
        double* place = to + 4 * static_cast<int64_t>(places[k]);
#if defined(__AVX__)
        const __m256d total = _mm256_add_pd(_mm256_loadu_pd(place), _mm256_load_pd(rows + 4 * k));
        _mm256_storeu_pd(place, total);
#else
        for (int a = 0; a < 3; ++a) place[a] += rows[4 * k + a];
#endif
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
