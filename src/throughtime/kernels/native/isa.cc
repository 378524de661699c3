// One instruction set's version of the kernels; compiled once for each, with its own flags (setup.py).
#include "backward.h"
#include "implementation.h"

namespace throughtime::THROUGHTIME_ISA {

// `task(i)` for each i in [0, count), in parallel.
template <class F>
void run(const Parallel& parallel, int64_t count, const F& task) {
  const auto call = [](void* argument, int64_t i) { (*static_cast<const F*>(argument))(i); };
  parallel.run(parallel.context, count, call, const_cast<void*>(static_cast<const void*>(&task)));
}

template <class S>
int64_t forward(const Forward<S>& p, char* memory, const Parallel& parallel) {
  Arena arena{memory};
  ForwardPacked<S> packed(p.shape, arena);
  ForwardScratch<S> own[kMaxWorkers];
  for (int64_t w = 0; w < p.shape.workers; ++w) own[w] = ForwardScratch<S>(p.shape, arena);
  if (memory == nullptr) return arena.used;
  packed.fill(p);
  run(parallel, p.shape.workers, [&](int64_t w) { forward_worker(p, packed, own[w], w); });
  return arena.used;
}

template <class S>
int64_t backward(const Backward<S>& p, char* memory, const Parallel& parallel) {
  Arena arena{memory};
  BackwardPacked<S> packed(p.shape, p.d_xs != nullptr, arena);
  BackwardScratch<S> own[kMaxWorkers];
  for (int64_t w = 0; w < p.shape.workers; ++w) own[w] = BackwardScratch<S>(p.shape, arena);
  if (memory == nullptr) return arena.used;
  run(parallel, p.shape.workers, [&](int64_t w) { packed.fill(p, w); });
  run(parallel, p.shape.workers, [&](int64_t w) { backward_worker(p, packed, own[w], w); });
  run(parallel, p.shape.workers, [&](int64_t w) { sum_workers(p, own, w); });
  return arena.used;
}

extern const Implementation<float> single{forward<float>, backward<float>};
extern const Implementation<double> twice{forward<double>, backward<double>};

}  // namespace throughtime::THROUGHTIME_ISA
