// The kernels without Python, for the sanitizers and for machines that only an emulator runs (tests/kernels/
// test_native.py): every array in an allocation of exactly its size, real threads, odd sizes. Outputs are compared with
// a loop over scalars written from the equations, gradients with finite differences of that loop, both in double.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "../../src/throughtime/kernels/native/implementation.h"

using namespace throughtime;

namespace {

std::mt19937 generator(0);

template <class S>
struct Array {
  S* p;
  int64_t n;
  explicit Array(int64_t n, double scale = 0) : p(static_cast<S*>(std::malloc(n * sizeof(S)))), n(n) {
    std::normal_distribution<double> normal;
    for (int64_t i = 0; i < n; ++i) p[i] = S(scale * normal(generator));
  }
  template <class U>
  Array(const U* from, int64_t n) : p(static_cast<S*>(std::malloc(n * sizeof(S)))), n(n) {
    for (int64_t i = 0; i < n; ++i) p[i] = S(from[i]);
  }
  Array(const Array& other) : Array(other.p, other.n) {}
  template <class U>
  explicit Array(const Array<U>& other) : Array(other.p, other.n) {}
  ~Array() { std::free(p); }
};

void run_threads(void*, int64_t count, void (*task)(void*, int64_t), void* argument) {
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < count; ++i) threads.emplace_back(task, argument, i);
  for (auto& thread : threads) thread.join();
}

// Everything that a layer reads.
template <class S>
struct Inputs {
  Array<S> xs, xh, hh, bias, bias_hn, ch, h, c, fresh_h, fresh_c, tap_h, tap_c, w, w_h, w_c;
  explicit Inputs(const Shape& s)
      : xs(s.T * s.B * s.I, 1), xh(s.I * s.gates() * s.H, 0.5), hh(s.H * s.gates() * s.H, 0.5 / std::sqrt(s.H)),
        bias(s.gates() * s.H, 0.5), bias_hn(s.H, 0.5), ch(3 * s.H, 0.5), h(s.B * s.H, 1), c(s.B * s.H, 1),
        fresh_h(s.B * s.H, 1), fresh_c(s.B * s.H, 1), tap_h(s.T * s.B * s.H, 0.1), tap_c(s.T * s.B * s.H, 0.1),
        w(s.T * s.B * s.H, 1), w_h(s.B * s.H, 1), w_c(s.B * s.H, 1) {}
  template <class U>
  explicit Inputs(const Inputs<U>& o)
      : xs(o.xs), xh(o.xh), hh(o.hh), bias(o.bias), bias_hn(o.bias_hn), ch(o.ch), h(o.h), c(o.c), fresh_h(o.fresh_h),
        fresh_c(o.fresh_c), tap_h(o.tap_h), tap_c(o.tap_c), w(o.w), w_h(o.w_h), w_c(o.w_c) {}
};

double f(Activation a, double x) {
  if (a == kTanh) return std::tanh(x);
  if (a == kSigmoid) return 1 / (1 + std::exp(-x));
  return a == kRelu ? (x > 0 ? x : 0) : x;
}

