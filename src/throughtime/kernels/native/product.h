// Matrix products in registers: C (+)= A·B, where B has been packed into panels of kPanel columns.
//
// Every product of a layer and its backward pass is this one: x W_xh, h W_hh, δ W_hhᵀ, δ W_xhᵀ read A row by row;
// the weights' gradients Xᵀ δ and Hᵀ δ read it column by column (`kTransposed`).
#pragma once

#include "layer.h"
#include "vector.h"

namespace throughtime::THROUGHTIME_ISA {

constexpr int kVectors = 2;  // of one panel
#if THROUGHTIME_VECTOR_BYTES == 64
constexpr int kTileRows = 8;  // 16 accumulators of 32 registers
#else
constexpr int kTileRows = 6;  // 12 of 16
#endif

template <class S>
constexpr int64_t kPanel = kVectors * Simd<S>::L;

// B [K, N] as panels of kPanel columns. Packed: [N / kPanel][K][kPanel], padded with zeros; or a row-major matrix as it
// lies, where its columns need no padding (worth it where too few rows of A come by to pay for the packing).
template <class S>
struct Panels {
  const S* data;
  int64_t row;    // from a row of a panel to the next
  int64_t panel;  // from a panel to the next

  // The panels from column `n` on, with rows from `k` on.
  Panels at(int64_t k, int64_t n) const { return {data + k * row + n / kPanel<S> * panel, row, panel}; }

  static Panels packed(const S* data, int64_t depth) { return {data, kPanel<S>, depth * kPanel<S>}; }
  static Panels as_it_lies(const S* data, int64_t columns) { return {data, columns, kPanel<S>}; }
};

// Packs a row-major matrix [rows, columns] (leading dimension `stride`) into panels of depth `depth`, at column `at`.
template <class S>
inline void pack(S* panels, int64_t depth, int64_t at, const S* from, int64_t stride, int64_t rows, int64_t columns) {
  constexpr int64_t P = kPanel<S>;
  for (int64_t n = 0; n < padded(columns); n += P) {
    S* out = panels + (at + n) * depth;
    const int64_t full = most(0, least(P, columns - n));
    for (int64_t k = 0; k < rows; ++k, out += P) {
      if (full == P) {
        std::memcpy(out, from + k * stride + n, P * sizeof(S));
      } else {
        for (int64_t j = 0; j < full; ++j) out[j] = from[k * stride + n + j];
        std::memset(out + full, 0, (P - full) * sizeof(S));
      }
    }
  }
}

// Packs the transpose of a row-major matrix [columns, rows] (leading dimension `stride`) into panels of depth `depth`,
// from row `at` on, padded with zero rows to a multiple of kPad. Only the panels [first, last) of it are packed.
template <class S>
inline void pack_transposed(S* panels, int64_t depth, int64_t at, const S* from, int64_t stride, int64_t rows,
                            int64_t columns, int64_t first, int64_t last) {
  constexpr int64_t P = kPanel<S>, kBlock = P < 8 ? P : 8;  // source rows read side by side
  for (int64_t n = first * P; n < last * P; n += kBlock) {
    S* out = panels + n / P * P * depth + at * P + n % P;
    const int64_t full = most(0, least(kBlock, columns - n));
    for (int64_t k = 0; k < rows; ++k) {
      if (full == kBlock) {
#pragma GCC unroll 8
        for (int64_t j = 0; j < kBlock; ++j) out[k * P + j] = from[(n + j) * stride + k];
      } else {
        for (int64_t j = 0; j < kBlock; ++j) out[k * P + j] = j < full ? from[(n + j) * stride + k] : S(0);
      }
    }
    for (int64_t k = rows; k < padded(rows); ++k) std::memset(out + k * P, 0, kBlock * sizeof(S));
  }
}

// One tile in registers: kRows rows, kPanels panels. `init` null: from zero; else from its rows (stride 0: one row).
template <class S, bool kTransposed, int kRows, int kPanels>
inline void tile(int64_t K, const S* a, int64_t stride, Panels<S> b, const S* init, int64_t init_stride, S* c,
                 int64_t c_stride) {
  constexpr int L = Simd<S>::L, W = kVectors * kPanels;
  V<S> sum[kRows][W];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < W; ++j) sum[i][j] = init == nullptr ? V<S>{} : load<S>(init + i * init_stride + j * L);
  }
  for (int64_t k = 0; k < K; ++k) {
    V<S> row[W];
#pragma GCC unroll 16
    for (int j = 0; j < W; ++j) row[j] = load<S>(b.data + (j / kVectors) * b.panel + k * b.row + (j % kVectors) * L);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const S x = kTransposed ? a[k * stride + i] : a[i * stride + k];
#pragma GCC unroll 16
      for (int j = 0; j < W; ++j) sum[i][j] += x * row[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < W; ++j) store<S>(c + i * c_stride + j * L, sum[i][j]);
  }
}

