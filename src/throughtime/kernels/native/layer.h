// What a fused layer is asked to do: pointers and sizes, the same for every instruction set.
//
// Arrays of the caller are dense and time-major. Inside, H is padded to `padded(H)` so that each gate begins at a whole
// vector; rows of gates have `Shape::width` columns. The batch is cut into blocks of rows that never meet: a worker
// takes its blocks through all time steps without a barrier.
#pragma once

#include <cstdint>

namespace throughtime {

enum Cell : int64_t { kElman = 0, kLstm = 1, kGruAfter = 2, kGruBefore = 3 };
enum Activation : int64_t { kTanh = 0, kIdentity = 1, kRelu = 2, kSigmoid = 3 };

constexpr int64_t kPad = 32;          // columns: a multiple of every instruction set's panel
constexpr int64_t kBlockRows = 64;    // most rows that go through time together
constexpr int64_t kChunkRows = 128;   // rows (time steps times block rows) of one product over many steps

constexpr int64_t padded(int64_t n) { return (n + kPad - 1) / kPad * kPad; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

struct Shape {
  Cell cell;
  Activation activation;  // Elman's f
  int64_t T, B, I, H;
  int64_t workers;

  // No more workers than there are groups of four rows, or than the work pays for: on an idle machine a second thread
  // arrives some 60 µs after it is woken, the time of 5 to 10 million operations. An element of the gates counts for 40.
  void limit_workers(int64_t cores) {
    const double operations = T * B * gates() * H * (2.0 * (I + H) + 40.0);
    workers = most(1, least(least(cores, ceil_div(B, 4)), int64_t(operations / 16e6)));
  }

  int64_t gates() const { return cell == kElman ? 1 : cell == kLstm ? 4 : 3; }
  // Columns of a row of gates, in units of padded(H). LSTM: i, f, o, n. GRU, reset after: r, z, q = h W_hn + b_hn, and
  // x W_xn + b_n, which becomes n. GRU, reset before: r, z, n.
  int64_t parts() const { return cell == kGruAfter ? 4 : gates(); }
  int64_t width() const { return parts() * padded(H); }
  int64_t saved_parts() const { return cell == kElman ? 0 : parts(); }

  // Rows of worker w: [first(w), first(w + 1)). Whole tiles of four rows where there are enough of them.
  int64_t first(int64_t w) const {
    const int64_t tiles = ceil_div(B, 4);
    return least(B, tiles * w / workers * 4);
  }
  // Whether a worker's rows are so few that weights are better read as they lie than packed first.
  bool few_rows() const { return T * ceil_div(B, workers) <= 64; }
  int64_t block_rows(int64_t rows) const { return rows == 0 ? 0 : ceil_div(rows, ceil_div(rows, kBlockRows)); }
  int64_t chunk_steps(int64_t rows) const { return least(T, most(1, kChunkRows / rows)); }
};

template <class S>
struct Forward {
  Shape shape;
  const S* xs;            // [T, B, I]
  const uint8_t* resets;  // [T, B]
  const S* weight_xh;     // [I, G·H]
  const S* weight_hh;     // [H, G·H]
  const S* bias_h;        // [G·H]
  const S* bias_hn;       // [H], GRU with reset after only
  const S* weight_ch;     // [3·H], the LSTM's peepholes, or null
  const S* h;             // [B, H], the state before xs[0]
  const S* c;             // LSTM only
  const S* fresh_h;       // [B, H], what a reset puts in its place
  const S* fresh_c;
  const S* tap_h;         // [T, B, H] or null: added to what each step hands on
  const S* tap_c;
  S* ys;                  // [T, B, H]
  S* last_h;              // [B, H]
  S* last_c;
  S* saved_gates;         // [blocks][T][rows][saved_parts · padded(H)], or null where no gradient is wanted
  S* saved_c;             // [blocks][T][rows][padded(H)], LSTM only
};

template <class S>
struct Backward {
  Shape shape;
  const S* xs;
  const uint8_t* resets;
  const S* weight_xh;
  const S* weight_hh;
  const S* weight_ch;
  const S* h;
  const S* c;
  const S* fresh_h;
  const S* fresh_c;
  const S* tap_h;
  const S* tap_c;
  const S* ys;
  const S* saved_gates;
  const S* saved_c;
  const S* d_ys;      // [T, B, H]
  const S* d_last_h;  // [B, H]
  const S* d_last_c;
  S* d_xs;            // [T, B, I] or null
  S* d_weight_xh;
  S* d_weight_hh;
  S* d_bias_h;
  S* d_bias_hn;
  S* d_weight_ch;
  S* d_h;             // [B, H], or null where no gradient of a state is wanted: then of none of the four
  S* d_c;
  S* d_fresh_h;
  S* d_fresh_c;
  S* d_tap_h;         // [T, B, H] or null
  S* d_tap_c;
};

// Bump allocation from one block of memory that the caller sized with `count only` on.
struct Arena {
  char* base = nullptr;  // null: only counts
  int64_t used = 0;

  template <class S>
  S* take(int64_t n) {
    S* p = base == nullptr ? nullptr : reinterpret_cast<S*>(base + used);
    used += (n * int64_t(sizeof(S)) + 63) / 64 * 64 + 64;  // a line between neighbours: no false sharing
    return p;
  }
};

}  // namespace throughtime
