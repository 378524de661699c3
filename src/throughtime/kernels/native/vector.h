// Vectors of one register, and the functions that a cell needs of them, for whichever instruction set this translation
// unit is compiled for (see setup.py): GCC's and Clang's vector extension, so that one source serves all machines.
//
// What computes lives in a namespace of the instruction set: the same source is compiled several times into one library,
// and an inline function that two of them shared would be linked once, perhaps in the version that this machine lacks.
// (layer.h has a few of those, for sizes; setup.py links the plainest objects first, and theirs are taken.)
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if !defined(THROUGHTIME_ISA) || !defined(THROUGHTIME_VECTOR_BYTES)
#error "THROUGHTIME_ISA (a name) and THROUGHTIME_VECTOR_BYTES are set on the compiler's command line"
#endif

namespace throughtime::THROUGHTIME_ISA {

template <class S>
struct Simd;

template <>
struct Simd<float> {
  typedef float V __attribute__((vector_size(THROUGHTIME_VECTOR_BYTES)));
  static constexpr int L = THROUGHTIME_VECTOR_BYTES / 4;
};

template <>
struct Simd<double> {
  typedef double V __attribute__((vector_size(THROUGHTIME_VECTOR_BYTES)));
  static constexpr int L = THROUGHTIME_VECTOR_BYTES / 8;
};

template <class S>
using V = typename Simd<S>::V;

template <class S>
inline V<S> load(const S* p) {
  V<S> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class S>
inline void store(S* p, V<S> v) {
  std::memcpy(p, &v, sizeof v);
}

// tanh in float: an odd rational function, P(x²)/Q(x²)·x, fitted to the least largest relative error on [−9, 9]
// (2e-8 before rounding, 3.5e-7 after); beyond that tanh is ±1 in float. The result never exceeds 1: a forget gate of
// 1 + ε would make a memory grow. The comparisons are written so that a NaN stays one.
inline V<float> tanh(V<float> x) {
  const float limit = 9.0f;
  x = x > limit ? V<float>{} + limit : x;
  x = x < -limit ? V<float>{} - limit : x;
  const V<float> u = x * x;
  const V<float> p = (((1.3354152450517631e-08f * u + 2.0608749764505774e-05f) * u + 0.0034955700393766165f) * u +
                      0.1338101178407669f) * u + 1.0f;
  const V<float> q = (((7.776359325362137e-07f * u + 0.00032856035977602005f) * u + 0.025876915082335472f) * u +
                      0.4671432673931122f) * u + 1.0f;
  V<float> y = x * p / q;
  y = y > 1.0f ? V<float>{} + 1.0f : y;
  y = y < -1.0f ? V<float>{} - 1.0f : y;
  return y;
}

// In double the kernels serve tests and reference runs: the C library's, one by one.
inline V<double> tanh(V<double> x) {
  for (int i = 0; i < Simd<double>::L; ++i) x[i] = std::tanh(x[i]);
  return x;
}

template <class S>
inline V<S> sigmoid(V<S> x) {
  return S(0.5) * tanh(S(0.5) * x) + S(0.5);
}

}  // namespace throughtime::THROUGHTIME_ISA
