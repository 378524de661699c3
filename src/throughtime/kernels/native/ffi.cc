// The binding to XLA: buffers in a fixed order become the pointers of layer.h. Sizes are checked here once more, so that
// a wrong call is an error and never a read outside of an array.
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "implementation.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace throughtime {
namespace {

// Work on XLA's own thread pool. The caller takes tasks too, and waits only for tasks that another thread has begun: a
// pool whose threads are all busy (or all callers of this) cannot lock up.
struct Crew {
  std::atomic<int64_t> next{0}, done{0};
  int64_t count;
  void (*task)(void*, int64_t);
  void* argument;
  std::mutex mutex;
  std::condition_variable all_done;

  void work() {
    int64_t mine = 0;
    for (int64_t i; (i = next.fetch_add(1)) < count; ++mine) task(argument, i);
    if (mine == 0 || done.fetch_add(mine) + mine < count) return;
    std::lock_guard<std::mutex> lock(mutex);
    all_done.notify_all();
  }

  // Workers end at about the same time: looking a while is quicker than falling asleep.
  void wait() {
    for (int i = 0; i < 4096; ++i) {
      if (done.load() == count) return;
    }
    std::unique_lock<std::mutex> lock(mutex);
    all_done.wait(lock, [this] { return done.load() == count; });
  }
};

void run_on_pool(void* context, int64_t count, void (*task)(void*, int64_t), void* argument) {
  auto* pool = static_cast<ffi::ThreadPool*>(context);
  if (count == 1) return task(argument, 0);
  auto crew = std::make_shared<Crew>();
  crew->count = count, crew->task = task, crew->argument = argument;
  for (int64_t i = 1; i < count; ++i) pool->Schedule([crew] { crew->work(); });
  crew->work();
  crew->wait();
}

// Scratch memory that a thread keeps between calls, up to a limit: fresh pages cost more than small layers compute.
class Scratch {
 public:
  ~Scratch() { std::free(kept_); }

  char* get(int64_t bytes) {
    if (bytes > size_) {
      std::free(kept_);
      size_ = (bytes + 4095) / 4096 * 4096;
      kept_ = static_cast<char*>(std::aligned_alloc(4096, size_));
      if (kept_ == nullptr) size_ = 0;
    }
    return kept_;
  }

  void trim() {
    if (size_ <= kKeep) return;
    std::free(kept_);
    kept_ = nullptr, size_ = 0;
  }

