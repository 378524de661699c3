// The cells themselves, element by element: what happens to one row of gates between two products. The equations and
// their derivatives are those of memory/{elman,lstm,gru}.py.
#pragma once

#include "layer.h"
#include "vector.h"

namespace throughtime::THROUGHTIME_ISA {

template <class S>
inline V<S> activate(Activation f, V<S> x) {
  switch (f) {
    case kTanh: return tanh(x);
    case kSigmoid: return sigmoid<S>(x);
    case kRelu: return x < S(0) ? V<S>{} : x;  // a NaN stays one
    case kIdentity: break;
  }
  return x;
}

// f' from f's value.
template <class S>
inline V<S> slope(Activation f, V<S> y) {
  switch (f) {
    case kTanh: return S(1) - y * y;
    case kSigmoid: return y * (S(1) - y);
    case kRelu: return y > S(0) ? V<S>{} + S(1) : V<S>{};
    case kIdentity: break;
  }
  return V<S>{} + S(1);
}

// A row of pre-activations becomes one of gates; h and c move on one step. `n` is padded(H).
template <class S>
inline void elman_row(Activation f, int64_t n, S* gates, S* h) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) store<S>(h + j, activate<S>(f, load<S>(gates + j)));
}

// `peep` [3·n]: the peepholes of i, f and o, or null.
template <class S>
inline void lstm_row(int64_t n, const S* peep, S* gates, S* h, S* c) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> before = load<S>(c + j);
    V<S> i = load<S>(gates + j), f = load<S>(gates + n + j), o = load<S>(gates + 2 * n + j);
    if (peep != nullptr) {
      i += load<S>(peep + j) * before;
      f += load<S>(peep + n + j) * before;
    }
    i = sigmoid<S>(i), f = sigmoid<S>(f);
    const V<S> g = tanh(load<S>(gates + 3 * n + j)), cell = f * before + i * g;
    if (peep != nullptr) o += load<S>(peep + 2 * n + j) * cell;
    o = sigmoid<S>(o);
    store<S>(gates + j, i);
    store<S>(gates + n + j, f);
    store<S>(gates + 2 * n + j, o);
    store<S>(gates + 3 * n + j, g);
    store<S>(c + j, cell);
    store<S>(h + j, o * tanh(cell));
  }
}

// Columns r, z, q = h W_hn + b_hn, and x W_xn + b_n, which becomes n.
template <class S>
inline void gru_after_row(int64_t n, S* gates, S* h) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> r = sigmoid<S>(load<S>(gates + j)), z = sigmoid<S>(load<S>(gates + n + j));
    const V<S> g = tanh(load<S>(gates + 3 * n + j) + r * load<S>(gates + 2 * n + j));
    store<S>(gates + j, r);
    store<S>(gates + n + j, z);
    store<S>(gates + 3 * n + j, g);
    store<S>(h + j, g + z * (load<S>(h + j) - g));
  }
}

// The two halves of the GRU whose reset gate applies before the product; r ∘ h goes through W_hn between them.
template <class S>
inline void gru_before_gates(int64_t n, S* gates, const S* h, S* reset_h) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> r = sigmoid<S>(load<S>(gates + j)), z = sigmoid<S>(load<S>(gates + n + j));
    store<S>(gates + j, r);
    store<S>(gates + n + j, z);
    store<S>(reset_h + j, r * load<S>(h + j));
  }
}

template <class S>
inline void gru_before_row(int64_t n, S* gates, S* h) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> z = load<S>(gates + n + j), g = tanh(load<S>(gates + 2 * n + j));
    store<S>(gates + 2 * n + j, g);
    store<S>(h + j, g + z * (load<S>(h + j) - g));
  }
}

// Backwards: the cotangent of h (and c) after the step becomes that of the pre-activations in `d`, laid out as the
// gates are, and the part of the cotangent of h (and all of c's) before the step that does not pass W_hh.
template <class S>
inline void elman_back(Activation f, int64_t n, const S* y, S* d, S* dh) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    store<S>(d + j, load<S>(dh + j) * slope<S>(f, load<S>(y + j)));
    store<S>(dh + j, V<S>{});
  }
}

