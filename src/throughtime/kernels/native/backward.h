// The backward pass (BPTT): a worker takes its rows back through all time steps. It keeps the cotangents of the
// pre-activations of a chunk of steps, and then adds the chunk to the weights' gradients in one product each.
//
// A row whose cotangent is all zero is dead: it adds exactly nothing to any gradient, even where its state or its input
// is NaN (memory/unroll.py says why).
#pragma once

#include "forward.h"

namespace throughtime::THROUGHTIME_ISA {

// The weights transposed, for δ W_hhᵀ and δ W_xhᵀ: [G·padded(H), H] and [G·padded(H), I].
template <class S>
struct BackwardPacked {
  S *weight_hx, *weight_hh, *peep;

  BackwardPacked(const Shape& s, bool wants_d_xs, Arena& arena) {
    const int64_t columns = s.gates() * padded(s.H);
    weight_hx = arena.take<S>(wants_d_xs ? columns * padded(s.I) : 0);
    weight_hh = arena.take<S>(columns * padded(s.H));
    peep = arena.take<S>(s.cell == kLstm ? 3 * padded(s.H) : 0);
  }

  // The part of the packing that falls to one worker.
  void fill(const Backward<S>& p, int64_t worker) {
    const Shape& s = p.shape;
    const int64_t n = padded(s.H), depth = s.gates() * n, stride = s.gates() * s.H;
    const auto part = [&](int64_t columns, int64_t w) { return padded(columns) / kPanel<S> * w / s.workers; };
    for (int64_t g = 0; g < s.gates(); ++g) {
      if (s.T > 1 || p.d_h != nullptr || s.cell == kGruBefore) {
        pack_transposed(weight_hh, depth, g * n, p.weight_hh + g * s.H, stride, s.H, s.H, part(s.H, worker),
                        part(s.H, worker + 1));
      }
      if (p.d_xs == nullptr) continue;
      pack_transposed(weight_hx, depth, g * n, p.weight_xh + g * s.H, stride, s.H, s.I, part(s.I, worker),
                      part(s.I, worker + 1));
    }
    if (worker == 0 && p.weight_ch != nullptr) copy_peepholes(s, peep, p.weight_ch);
  }
};

template <class S>
struct BackwardScratch {
  S *xs, *hs, *d_xs, *d, *panels, *h_before, *reset_h, *c_before, *dh, *dc, *d_reset_h, *zeros;
  S *d_weight_xh, *d_weight_hh, *d_bias, *d_peep;  // [I, G·n] and [H, G·n] in blocks, [parts·n], [3·n]
  uint8_t* dead;

  BackwardScratch() = default;
  BackwardScratch(const Shape& s, Arena& arena) {
    const int64_t rows = least(s.B, kBlockRows), chunk = most(rows, kChunkRows), n = padded(s.H);
    xs = arena.take<S>(chunk * padded(s.I));
    hs = arena.take<S>(chunk * n);
    d_xs = arena.take<S>(chunk * padded(s.I));
    d = arena.take<S>(chunk * s.width());
    panels = arena.take<S>(chunk * s.width());
    h_before = arena.take<S>(chunk * n);
    reset_h = arena.take<S>(s.cell == kGruBefore ? chunk * n : 0);
    c_before = arena.take<S>(n);
    dh = arena.take<S>(rows * n);
    dc = arena.take<S>(rows * n);
    d_reset_h = arena.take<S>(rows * n);
    d_weight_xh = arena.take<S>(s.I * s.gates() * n);
    d_weight_hh = arena.take<S>(s.H * s.gates() * n);
    d_bias = arena.take<S>(s.width());
    d_peep = arena.take<S>(3 * n);
    zeros = arena.take<S>(padded(s.I));
    dead = arena.take<uint8_t>(chunk);
  }
};

template <class S>
inline bool all_zero(const S* p, int64_t n) {
  bool any = false;
  for (int64_t j = 0; j < n; ++j) any |= p[j] != S(0);
  return !any;
}

template <class S>
inline void clear_padding(S* row, int64_t H, int64_t n) {
  if (n > H) std::memset(row + H, 0, (n - H) * sizeof(S));
}

// The state before step t of row b, as the forward pass saw it.
template <class S>
inline void state_before(const Shape& s, const uint8_t* resets, const S* fresh, const S* start, const S* last_row,
                         const S* tap, int64_t t, int64_t b, S* out) {
  const int64_t H = s.H, n = padded(H);
  if (resets[t * s.B + b] != 0) return copy_padded(out, fresh + b * H, H, n);
  if (t == 0) return copy_padded(out, start + b * H, H, n);
  copy_padded(out, last_row, H, n);
  if (tap == nullptr) return;
  for (int64_t j = 0; j < H; ++j) out[j] += tap[((t - 1) * s.B + b) * H + j];
}

template <class S>
inline void add_rows(S* sum, const S* rows, int64_t count, int64_t n) {
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t j = 0; j < n; j += Simd<S>::L) store<S>(sum + j, load<S>(sum + j) + load<S>(rows + r * n + j));
  }
}

