// Activations and their derivatives on short vectors. Included only by network_kernels.cpp.
#pragma once

#include "aev_simd.hpp"
#include "network_kernels.hpp"

namespace mlsample {
namespace MLSAMPLE_ISA {
namespace {

template <class T>
struct Activated {
    Vec<T> value, slope, curvature;  // f, f' and f''; what is not used costs nothing
};

template <class T>
MLSAMPLE_INLINE Vec<T> exponential(Vec<T> x) {  // of x <= 0
    return exp2<T>(x * T(1.4426950408889634074));
}

template <class T>
MLSAMPLE_INLINE Vec<T> below_zero(Vec<T> x) {
    return x < Vec<T>{} ? x : Vec<T>{};
}

template <class T>
MLSAMPLE_INLINE Vec<T> magnitude(Vec<T> x) {
    return x < Vec<T>{} ? -x : x;
}

// exp(z^2) erfc(z) for z >= 0: Chebyshev fits in 6 / (3 + z) - 1, errors of erfc 2e-7 and 1e-15.
MLSAMPLE_INLINE Vec<float> scaled_erfc(Vec<float> s) {
    const float c[] = {4.68642279266549204e-5f, -1.8319842271031e-5f,     -5.81224376819214656e-4f,
                       -7.32222627415053e-4f,   4.26246296684494855e-3f,  0.0244027384926371871f,
                       0.0716670069862500633f,  0.15011414848012481f,     0.245603743643217757f,
                       0.326233648666545568f,   0.17900115118138995f};
    return polynomial<float>(s, c, 11);
}

MLSAMPLE_INLINE Vec<double> scaled_erfc(Vec<double> s) {
    const double c[] = {6.64600336868902482e-10, 8.07188332772663987e-11, -7.13672163644283761e-9,
                        1.73792450195424319e-9,  4.44260054612182701e-8,  -3.24188601841105752e-8,
                        -2.32463352012317046e-7, 2.97322501085048395e-7,  1.25123255576462661e-6,
                        -2.12189112403884135e-6, -7.97765502995170468e-6, 1.28611845396775844e-5,
                        6.40564402886566145e-5,  -4.52554611347997453e-5, -5.97061931538900391e-4,
                        -7.07746415182294912e-4, 4.26913633144050011e-3,  0.0243924993167297744,
                        0.0716658371980315794,   0.150115936500851078,    0.245603801712330275,
                        0.326233560043036393,    0.17900115118138995};
    return polynomial<double>(s, c, 23);
}

template <class T, ActivationKind kind>
MLSAMPLE_INLINE Activated<T> activate(Vec<T> x) {
    const Vec<T> zero{}, one = splat<T>(T(1));
    if constexpr (kind == ActivationKind::celu) {  // alpha = 0.1
        const Vec<T> e = exponential<T>(below_zero<T>(x) * T(10)), low = (e - T(1)) * T(0.1);
        return {x > zero ? x : low, x > zero ? one : e, x > zero ? zero : e * T(10)};
    } else if constexpr (kind == ActivationKind::gelu) {
        const Vec<T> z = magnitude<T>(x) * T(0.70710678118654752440);
        const Vec<T> gauss = exponential<T>(-z * z);
        const Vec<T> tail = gauss * scaled_erfc(T(6) / (z + T(3)) - T(1)) * T(0.5);  // of the normal distribution
        const Vec<T> below = x < zero ? tail : one - tail;
        const Vec<T> density = gauss * T(0.39894228040143267794);
        return {x * below, below + x * density, density * (T(2) - x * x)};
    } else if constexpr (kind == ActivationKind::tanh) {
        const Vec<T> e = exponential<T>(magnitude<T>(x) * T(-2)), t = (one - e) / (one + e);
        const Vec<T> value = x < zero ? -t : t, slope = one - t * t;
        return {value, slope, value * slope * T(-2)};
    } else {  // softplus
        const Vec<T> e = exponential<T>(-magnitude<T>(x)), sum = one + e;
        const Vec<T> high = x > zero ? x : zero;
        const Vec<T> slope = (x < zero ? e : one) / sum;
        return {high + log2<T>(sum) * T(0.69314718055994530942), slope, slope * (one - slope)};
    }
}

template <ActivationKind kind>
struct Fixed {
    static constexpr ActivationKind value = kind;
};

// body(Fixed<kind>()): the kind as a constant of compilation.
template <class Body>
void with_activation(ActivationKind kind, const Body& body) {
    switch (kind) {
        case ActivationKind::celu: return body(Fixed<ActivationKind::celu>());
        case ActivationKind::gelu: return body(Fixed<ActivationKind::gelu>());
        case ActivationKind::softplus: return body(Fixed<ActivationKind::softplus>());
        case ActivationKind::tanh: return body(Fixed<ActivationKind::tanh>());
    }
}

}  // namespace
}  // namespace MLSAMPLE_ISA
}  // namespace mlsample
