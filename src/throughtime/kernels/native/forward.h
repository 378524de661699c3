// The forward pass: a worker takes its rows of the batch through all time steps.
#pragma once

#include "cells.h"
#include "product.h"

namespace throughtime::THROUGHTIME_ISA {

// Where the gates of a weight matrix lie in a row of gates: `gates` of them from weight gate `gate` on, at `column`.
struct Segment {
  int64_t column, gate, gates;
};

struct Segments {
  Segment segment[2];
  int count;
  const Segment* begin() const { return segment; }
  const Segment* end() const { return segment + count; }
};

inline Segments input_segments(const Shape& s) {
  if (s.cell == kGruAfter) return {{{0, 0, 2}, {3, 2, 1}}, 2};
  return {{{0, 0, s.gates()}, {}}, 1};
}

// A weight matrix [rows, G·H] in panels, each gate padded.
template <class S>
inline Panels<S> pack_gates(const Shape& s, S* panels, const S* weight, int64_t rows) {
  const int64_t columns = s.gates() * s.H;
  if (s.few_rows() && s.H == padded(s.H)) return Panels<S>::as_it_lies(weight, columns);
  for (int64_t g = 0; g < s.gates(); ++g) pack(panels, rows, g * padded(s.H), weight + g * s.H, columns, rows, s.H);
  return Panels<S>::packed(panels, rows);
}

template <class S>
inline void copy_padded(S* to, const S* from, int64_t n, int64_t padded_n) {
  std::memcpy(to, from, n * sizeof(S));
  if (padded_n > n) std::memset(to + n, 0, (padded_n - n) * sizeof(S));
}

// Time steps [from, to) of the rows [b, b + rows) of a time-major array, as one dense matrix.
template <class S>
inline void gather_rows(S* out, const S* in, int64_t from, int64_t to, int64_t b, int64_t rows, int64_t B, int64_t n) {
  for (int64_t t = from; t < to; ++t) {
    std::memcpy(out + (t - from) * rows * n, in + (t * B + b) * n, rows * n * sizeof(S));
  }
}

// The peepholes, each padded.
template <class S>
inline void copy_peepholes(const Shape& s, S* to, const S* from) {
  for (int64_t g = 0; g < 3; ++g) copy_padded(to + g * padded(s.H), from + g * s.H, s.H, padded(s.H));
}

template <class S>
struct ForwardPacked {
  S *panels_xh, *panels_hh, *bias, *peep;
  Panels<S> w_xh, w_hh;

  ForwardPacked(const Shape& s, Arena& arena) {
    const int64_t columns = s.gates() * padded(s.H);
    panels_xh = arena.take<S>(s.I * columns);
    panels_hh = arena.take<S>(s.H * columns);
    bias = arena.take<S>(s.width());
    peep = arena.take<S>(s.cell == kLstm ? 3 * padded(s.H) : 0);
  }

  void fill(const Forward<S>& p) {
    const Shape& s = p.shape;
    const int64_t H = s.H, n = padded(H);
    w_xh = pack_gates(s, panels_xh, p.weight_xh, s.I);
    w_hh = pack_gates(s, panels_hh, p.weight_hh, H);
    for (const Segment& in : input_segments(s)) {
      for (int64_t g = 0; g < in.gates; ++g) copy_padded(bias + (in.column + g) * n, p.bias_h + (in.gate + g) * H, H, n);
    }
    if (s.cell == kGruAfter) copy_padded(bias + 2 * n, p.bias_hn, H, n);
    if (p.weight_ch == nullptr) {
      peep = nullptr;
    } else {
      copy_peepholes(s, peep, p.weight_ch);
    }
  }
};

template <class S>
struct ForwardScratch {
  S *xs, *gates, *h, *c, *reset_h;