// One step back for the block's rows; `at` is the first of them in the chunk.
template <class S>
inline void step_back(const Backward<S>& p, const BackwardPacked<S>& packed, const BackwardScratch<S>& own, int64_t b,
                      int64_t rows, int64_t t, int64_t at) {
  const Shape& s = p.shape;
  const int64_t B = s.B, H = s.H, n = padded(H), width = s.width();
  const bool lstm = s.cell == kLstm;
  const S* gates = p.saved_gates + (b * s.T + t * rows) * s.saved_parts() * n;
  const S* cells = lstm ? p.saved_c + (b * s.T + t * rows) * n : nullptr;
  S* d = own.d + at * width;
  S* h_before = own.h_before + at * n;
  uint8_t* dead = own.dead + at;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = t * B + b + r;
    S *dh = own.dh + r * n, *dc = own.dc + r * n, *d_row = d + r * width;
    if (p.d_tap_h != nullptr) {
      std::memcpy(p.d_tap_h + row * H, dh, H * sizeof(S));
      if (lstm) std::memcpy(p.d_tap_c + row * H, dc, H * sizeof(S));
    }
    for (int64_t j = 0; j < H; ++j) dh[j] += p.d_ys[row * H + j];
    dead[r] = all_zero(dh, H) && (!lstm || all_zero(dc, H));
    if (dead[r]) {
      std::memset(d_row, 0, width * sizeof(S));
      std::memset(h_before + r * n, 0, n * sizeof(S));
      if (s.cell == kGruBefore) std::memset(own.reset_h + (at + r) * n, 0, n * sizeof(S));
      continue;
    }
    const S* last_h = t == 0 ? nullptr : p.ys + (row - B) * H;
    state_before(s, p.resets, p.fresh_h, p.h, last_h, p.tap_h, t, b + r, h_before + r * n);
    const S* g = gates + r * s.saved_parts() * n;
    switch (s.cell) {
      case kElman: {
        copy_padded(own.c_before, p.ys + row * H, H, n);
        elman_back<S>(s.activation, n, own.c_before, d_row, dh);
        break;
      }
      case kLstm: {
        const S* last_c = t == 0 ? nullptr : cells + r * n - rows * n;
        state_before(s, p.resets, p.fresh_c, p.c, last_c, p.tap_c, t, b + r, own.c_before);
        lstm_back<S>(n, p.weight_ch == nullptr ? nullptr : packed.peep, g, cells + r * n, own.c_before, d_row, dh, dc, own.d_peep);
        break;
      }
      case kGruAfter: gru_after_back<S>(n, g, h_before + r * n, d_row, dh); break;
      case kGruBefore: gru_before_back_candidate<S>(n, g, h_before + r * n, d_row, dh); break;
    }
    // Where an input is infinite the padding holds NaN (∞ · 0), which the next product would spread.
    for (int64_t part = 0; part < s.parts() && n > H; ++part) clear_padding(d_row + part * n, H, n);
    clear_padding(dh, H, n);
    clear_padding(dc, H, n);
  }
  const Panels<S> back = Panels<S>::packed(packed.weight_hh, s.gates() * n);
  if (s.cell == kGruBefore) {
    product<S>(rows, n, n, d + 2 * n, width, back.at(2 * n, 0), From::kZero, nullptr, own.d_reset_h, n);
    for (int64_t r = 0; r < rows; ++r) {
      if (dead[r]) continue;
      gru_before_back_reset<S>(n, gates + r * width, h_before + r * n, own.d_reset_h + r * n,
                               own.reset_h + (at + r) * n, d + r * width, own.dh + r * n);
      clear_padding(d + r * width, H, n);
      clear_padding(own.dh + r * n, H, n);
    }
  }
  if (t == 0 && p.d_h == nullptr) return;  // nobody asks what the first state would change
  product<S>(rows, n, (s.cell == kGruBefore ? 2 : s.gates()) * n, d, width, back, From::kSelf, nullptr, own.dh, n);
  for (int64_t r = 0; r < rows; ++r) {
    S *dh = own.dh + r * n, *dc = own.dc + r * n;
    if (dead[r]) {
      std::memset(dh, 0, n * sizeof(S));
      if (lstm) std::memset(dc, 0, n * sizeof(S));
    }
    if (p.resets[t * B + b + r] == 0) continue;
    for (int64_t j = 0; j < H && p.d_h != nullptr; ++j) p.d_fresh_h[(b + r) * H + j] += dh[j];
    std::memset(dh, 0, n * sizeof(S));
    if (!lstm) continue;
    for (int64_t j = 0; j < H && p.d_h != nullptr; ++j) p.d_fresh_c[(b + r) * H + j] += dc[j];
    std::memset(dc, 0, n * sizeof(S));
  }
}

