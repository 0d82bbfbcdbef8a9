// Short vectors as wide as the instruction set, and the few functions that the AEV kernels need on them. Included
// only by *_kernels.cpp, inside the namespace of the instruction set. Errors of the polynomials (Chebyshev fits):
// exp2 2e-9 and 3e-18, log2 1e-9 and 3e-18 for single and double.
#pragma once

#include <cstdint>

#if defined(__AVX512F__)
#define MLSAMPLE_VECTOR_BYTES 64
#elif defined(__AVX__)
#define MLSAMPLE_VECTOR_BYTES 32
#else
#define MLSAMPLE_VECTOR_BYTES 16
#endif
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

// out[k] = sum of the lanes of rows[k]; count is a multiple of the width, rows are destroyed.
template <class T>
MLSAMPLE_INLINE void sum_lanes(Vec<T>* rows, int count, T* out) {
    for (int first = 0; first < count; first += width<T>) {
        Vec<T>* x = rows + first;
        for (int h = width<T> / 2; h >= 1; h /= 2) {
            for (int k = 0; k < h; ++k) x[k] = merge<T>(x[k], x[k + h]);
        }
        store(out + first, x[0]);
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