// Σ w·y + Σ w_h·h_last + Σ w_c·c_last, from the equations.
double reference(const Shape& s, const Inputs<double>& in, const uint8_t* resets, std::vector<double>* ys = nullptr) {
  const int64_t H = s.H, G = s.gates();
  double loss = 0;
  for (int64_t b = 0; b < s.B; ++b) {
    std::vector<double> h(in.h.p + b * H, in.h.p + (b + 1) * H), c(in.c.p + b * H, in.c.p + (b + 1) * H);
    for (int64_t t = 0; t < s.T; ++t) {
      const int64_t row = t * s.B + b;
      if (resets[row]) {
        h.assign(in.fresh_h.p + b * H, in.fresh_h.p + (b + 1) * H);
        c.assign(in.fresh_c.p + b * H, in.fresh_c.p + (b + 1) * H);
      }
      const auto x = [&](int64_t g, int64_t j) {
        double sum = in.bias.p[g * H + j];
        for (int64_t i = 0; i < s.I; ++i) sum += in.xs.p[row * s.I + i] * in.xh.p[i * G * H + g * H + j];
        return sum;
      };
      const auto back = [&](const std::vector<double>& h, int64_t g, int64_t j) {
        double sum = 0;
        for (int64_t i = 0; i < H; ++i) sum += h[i] * in.hh.p[i * G * H + g * H + j];
        return sum;
      };
      std::vector<double> next(H), reset_h(H), z(H);
      for (int64_t j = 0; j < H && G == 3; ++j) {
        reset_h[j] = f(kSigmoid, x(0, j) + back(h, 0, j)) * h[j];
        z[j] = f(kSigmoid, x(1, j) + back(h, 1, j));
      }
      for (int64_t j = 0; j < H; ++j) {
        if (s.cell == kElman) next[j] = f(s.activation, x(0, j) + back(h, 0, j));
        if (s.cell == kLstm) {
          const double i = f(kSigmoid, x(0, j) + back(h, 0, j) + in.ch.p[j] * c[j]);
          const double forget = f(kSigmoid, x(1, j) + back(h, 1, j) + in.ch.p[H + j] * c[j]);
          c[j] = forget * c[j] + i * std::tanh(x(3, j) + back(h, 3, j));
          next[j] = f(kSigmoid, x(2, j) + back(h, 2, j) + in.ch.p[2 * H + j] * c[j]) * std::tanh(c[j]);
        }
        if (G != 3) continue;
        const double r = f(kSigmoid, x(0, j) + back(h, 0, j));
        const double inner = s.cell == kGruAfter ? r * (back(h, 2, j) + in.bias_hn.p[j]) : back(reset_h, 2, j);
        next[j] = (1 - z[j]) * std::tanh(x(2, j) + inner) + z[j] * h[j];
      }
      h = next;
      for (int64_t j = 0; j < H; ++j) {
        if (ys != nullptr) (*ys)[row * H + j] = h[j];
        loss += in.w.p[row * H + j] * h[j];
        h[j] += in.tap_h.p[row * H + j];
        c[j] += in.tap_c.p[row * H + j];
      }
    }
    for (int64_t j = 0; j < H; ++j) loss += in.w_h.p[b * H + j] * h[j] + (s.cell == kLstm) * in.w_c.p[b * H + j] * c[j];
  }
  return loss;
}

bool near(const char* what, const Shape& s, double got, double expected, double tolerance) {
  if (std::fabs(got - expected) <= tolerance * (1 + std::fabs(expected))) return true;
  std::printf("%s: cell %d T=%d B=%d I=%d H=%d: got %.9g, expected %.9g\n", what, int(s.cell), int(s.T), int(s.B),
              int(s.I), int(s.H), got, expected);
  return false;
}