template <class S, bool kTransposed, int kPanels>
inline void tile_rows(int64_t rows, int64_t K, const S* a, int64_t stride, Panels<S> b, const S* init,
                      int64_t init_stride, S* c, int64_t c_stride) {
#define THROUGHTIME_TILE(n)                                                                                       \
  case n:                                                                                                         \
    if constexpr (n * kPanels <= (kTileRows < 8 ? 6 : 8)) {                                                       \
      return tile<S, kTransposed, n, kPanels>(K, a, stride, b, init, init_stride, c, c_stride);                   \
    }                                                                                                             \
    break;
  switch (rows) {
    THROUGHTIME_TILE(1)
    THROUGHTIME_TILE(2)
    THROUGHTIME_TILE(3)
    THROUGHTIME_TILE(4)
    THROUGHTIME_TILE(5)
    THROUGHTIME_TILE(6)
    THROUGHTIME_TILE(7)
    THROUGHTIME_TILE(8)
  }
#undef THROUGHTIME_TILE
}

enum class From { kZero, kSelf, kRow };  // what a product is added to: nothing, what C holds, one row for all

// C [M, N] = (nothing, C, or a row) + A·B, with A [M, K] and C row-major. N is a multiple of the panel.
template <class S>
inline void product(int64_t M, int64_t N, int64_t K, const S* a, int64_t stride, Panels<S> b, From from, const S* row,
                    S* c, int64_t c_stride) {
  constexpr int64_t P = kPanel<S>;
  const int64_t tiles = ceil_div(M, kTileRows);
  // One or two rows alone would leave the multipliers waiting for each other: several panels at once then.
  const int64_t together = M == 1 ? 4 : M == 2 ? 2 : 1;
  for (int64_t n = 0; n < N;) {
    int64_t panels = together;
    while (panels > (N - n) / P) panels /= 2;
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t m = M * i / tiles, rows = M * (i + 1) / tiles - m;
      const S* at = a + m * stride;
      S* out = c + m * c_stride + n;
      const S* init = from == From::kZero ? nullptr : from == From::kSelf ? out : row + n;
      const int64_t init_stride = from == From::kSelf ? c_stride : 0;
      const Panels<S> from_n = b.at(0, n);
      if (panels == 4) {
        tile_rows<S, false, 4>(rows, K, at, stride, from_n, init, init_stride, out, c_stride);
      } else if (panels == 2) {
        tile_rows<S, false, 2>(rows, K, at, stride, from_n, init, init_stride, out, c_stride);
      } else {
        tile_rows<S, false, 1>(rows, K, at, stride, from_n, init, init_stride, out, c_stride);
      }
    }
    n += panels * P;
  }
}

// A matrix [rows, columns] as blocks of kPad columns, [columns / kPad][rows][kPad]: a few columns of many rows then lie
// together, where rows a power of two apart would fall into the same lines of the cache.
template <class S>
inline void row_to_blocks(S* blocks, int64_t rows, int64_t at, const S* row, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kPad) {
    std::memcpy(blocks + j * rows + at * kPad, row + j, least(kPad, columns - j) * sizeof(S));
  }
}

// C [I, N] = (nothing, or C) + Aᵀ·B, with A [M, I] and C in blocks.
template <class S>
inline void transposed_product(int64_t I, int64_t N, int64_t M, const S* a, Panels<S> b, From from, S* c) {
  constexpr int64_t kRows = kTileRows < 8 ? 4 : 8;  // divides kPad
  for (int64_t n = 0; n < N; n += kPanel<S>) {
    for (int64_t i = 0; i < I; i += kRows) {
      S* out = c + n / kPad * I * kPad + i * kPad + n % kPad;
      const S* at = a + i / kPad * M * kPad + i % kPad;
      const S* init = from == From::kZero ? nullptr : out;
      tile_rows<S, true, 1>(least(kRows, I - i), M, at, kPad, b.at(0, n), init, kPad, out, kPad);
    }
  }
}

}  // namespace throughtime::THROUGHTIME_ISA