// What a chunk of steps adds to the gradients of weights and inputs.
template <class S>
inline void add_chunk(const Backward<S>& p, const BackwardPacked<S>& packed, const BackwardScratch<S>& own, int64_t b,
                      int64_t rows, int64_t from, int64_t to, From start) {
  const Shape& s = p.shape;
  const int64_t I = s.I, H = s.H, n = padded(H), width = s.width(), M = (to - from) * rows, columns = s.gates() * n;
  for (int64_t m = 0; m < M; ++m) {
    const int64_t row = (from + m / rows) * s.B + b + m % rows;
    // An input whose gates got no gradient adds nothing, even where it is infinite.
    const bool adds = !own.dead[m] && !all_zero(own.d + m * width, width);
    row_to_blocks(own.xs, M, m, adds ? p.xs + row * I : own.zeros, I);
    row_to_blocks(own.hs, M, m, own.h_before + m * n, n);
  }
  add_rows(own.d_bias, own.d, M, width);
  pack(own.panels, M, 0, own.d, width, M, width);
  const Panels<S> d = Panels<S>::packed(own.panels, M);
  for (const Segment& in : input_segments(s)) {
    transposed_product<S>(I, in.gates * n, M, own.xs, d.at(0, in.column * n), start, own.d_weight_xh + in.gate * n * I);
  }
  if (s.cell == kGruBefore) {
    transposed_product<S>(H, 2 * n, M, own.hs, d, start, own.d_weight_hh);
    for (int64_t m = 0; m < M; ++m) row_to_blocks(own.hs, M, m, own.reset_h + m * n, n);
    transposed_product<S>(H, n, M, own.hs, d.at(0, 2 * n), start, own.d_weight_hh + 2 * n * H);
  } else {
    transposed_product<S>(H, columns, M, own.hs, d, start, own.d_weight_hh);
  }
  if (p.d_xs == nullptr) return;
  const Panels<S> back = Panels<S>::packed(packed.weight_hx, columns);
  From sum = From::kZero;
  for (const Segment& in : input_segments(s)) {
    product<S>(M, padded(I), in.gates * n, own.d + in.column * n, width, back.at(in.gate * n, 0), sum, nullptr,
               own.d_xs, padded(I));
    sum = From::kSelf;
  }
  for (int64_t m = 0; m < M; ++m) {
    const int64_t t = from + m / rows, r = m % rows;
    S* out = p.d_xs + (t * s.B + b + r) * I;
    if (own.dead[m]) {
      std::memset(out, 0, I * sizeof(S));
    } else {
      std::memcpy(out, own.d_xs + m * padded(I), I * sizeof(S));
    }
  }
}

