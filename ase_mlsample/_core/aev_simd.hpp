// Short vectors as wide as the instruction set, and the few functions that the AEV kernels need on them. Included
// only by *_kernels.cpp, inside the namespace of the instruction set. Errors of the polynomials (Chebyshev fits):
// exp2 2e-9 and 3e-18, log2 1e-9 and 3e-18 for single and double.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define MLSAMPLE_VECTOR_BYTES 64
#elif defined(__AVX__)
#define MLSAMPLE_VECTOR_BYTES 32
#else
#define MLSAMPLE_VECTOR_BYTES 16
#endif
#define MLSAMPLE_LAMBDA __attribute__((always_inline))
#define MLSAMPLE_INLINE inline __attribute__((always_inline))

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

template <class T>
struct Lanes;

template <>
struct Lanes<float> {
    typedef float V __attribute__((vector_size(MLSAMPLE_VECTOR_BYTES)));
    typedef uint32_t U __attribute__((vector_size(MLSAMPLE_VECTOR_BYTES)));
    typedef int32_t I __attribute__((vector_size(MLSAMPLE_VECTOR_BYTES)));
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float magic = 12582912.0f;      // 1.5 * 2^23: adding it rounds to an integer in the low bits
    static constexpr uint32_t magic_bits = 0x4b400000, half_root = 0x3f3504f3;  // of sqrt(1/2)
    static constexpr float lowest = -50.0f;          // exp2 below this is taken as zero: no denormal products
    static constexpr float tiny = 1e-30f;
};

template <>
struct Lanes<double> {
    typedef double V __attribute__((vector_size(MLSAMPLE_VECTOR_BYTES)));
    typedef uint64_t U __attribute__((vector_size(MLSAMPLE_VECTOR_BYTES)));
    typedef int64_t I __attribute__((vector_size(MLSAMPLE_VECTOR_BYTES)));
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr uint64_t magic_bits = 0x4338000000000000, half_root = 0x3fe6a09e667f3bcd;
    static constexpr double lowest = -200.0, tiny = 1e-250;
};

template <class T>
using Vec = typename Lanes<T>::V;
template <class T>
constexpr int width = MLSAMPLE_VECTOR_BYTES / sizeof(T);