// `d_peep` gathers the gradient of the peepholes.
template <class S>
inline void lstm_back(int64_t n, const S* peep, const S* gates, const S* c, const S* c_before, S* d, S* dh, S* dc,
                      S* d_peep) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> i = load<S>(gates + j), f = load<S>(gates + n + j), o = load<S>(gates + 2 * n + j);
    const V<S> g = load<S>(gates + 3 * n + j), squashed = tanh(load<S>(c + j)), d_h = load<S>(dh + j);
    const V<S> before = load<S>(c_before + j), d_o = d_h * squashed * o * (S(1) - o);
    V<S> d_c = load<S>(dc + j) + d_h * o * (S(1) - squashed * squashed);
    if (peep != nullptr) d_c += d_o * load<S>(peep + 2 * n + j);
    const V<S> d_i = d_c * g * i * (S(1) - i), d_f = d_c * before * f * (S(1) - f);
    store<S>(d + j, d_i);
    store<S>(d + n + j, d_f);
    store<S>(d + 2 * n + j, d_o);
    store<S>(d + 3 * n + j, d_c * i * (S(1) - g * g));
    V<S> d_before = d_c * f;
    if (peep != nullptr) {
      d_before += d_i * load<S>(peep + j) + d_f * load<S>(peep + n + j);
      store<S>(d_peep + j, load<S>(d_peep + j) + d_i * before);
      store<S>(d_peep + n + j, load<S>(d_peep + n + j) + d_f * before);
      store<S>(d_peep + 2 * n + j, load<S>(d_peep + 2 * n + j) + d_o * load<S>(c + j));
    }
    store<S>(dc + j, d_before);
    store<S>(dh + j, V<S>{});
  }
}

// Columns of `d`: r, z, q, n.
template <class S>
inline void gru_after_back(int64_t n, const S* gates, const S* h_before, S* d, S* dh) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> r = load<S>(gates + j), z = load<S>(gates + n + j), q = load<S>(gates + 2 * n + j);
    const V<S> g = load<S>(gates + 3 * n + j), d_h = load<S>(dh + j);
    const V<S> d_g = d_h * (S(1) - z) * (S(1) - g * g);
    store<S>(d + j, d_g * q * r * (S(1) - r));
    store<S>(d + n + j, d_h * (load<S>(h_before + j) - g) * z * (S(1) - z));
    store<S>(d + 2 * n + j, d_g * r);
    store<S>(d + 3 * n + j, d_g);
    store<S>(dh + j, d_h * z);
  }
}

template <class S>
inline void gru_before_back_candidate(int64_t n, const S* gates, const S* h_before, S* d, S* dh) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> z = load<S>(gates + n + j), g = load<S>(gates + 2 * n + j), d_h = load<S>(dh + j);
    store<S>(d + n + j, d_h * (load<S>(h_before + j) - g) * z * (S(1) - z));
    store<S>(d + 2 * n + j, d_h * (S(1) - z) * (S(1) - g * g));
    store<S>(dh + j, d_h * z);
  }
}

// `d_reset_h` is the cotangent of r ∘ h, which came back through W_hn; reset_h becomes r ∘ h.
template <class S>
inline void gru_before_back_reset(int64_t n, const S* gates, const S* h_before, const S* d_reset_h, S* reset_h, S* d,
                                  S* dh) {
  for (int64_t j = 0; j < n; j += Simd<S>::L) {
    const V<S> r = load<S>(gates + j), h = load<S>(h_before + j), back = load<S>(d_reset_h + j);
    store<S>(d + j, back * h * r * (S(1) - r));
    store<S>(reset_h + j, r * h);
    store<S>(dh + j, load<S>(dh + j) + back * r);
  }
}

}  // namespace throughtime::THROUGHTIME_ISA