 private:
  static constexpr int64_t kKeep = 64 << 20;
  char* kept_ = nullptr;
  int64_t size_ = 0;
};

thread_local Scratch scratch;

// Large results come as fresh pages; where the system offers large ones on request, a page fault in 4 KiB is spared.
template <class T>
void ask_for_large_pages(T* data, int64_t count) {
#if defined(__linux__)
  constexpr uintptr_t kLarge = uintptr_t(2) << 20;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + kLarge - 1) / kLarge * kLarge;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(data) + count * sizeof(T)) / kLarge * kLarge;
  if (data != nullptr && last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

template <class S>
constexpr ffi::DataType kType = sizeof(S) == 4 ? ffi::DataType::F32 : ffi::DataType::F64;

// Takes the buffers of a call one after the other, and remembers the first that does not fit.
template <class Buffers, class Get>
class Taker {
 public:
  Taker(const Buffers& buffers, Get get, const char* what) : buffers_(buffers), get_(get), what_(what) {}

  // The next buffer: `count` elements, or none where `optional` (then null).
  template <class T>
  T* take(int64_t count, bool optional = false) {
    const size_t i = next_++;
    auto buffer = get_(buffers_, i);
    if (!buffer.has_value()) return fail(i, "is missing");
    if (buffer->element_type() != type_of<T>()) return fail(i, "has another dtype");
    const int64_t n = buffer->element_count();
    if (optional && n == 0) return nullptr;
    if (n != count) return fail(i, "has " + std::to_string(n) + " elements, expected " + std::to_string(count));
    return reinterpret_cast<T*>(buffer->untyped_data());
  }

  const std::string& error() const { return error_; }

 private:
  template <class T>
  static ffi::DataType type_of() {
    if constexpr (sizeof(T) == 1) return ffi::DataType::PRED;
    else return kType<T>;
  }

  std::nullptr_t fail(size_t i, const std::string& why) {
    if (error_.empty()) error_ = std::string(what_) + " " + std::to_string(i) + " of a fused layer " + why;
    return nullptr;
  }

  const Buffers& buffers_;
  Get get_;
  const char* what_;
  size_t next_ = 0;
  std::string error_;
};

const auto get_argument = [](const ffi::RemainingArgs& b, size_t i) { return b.get<ffi::AnyBuffer>(i); };
const auto get_result = [](const ffi::RemainingRets& b, size_t i) {
  auto r = b.get<ffi::AnyBuffer>(i);
  return r.has_value() ? ffi::ErrorOr<ffi::AnyBuffer>(**r) : ffi::ErrorOr<ffi::AnyBuffer>(ffi::Unexpected(r.error()));
};

struct Layers {
  Shape shape;
  int64_t count;  // layers side by side: what vmap put in front
};

std::optional<Layers> layers_of(const ffi::RemainingArgs& args, int64_t cell, int64_t activation, int64_t workers,
                                int64_t hidden) {
  auto xs = args.get<ffi::AnyBuffer>(0);
  if (!xs.has_value() || xs->dimensions().size() < 3) return std::nullopt;
  const auto dims = xs->dimensions();
  const size_t rank = dims.size();
  Layers layers;
  layers.count = 1;
  for (size_t i = 0; i + 3 < rank; ++i) layers.count *= dims[i];
  Shape& s = layers.shape;
  s.cell = Cell(cell), s.activation = Activation(activation);
  s.T = dims[rank - 3], s.B = dims[rank - 2], s.I = dims[rank - 1], s.H = hidden;
  s.limit_workers(least(workers, kMaxWorkers));
  const bool known = cell >= kElman && cell <= kGruBefore && activation >= kTanh && activation <= kSigmoid;
  if (!known || s.T < 1 || s.B < 1 || s.I < 1 || s.H < 1) return std::nullopt;
  return layers;
}

// The buffers of a call in their order, and what one layer has of each: `in` and `out` are called with a pointer, the
// number of elements, and whether it may be absent.
template <class S, class In, class Out>
void each_buffer(Forward<S>& p, const In& in, const Out& out) {
  const Shape& s = p.shape;
  const int64_t GH = s.gates() * s.H, TB = s.T * s.B, BH = s.B * s.H, n = padded(s.H);
  const bool lstm = s.cell == kLstm;
  in(p.xs, TB * s.I);
  in(p.resets, TB);
  in(p.weight_xh, s.I * GH);
  in(p.weight_hh, s.H * GH);
  in(p.bias_h, GH);
  in(p.bias_hn, s.H, s.cell != kGruAfter);
  in(p.weight_ch, 3 * s.H, true);
  in(p.h, BH);
  in(p.c, BH, !lstm);
  in(p.fresh_h, BH);
  in(p.fresh_c, BH, !lstm);
  in(p.tap_h, TB * s.H, true);
  in(p.tap_c, TB * s.H, !lstm || p.tap_h == nullptr);
  out(p.ys, TB * s.H);
  out(p.last_h, BH);
  out(p.last_c, BH, !lstm);
  out(p.saved_gates, TB * s.saved_parts() * n, true);
  out(p.saved_c, TB * n, !lstm || p.saved_gates == nullptr);
}

template <class S, class In, class Out>
void each_buffer(Backward<S>& p, const In& in, const Out& out) {
  const Shape& s = p.shape;
  const int64_t GH = s.gates() * s.H, TB = s.T * s.B, BH = s.B * s.H, n = padded(s.H);
  const bool lstm = s.cell == kLstm;
  in(p.xs, TB * s.I);
  in(p.resets, TB);
  in(p.weight_xh, s.I * GH);
  in(p.weight_hh, s.H * GH);
  in(p.weight_ch, 3 * s.H, true);
  in(p.h, BH);
  in(p.c, BH, !lstm);
  in(p.fresh_h, BH);
  in(p.fresh_c, BH, !lstm);
  in(p.tap_h, TB * s.H, true);
  in(p.tap_c, TB * s.H, !lstm || p.tap_h == nullptr);
  in(p.ys, TB * s.H);
  in(p.saved_gates, TB * s.saved_parts() * n, s.saved_parts() == 0);
  in(p.saved_c, TB * n, !lstm);
  in(p.d_ys, TB * s.H);
  in(p.d_last_h, BH);
  in(p.d_last_c, BH, !lstm);
  out(p.d_xs, TB * s.I, true);
  out(p.d_weight_xh, s.I * GH);
  out(p.d_weight_hh, s.H * GH);
  out(p.d_bias_h, GH);
  out(p.d_bias_hn, s.H, s.cell != kGruAfter);
  out(p.d_weight_ch, 3 * s.H, p.weight_ch == nullptr);
  out(p.d_h, BH, true);
  out(p.d_c, BH, !lstm || p.d_h == nullptr);
  out(p.d_fresh_h, BH, p.d_h == nullptr);
  out(p.d_fresh_c, BH, !lstm || p.d_h == nullptr);
  out(p.d_tap_h, TB * s.H, true);
  out(p.d_tap_c, TB * s.H, !lstm || p.d_tap_h == nullptr);
}

template <class S>
void ask_for_large_pages(const Forward<S>& p, int64_t layers) {
  const int64_t TB = layers * p.shape.T * p.shape.B, n = padded(p.shape.H);
  ask_for_large_pages(p.ys, TB * p.shape.H);
  ask_for_large_pages(p.saved_gates, TB * p.shape.saved_parts() * n);
  ask_for_large_pages(p.saved_c, TB * n);
}

template <class S>
void ask_for_large_pages(const Backward<S>& p, int64_t layers) {
  ask_for_large_pages(p.d_xs, layers * p.shape.T * p.shape.B * p.shape.I);
}

// All layers of a call, one after the other, each over all threads.
template <class Problem>
ffi::Error run_layers(int64_t (*run)(const Problem&, char*, const Parallel&), ffi::ThreadPool& pool,
                      const Layers& layers, const ffi::RemainingArgs& args, const ffi::RemainingRets& rets) {
  Problem p{layers.shape};
  Taker in(args, get_argument, "argument");
  Taker out(rets, get_result, "result");
  const auto take = [&](auto& from) {
    return [&](auto& pointer, int64_t count, bool optional = false) {
      using Element = std::remove_const_t<std::remove_pointer_t<std::remove_reference_t<decltype(pointer)>>>;
      pointer = from.template take<Element>(layers.count * count, optional);
    };
  };
  each_buffer(p, take(in), take(out));
  const std::string& error = in.error().empty() ? out.error() : in.error();
  if (!error.empty()) return ffi::Error::InvalidArgument(error);
  ask_for_large_pages(p, layers.count);

  const Parallel parallel{run_on_pool, &pool};
  char* memory = scratch.get(run(p, nullptr, parallel));
  if (memory == nullptr) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "no memory for the scratch space of a fused layer");
  }
  const auto advance = [](auto& pointer, int64_t count, bool = false) {
    if (pointer != nullptr) pointer += count;
  };
  for (int64_t i = 0; i < layers.count; ++i) {
    run(p, memory, parallel);
    each_buffer(p, advance, advance);
  }
  scratch.trim();
  return ffi::Error::Success();
}