template <class T>
MLSAMPLE_INLINE Vec<T> load(const T* p) {
    Vec<T> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
MLSAMPLE_INLINE void store(T* p, Vec<T> v) {
    __builtin_memcpy(p, &v, sizeof v);
}

template <class T>
MLSAMPLE_INLINE Vec<T> splat(T x) {
    return x - Vec<T>{};
}

template <class T>
MLSAMPLE_INLINE Vec<T> root(Vec<T> x) {
    Vec<T> result;
    for (int k = 0; k < width<T>; ++k) result[k] = sizeof(T) == 4 ? __builtin_sqrtf(x[k]) : __builtin_sqrt(x[k]);
    return result;
}

// 1 / sqrt(x) for normal positive x, to a few units in the last place.
MLSAMPLE_INLINE Vec<double> inverse_root(Vec<double> x) { return 1.0 / root<double>(x); }

MLSAMPLE_INLINE Vec<float> inverse_root(Vec<float> x) {
#if defined(__AVX512F__)
    const Vec<float> y = (Vec<float>)_mm512_rsqrt14_ps((__m512)x);
#elif defined(__AVX__)
    const Vec<float> y = (Vec<float>)_mm256_rsqrt_ps((__m256)x);
#elif defined(__SSE2__)
    const Vec<float> y = (Vec<float>)_mm_rsqrt_ps((__m128)x);
#else
    return 1.0f / root<float>(x);
#endif
#if defined(__SSE2__)
    const Vec<float> half = y * 0.5f;
    return y + half * (1.0f - x * y * y);
#endif
}

// While one lives, results too small for a normal number are zero on this thread: some processors take very long
// over them.
class NoDenormals {
#if defined(__SSE2__)
public:
    NoDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~NoDenormals() { _mm_setcsr(before_); }

private:
    const unsigned before_;
#endif
};

template <class T>
MLSAMPLE_INLINE Vec<T> polynomial(Vec<T> x, const T* c, int n) {
    Vec<T> y = splat<T>(c[0]);
    for (int k = 1; k < n; ++k) y = y * x + c[k];
    return y;
}

MLSAMPLE_INLINE Vec<float> exp2_fraction(Vec<float> r) {
    const float c[] = {1.54614446985691291e-4f, 1.34004281776158379e-3f, 9.61805667852463808e-3f,
                       0.0555032722667030206f,  0.240226509222887581f,   0.693147206702832596f,
                       1.0f};
    return polynomial<float>(r, c, 7);
}

MLSAMPLE_INLINE Vec<double> exp2_fraction(Vec<double> r) {
    const double c[] = {4.45581790833606449e-10, 7.07419429728852101e-9, 1.01780570877339411e-7,
                        1.32154325359123762e-6,  1.52527338415567726e-5, 1.54035304637243542e-4,
                        1.33335581464064707e-3,  9.61812910758725667e-3, 0.055504108664821627,
                        0.240226506959101596,    0.693147180559945309,   1.0};
    return polynomial<double>(r, c, 12);
}

// 2^t, zero below Lanes<T>::lowest; t must not exceed the exponent range.
template <class T>
MLSAMPLE_INLINE Vec<T> exp2(Vec<T> t) {
    typedef typename Lanes<T>::U U;
    const Vec<T> shifted = t + Lanes<T>::magic;
    const Vec<T> r = t - (shifted - Lanes<T>::magic);
    const U scaled = (U)exp2_fraction(r) + ((U)shifted << Lanes<T>::mantissa);
    return t < splat<T>(Lanes<T>::lowest) ? Vec<T>{} : (Vec<T>)scaled;
}

// x a as a whole number, returned as it is added to the exponent, and the rest, into which `rest` x is added.
MLSAMPLE_INLINE Lanes<float>::U whole_and_rest(Vec<float> x, float a, float rest, Vec<float>* fraction) {
    typedef Lanes<float>::U U;
    const Vec<float> shifted = x * a + Lanes<float>::magic;
    *fraction = x * a - (shifted - Lanes<float>::magic) + x * rest;
    return (U)shifted << Lanes<float>::mantissa;
}

// 2^(x a) with the rounding of the product taken care of; zero below 2^-126.
MLSAMPLE_INLINE Vec<float> exp2_product(Vec<float> x, float a) {
    typedef Lanes<float>::U U;
    const Vec<float> shifted = x * a + Lanes<float>::magic, fraction = x * a - (shifted - Lanes<float>::magic);
    const U exponent = (U)shifted << Lanes<float>::mantissa;
    return x * a < splat<float>(-126.0f) ? Vec<float>{} : (Vec<float>)((U)exp2_fraction(fraction) + exponent);
}

// 2^t and 2^-t for t = x (a + rest), |t| <= 125.
MLSAMPLE_INLINE void exp2_both(Vec<float> x, float a, float rest, Vec<float>* up, Vec<float>* down) {
    typedef Lanes<float>::U U;
    Vec<float> r;
    const U exponent = whole_and_rest(x, a, rest, &r);
    const Vec<float> square = r * r;
    const Vec<float> even = ((square * 1.54614446985691291e-4f + 9.61805667852463808e-3f) * square +
                             0.240226509222887581f) * square + 1.0f;
    const Vec<float> odd = (square * 1.34004281776158379e-3f + 0.0555032722667030206f) * square +
                           0.693147206702832596f;
    *up = (Vec<float>)((U)(even + r * odd) + exponent);
    *down = (Vec<float>)((U)(even - r * odd) - exponent);
}

MLSAMPLE_INLINE Vec<float> log2_mantissa(Vec<float> m) {
    const float c[] = {0.0948186379869957571f, -0.167650518189843261f, 0.172342592776711256f, -0.179194572395127648f,
                       0.205040021066524018f,  -0.240447570777194252f, 0.2885755897331174f,   -0.360674660095134061f,
                       0.480897904455000851f,  -0.721347511990535827f, 1.44269504175605119f};
    const Vec<float> f = m - 1.0f;
    return f * polynomial<float>(f, c, 11);
}

MLSAMPLE_INLINE Vec<double> log2_mantissa(Vec<double> m) {
    const double c[] = {0.213661225027983272, 0.220912867341801571, 0.262334360603295472, 0.320598534765048142,
                        0.412198585842294187, 0.577078016345514082, 0.961796693925989739, 2.88539008177792681};
    const Vec<double> s = (m - 1.0) / (m + 1.0);
    return s * polynomial<double>(s * s, c, 8);
}

// log2 of a normal positive number.
template <class T>
MLSAMPLE_INLINE Vec<T> log2(Vec<T> y) {
    typedef typename Lanes<T>::U U;
    constexpr auto one = (decltype(Lanes<T>::magic_bits))Lanes<T>::bias << Lanes<T>::mantissa;
    const U bits = (U)y;
    const U exponent = (bits - Lanes<T>::half_root + one) >> Lanes<T>::mantissa;  // biased
    const U mantissa = bits - (exponent << Lanes<T>::mantissa) + one;  // in [1/sqrt 2, sqrt 2)
    const Vec<T> whole = (Vec<T>)(exponent + Lanes<T>::magic_bits) - (Lanes<T>::magic + Lanes<T>::bias);
    return whole + log2_mantissa((Vec<T>)mantissa);
}

// Even lanes: sums of pairs of lanes of a, half a vector apart; odd lanes: the same of b.
template <class T>
MLSAMPLE_INLINE Vec<T> merge(Vec<T> a, Vec<T> b) {
    if constexpr (width<T> == 2) {
        return __builtin_shufflevector(a, b, 0, 2) + __builtin_shufflevector(a, b, 1, 3);
    } else if constexpr (width<T> == 4) {
        return __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    } else if constexpr (width<T> == 8) {
        return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11) +
               __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    } else {
        return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23) +
               __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
}

