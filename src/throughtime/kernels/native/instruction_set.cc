// Which of the compiled versions this machine can run.
#include <cstdlib>
#include <cstring>

#include "implementation.h"

namespace throughtime {

#define THROUGHTIME_DECLARE(isa)                \
  namespace isa {                               \
  extern const Implementation<float> single;    \
  extern const Implementation<double> twice;    \
  }

THROUGHTIME_DECLARE(portable)
#if defined(THROUGHTIME_X86)
THROUGHTIME_DECLARE(avx2)
THROUGHTIME_DECLARE(avx512)
#endif

const InstructionSet& instruction_set() {
  static const InstructionSet sets[] = {
#if defined(THROUGHTIME_X86)
      {"avx512",
       [] {
         return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("fma");
       },
       avx512::single, avx512::twice},
      {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, avx2::single,
       avx2::twice},
#endif
      {"portable", [] { return true; }, portable::single, portable::twice},
  };
  static const InstructionSet& chosen = [&]() -> const InstructionSet& {
    const char* wanted = std::getenv("THROUGHTIME_ISA");
    for (const InstructionSet& set : sets) {
      if (set.runs_here() && (wanted == nullptr || std::strcmp(wanted, set.name) == 0)) return set;
    }
    for (const InstructionSet& set : sets) {
      if (set.runs_here()) return set;
    }
    std::abort();  // "portable" runs everywhere
  }();
  return chosen;
}

}  // namespace throughtime