  ForwardScratch() = default;
  ForwardScratch(const Shape& s, Arena& arena) {
    const int64_t rows = least(s.B, kBlockRows), chunk = most(rows, kChunkRows), n = padded(s.H);
    xs = arena.take<S>(chunk * s.I);
    gates = arena.take<S>(chunk * s.width());
    h = arena.take<S>(rows * n);
    c = arena.take<S>(rows * n);
    reset_h = arena.take<S>(rows * n);
  }
};

template <class S>
inline void forward_block(const Forward<S>& p, const ForwardPacked<S>& packed, const ForwardScratch<S>& own, int64_t b,
                          int64_t rows) {
  const Shape& s = p.shape;
  const int64_t B = s.B, H = s.H, I = s.I, n = padded(H), width = s.width();
  const bool lstm = s.cell == kLstm;
  const Panels<S>&w_xh = packed.w_xh, &w_hh = packed.w_hh;
  S* saved_gates = p.saved_gates == nullptr ? nullptr : p.saved_gates + b * s.T * s.saved_parts() * n;
  S* saved_c = p.saved_c == nullptr ? nullptr : p.saved_c + b * s.T * n;
  for (int64_t r = 0; r < rows; ++r) {
    copy_padded(own.h + r * n, p.h + (b + r) * H, H, n);
    if (lstm) copy_padded(own.c + r * n, p.c + (b + r) * H, H, n);
  }
  const int64_t steps = s.chunk_steps(rows);
  for (int64_t from = 0; from < s.T; from += steps) {
    const int64_t to = least(s.T, from + steps);
    // Gates are saved where they are made; Elman's are its outputs.
    S* chunk = saved_gates == nullptr || s.cell == kElman ? own.gates : saved_gates + from * rows * width;
    const S* xs = p.xs + from * B * I;
    if (rows != B) {
      gather_rows(own.xs, p.xs, from, to, b, rows, B, I);
      xs = own.xs;
    }
    for (const Segment& in : input_segments(s)) {
      product<S>((to - from) * rows, in.gates * n, I, xs, I, w_xh.at(0, in.gate * n), From::kRow,
                 packed.bias + in.column * n, chunk + in.column * n, width);
    }
    for (int64_t t = from; t < to; ++t) {
      S* gates = chunk + (t - from) * rows * width;
      for (int64_t r = 0; r < rows; ++r) {
        if (p.resets[t * B + b + r] == 0) continue;
        copy_padded(own.h + r * n, p.fresh_h + (b + r) * H, H, n);
        if (lstm) copy_padded(own.c + r * n, p.fresh_c + (b + r) * H, H, n);
      }
      switch (s.cell) {
        case kElman:
        case kLstm:
          product<S>(rows, s.gates() * n, H, own.h, n, w_hh, From::kSelf, nullptr, gates, width);
          for (int64_t r = 0; r < rows; ++r) {
            if (lstm) {
              lstm_row<S>(n, packed.peep, gates + r * width, own.h + r * n, own.c + r * n);
            } else {
              elman_row<S>(s.activation, n, gates + r * width, own.h + r * n);
            }
          }
          break;
        case kGruAfter:
          product<S>(rows, 2 * n, H, own.h, n, w_hh, From::kSelf, nullptr, gates, width);
          product<S>(rows, n, H, own.h, n, w_hh.at(0, 2 * n), From::kRow, packed.bias + 2 * n, gates + 2 * n, width);
          for (int64_t r = 0; r < rows; ++r) gru_after_row<S>(n, gates + r * width, own.h + r * n);
          break;
        case kGruBefore:
          product<S>(rows, 2 * n, H, own.h, n, w_hh, From::kSelf, nullptr, gates, width);
          for (int64_t r = 0; r < rows; ++r) {
            gru_before_gates<S>(n, gates + r * width, own.h + r * n, own.reset_h + r * n);
          }
          product<S>(rows, n, H, own.reset_h, n, w_hh.at(0, 2 * n), From::kSelf, nullptr, gates + 2 * n, width);
          for (int64_t r = 0; r < rows; ++r) gru_before_row<S>(n, gates + r * width, own.h + r * n);
          break;
      }
      if (lstm && saved_c != nullptr) std::memcpy(saved_c + t * rows * n, own.c, rows * n * sizeof(S));
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(p.ys + (t * B + b + r) * H, own.h + r * n, H * sizeof(S));
        if (p.tap_h == nullptr) continue;
        for (int64_t j = 0; j < H; ++j) own.h[r * n + j] += p.tap_h[(t * B + b + r) * H + j];
        if (!lstm) continue;
        for (int64_t j = 0; j < H; ++j) own.c[r * n + j] += p.tap_c[(t * B + b + r) * H + j];
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(p.last_h + (b + r) * H, own.h + r * n, H * sizeof(S));
    if (lstm) std::memcpy(p.last_c + (b + r) * H, own.c + r * n, H * sizeof(S));
  }
}

template <class S>
inline void forward_worker(const Forward<S>& p, const ForwardPacked<S>& packed, const ForwardScratch<S>& own,
                           int64_t worker) {
  const int64_t end = p.shape.first(worker + 1), first = p.shape.first(worker);
  const int64_t block = p.shape.block_rows(end - first);
  for (int64_t b = first; b < end; b += block) forward_block(p, packed, own, b, least(block, end - b));
}

}  // namespace throughtime::THROUGHTIME_ISA