#if MLSAMPLE_VECTOR_BYTES == 64
// Sums of the lanes of sixteen vectors in memory. Halves come from memory, where shuffles cost nothing.
MLSAMPLE_INLINE void sum_sixteen(const float* rows, float* out) {
    typedef float Half __attribute__((vector_size(32)));
    Vec<float> x[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
        Half part[4];
        __builtin_memcpy(&part[0], rows + 16 * k, 32);
        __builtin_memcpy(&part[1], rows + 16 * k + 8, 32);
        __builtin_memcpy(&part[2], rows + 16 * k + 128, 32);
        __builtin_memcpy(&part[3], rows + 16 * k + 136, 32);
        x[k] = __builtin_shufflevector(part[0], part[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) +
               __builtin_shufflevector(part[1], part[3], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
        const Vec<float> a = x[k], b = x[k + 4];
        x[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
#pragma GCC unroll 2
    for (int k = 0; k < 2; ++k) {
        const Vec<float> a = x[k], b = x[k + 2];
        x[k] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    const Vec<float> a = x[0], b = x[1];
    store(out, __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
                   __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31));
}
#endif

// out[k] = sum of the lanes of rows[k]; count is a multiple of the width.
template <class T>
MLSAMPLE_INLINE void sum_lanes(const Vec<T>* rows, int64_t count, T* out) {
    for (int64_t first = 0; first < count; first += width<T>) {
#if MLSAMPLE_VECTOR_BYTES == 64
        if constexpr (sizeof(T) == 4) {
            sum_sixteen(reinterpret_cast<const float*>(rows + first), out + first);
            continue;
        }
#endif
        Vec<T> x[width<T>];
#pragma GCC unroll 8
        for (int k = 0; k < width<T> / 2; ++k) x[k] = merge<T>(rows[first + k], rows[first + k + width<T> / 2]);
#pragma GCC unroll 4
        for (int h = width<T> / 4; h >= 1; h /= 2) {
#pragma GCC unroll 8
            for (int k = 0; k < h; ++k) x[k] = merge<T>(x[k], x[k + h]);
        }
        store(out + first, x[0]);
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
