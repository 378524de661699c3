// The functions that each instruction set's translation unit offers, and the choice between them.
#pragma once

#include "layer.h"

namespace throughtime {

constexpr int64_t kMaxWorkers = 64;

// Calls task(argument, i) once for each i in [0, count), on as many threads as there are; returns when all are done.
struct Parallel {
  void (*run)(void* context, int64_t count, void (*task)(void* argument, int64_t i), void* argument);
  void* context;
};

// `memory` null: nothing is computed, and the bytes of scratch memory that a call needs are returned.
template <class S>
struct Implementation {
  int64_t (*forward)(const Forward<S>&, char* memory, const Parallel&);
  int64_t (*backward)(const Backward<S>&, char* memory, const Parallel&);
};

struct InstructionSet {
  const char* name;
  bool (*runs_here)();
  Implementation<float> single;
  Implementation<double> twice;
};

// The best that this machine has; THROUGHTIME_ISA in the environment names another one of them (for tests).
const InstructionSet& instruction_set();

}  // namespace throughtime