#define THROUGHTIME_CALL(name)                                                                                   \
  ffi::Error name(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t cell,            \
                  int64_t activation, int64_t hidden, int64_t workers) {                                           \
    const auto layers = layers_of(args, cell, activation, workers, hidden);                                        \
    if (!layers) return ffi::Error::InvalidArgument("a fused layer needs xs [..., T, B, I] with no size below 1"); \
    const InstructionSet& set = instruction_set();                                                                 \
    if (args.get<ffi::AnyBuffer>(0)->element_type() == ffi::DataType::F64) {                                       \
      return run_layers(set.twice.name, pool, *layers, args, rets);                                                \
    }                                                                                                              \
    return run_layers(set.single.name, pool, *layers, args, rets);                                                 \
  }

THROUGHTIME_CALL(forward)
THROUGHTIME_CALL(backward)
#undef THROUGHTIME_CALL

#define THROUGHTIME_BINDING    \
  ffi::Ffi::Bind()             \
      .Ctx<ffi::ThreadPool>()  \
      .RemainingArgs()         \
      .RemainingRets()         \
      .Attr<int64_t>("cell")   \
      .Attr<int64_t>("activation") \
      .Attr<int64_t>("hidden") \
      .Attr<int64_t>("workers")

}  // namespace
}  // namespace throughtime

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(throughtime_forward, throughtime::forward, THROUGHTIME_BINDING);
XLA_FFI_DEFINE_HANDLER_SYMBOL(throughtime_backward, throughtime::backward, THROUGHTIME_BINDING);

extern "C" const char* throughtime_sources() { return THROUGHTIME_SOURCES; }
extern "C" const char* throughtime_instruction_set() { return throughtime::instruction_set().name; }
#pragma GCC visibility pop