template <class S>
bool check(const Implementation<S>& kernels, const Shape& s, Inputs<double>& exact, const uint8_t* resets,
           double tolerance) {
  const Inputs<S> in(exact);
  const bool lstm = s.cell == kLstm, after = s.cell == kGruAfter;
  const int64_t TBH = s.T * s.B * s.H, BH = s.B * s.H, n = padded(s.H), columns = s.gates() * s.H;
  Array<S> ys(TBH), h(BH), c(BH), gates(s.T * s.B * s.saved_parts() * n), cells(s.T * s.B * n);
  const Parallel parallel{run_threads, nullptr};
  Forward<S> fw{s, in.xs.p, resets, in.xh.p, in.hh.p, in.bias.p, after ? in.bias_hn.p : nullptr,
                lstm ? in.ch.p : nullptr, in.h.p, in.c.p, in.fresh_h.p, in.fresh_c.p, in.tap_h.p, in.tap_c.p,
                ys.p, h.p, c.p, nullptr, nullptr};
  std::vector<double> expected(TBH);
  reference(s, exact, resets, &expected);
  bool good = true;
  for (const bool save : {false, true}) {
    fw.saved_gates = save ? gates.p : nullptr, fw.saved_c = save && lstm ? cells.p : nullptr;
    char* memory = static_cast<char*>(std::aligned_alloc(64, (kernels.forward(fw, nullptr, parallel) + 63) / 64 * 64));
    kernels.forward(fw, memory, parallel);
    std::free(memory);
    for (int64_t i = 0; i < TBH && good; ++i) good = near("output", s, ys.p[i], expected[i], tolerance);
  }
  Array<S> d_xs(s.T * s.B * s.I), d_xh(s.I * columns), d_hh(s.H * columns), d_bias(columns), d_bias_hn(s.H), d_ch(3 * s.H);
  Array<S> d_h(BH), d_c(BH), d_fresh_h(BH), d_fresh_c(BH), d_tap_h(TBH), d_tap_c(TBH);
  const Backward<S> bw{s, in.xs.p, resets, in.xh.p, in.hh.p, lstm ? in.ch.p : nullptr, in.h.p, in.c.p, in.fresh_h.p,
                       in.fresh_c.p, in.tap_h.p, in.tap_c.p, ys.p, gates.p, cells.p, in.w.p, in.w_h.p, in.w_c.p,
                       d_xs.p, d_xh.p, d_hh.p, d_bias.p, d_bias_hn.p, d_ch.p, d_h.p, d_c.p, d_fresh_h.p, d_fresh_c.p,
                       d_tap_h.p, d_tap_c.p};
  char* memory = static_cast<char*>(std::aligned_alloc(64, (kernels.backward(bw, nullptr, parallel) + 63) / 64 * 64));
  kernels.backward(bw, memory, parallel);
  std::free(memory);
  const struct {
    const char* name;
    Array<double>* of;
    const Array<S>* gradient;
    bool used;
  } gradients[] = {{"xs", &exact.xs, &d_xs, true}, {"W_xh", &exact.xh, &d_xh, true}, {"W_hh", &exact.hh, &d_hh, true},
                   {"b_h", &exact.bias, &d_bias, true}, {"b_hn", &exact.bias_hn, &d_bias_hn, after},
                   {"W_ch", &exact.ch, &d_ch, lstm}, {"h", &exact.h, &d_h, true}, {"c", &exact.c, &d_c, lstm},
                   {"fresh h", &exact.fresh_h, &d_fresh_h, true}, {"fresh c", &exact.fresh_c, &d_fresh_c, lstm},
                   {"tap h", &exact.tap_h, &d_tap_h, true}, {"tap c", &exact.tap_c, &d_tap_c, lstm}};
  for (const auto& g : gradients) {
    if (!g.used) continue;
    const Array<double> way(g.of->n, 1);
    double along = 0;
    for (int64_t i = 0; i < way.n; ++i) along += g.gradient->p[i] * way.p[i];
    double ends[2];
    for (int side = 0; side < 2; ++side) {
      const double eps = side == 0 ? 1e-6 : -1e-6;
      for (int64_t i = 0; i < way.n; ++i) g.of->p[i] += eps * way.p[i];
      ends[side] = reference(s, exact, resets);
      for (int64_t i = 0; i < way.n; ++i) g.of->p[i] -= eps * way.p[i];
    }
    good = near(g.name, s, along, (ends[0] - ends[1]) / 2e-6, sizeof(S) == 4 ? 2e-3 : 1e-5) && good;
  }
  return good;
}

}  // namespace

int main() {
  const InstructionSet& set = instruction_set();
  int64_t failures = 0, count = 0;
  const int64_t sizes[][4] = {{1, 1, 1, 1}, {2, 5, 3, 3}, {3, 9, 17, 17}, {5, 4, 2, 33}, {1, 70, 33, 5}, {140, 1, 2, 4}, {20, 13, 1, 8}};
  for (const auto& [T, B, I, H] : sizes) {
    for (int64_t cell = kElman; cell <= kGruBefore; ++cell) {
      for (int64_t activation = kTanh; activation <= (cell == kElman ? kSigmoid : kTanh); ++activation) {
        for (const int64_t workers : {1, 3}) {
          const Shape s{Cell(cell), Activation(activation), T, B, I, H, least(workers, ceil_div(B, 4))};
          Inputs<double> in(s);
          std::vector<uint8_t> resets(T * B);
          for (auto& reset : resets) reset = generator() % 4 == 0;
          failures += !check<double>(set.twice, s, in, resets.data(), 1e-11);
          failures += !check<float>(set.single, s, in, resets.data(), 1e-3);
          count += 2;
        }
      }
    }
  }
  std::printf("%s: %d of %d checks failed\n", set.name, int(failures), int(count));
  return failures != 0;
}