template <class S>
inline void backward_block(const Backward<S>& p, const BackwardPacked<S>& packed, const BackwardScratch<S>& own,
                           int64_t b, int64_t rows, From start) {
  const Shape& s = p.shape;
  const int64_t H = s.H, n = padded(H);
  const bool lstm = s.cell == kLstm;
  for (int64_t r = 0; r < rows; ++r) {
    copy_padded(own.dh + r * n, p.d_last_h + (b + r) * H, H, n);
    if (lstm) copy_padded(own.dc + r * n, p.d_last_c + (b + r) * H, H, n);
  }
  if (p.d_h != nullptr) std::memset(p.d_fresh_h + b * H, 0, rows * H * sizeof(S));
  if (p.d_h != nullptr && lstm) std::memset(p.d_fresh_c + b * H, 0, rows * H * sizeof(S));
  const int64_t steps = s.chunk_steps(rows);
  for (int64_t to = s.T; to > 0; to -= steps) {
    const int64_t from = most(0, to - steps);
    for (int64_t t = to - 1; t >= from; --t) step_back(p, packed, own, b, rows, t, (t - from) * rows);
    add_chunk(p, packed, own, b, rows, from, to, start);
    start = From::kSelf;
  }
  for (int64_t r = 0; r < rows && p.d_h != nullptr; ++r) {
    std::memcpy(p.d_h + (b + r) * H, own.dh + r * n, H * sizeof(S));
    if (lstm) std::memcpy(p.d_c + (b + r) * H, own.dc + r * n, H * sizeof(S));
  }
}

template <class S>
inline void backward_worker(const Backward<S>& p, const BackwardPacked<S>& packed, const BackwardScratch<S>& own,
                            int64_t worker) {
  const Shape& s = p.shape;
  std::memset(own.d_bias, 0, s.width() * sizeof(S));
  std::memset(own.d_peep, 0, 3 * padded(s.H) * sizeof(S));
  std::memset(own.zeros, 0, padded(s.I) * sizeof(S));
  const int64_t end = s.first(worker + 1), first = s.first(worker), block = s.block_rows(end - first);
  for (int64_t b = first; b < end; b += block) {
    backward_block(p, packed, own, b, least(block, end - b), b == first ? From::kZero : From::kSelf);
  }
}

// The workers' sums of the weights' gradients, in the caller's layout. Each worker adds up a part of the rows.
template <class S>
inline void sum_workers(const Backward<S>& p, const BackwardScratch<S>* own, int64_t worker) {
  const Shape& s = p.shape;
  const int64_t H = s.H, G = s.gates(), n = padded(H);
  const auto add = [&](S* out, int64_t rows, S* BackwardScratch<S>::*part) {
    for (int64_t i = rows * worker / s.workers; i < rows * (worker + 1) / s.workers; ++i) {
      for (int64_t column = 0; column < G * n; column += kPad) {
        const int64_t gate = column / n, first = column % n, count = least(kPad, H - first);
        S* to = out + (i * G + gate) * H + first;
        for (int64_t w = 0; w < s.workers; ++w) {
          const S* from = own[w].*part + column * rows + i * kPad;
          for (int64_t j = 0; j < count; ++j) to[j] = w == 0 ? from[j] : to[j] + from[j];
        }
      }
    }
  };
  add(p.d_weight_xh, s.I, &BackwardScratch<S>::d_weight_xh);
  add(p.d_weight_hh, H, &BackwardScratch<S>::d_weight_hh);
  if (worker != 0) return;
  const auto add_row = [&](S* out, S* BackwardScratch<S>::*row, int64_t part) {
    for (int64_t j = 0; j < H; ++j) {
      S sum = 0;
      for (int64_t w = 0; w < s.workers; ++w) sum += (own[w].*row)[part * n + j];
      out[j] = sum;
    }
  };
  for (const Segment& in : input_segments(s)) {
    for (int64_t g = 0; g < in.gates; ++g) {
      add_row(p.d_bias_h + (in.gate + g) * H, &BackwardScratch<S>::d_bias, in.column + g);
    }
  }
  if (s.cell == kGruAfter) add_row(p.d_bias_hn, &BackwardScratch<S>::d_bias, 2);
  for (int64_t g = 0; g < 3 && p.weight_ch != nullptr; ++g) add_row(p.d_weight_ch + g * H, &BackwardScratch<S>::d_peep, g);
}

}  // namespace throughtime::THROUGHTIME_ISA
