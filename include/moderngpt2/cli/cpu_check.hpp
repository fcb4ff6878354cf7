#pragma once

#if defined(__x86_64__) && defined(__linux__) && (defined(__GNUC__) || defined(__clang__))

#include <errno.h>
#include <string.h>
#include <unistd.h>

namespace moderngpt2::detail {

// Checks for an instruction set: `name` for __builtin_cpu_supports(), `label` for the message.
#define MODERNGPT2_NEEDS(name, label) \
  if (!missing && !__builtin_cpu_supports(name)) missing = label;

/// Ends the program with one line on standard error and exit status 1 if the processor lacks instructions that it was
/// compiled for. Runs before all other initializers of the program and is compiled for any x86-64 processor: main() and
/// the initializers of global variables may contain the missing instructions. `static`: each source file checks what
/// its own flags need.
[[gnu::constructor(101), gnu::used, gnu::target("arch=x86-64")]] static void require_cpu() {
  __builtin_cpu_init();
  const char* missing = nullptr;
#ifdef __SSE4_2__
  MODERNGPT2_NEEDS("sse4.2", "SSE4.2")
#endif
#ifdef __POPCNT__
  MODERNGPT2_NEEDS("popcnt", "POPCNT")
#endif
#ifdef __AVX__
  MODERNGPT2_NEEDS("avx", "AVX")
#endif
#ifdef __AVX2__
  MODERNGPT2_NEEDS("avx2", "AVX2")
#endif
#ifdef __FMA__
  MODERNGPT2_NEEDS("fma", "FMA")
#endif
#ifdef __BMI__
  MODERNGPT2_NEEDS("bmi", "BMI1")
#endif
#ifdef __BMI2__
  MODERNGPT2_NEEDS("bmi2", "BMI2")
#endif
#ifdef __AVX512F__
  MODERNGPT2_NEEDS("avx512f", "AVX-512F")
#endif
#ifdef __AVX512BW__
  MODERNGPT2_NEEDS("avx512bw", "AVX-512BW")
#endif
#ifdef __AVX512VNNI__
  MODERNGPT2_NEEDS("avx512vnni", "AVX-512 VNNI")
#endif
#ifdef __AVX512BF16__
  MODERNGPT2_NEEDS("avx512bf16", "AVX-512 BF16")
#endif
  if (!missing) return;
  const char* const parts[]{program_invocation_short_name, ": error: this processor lacks ", missing,
                            ", which this program was compiled for. Build it on this machine, or with "
                            "-DMODERNGPT2_ARCH=x86-64-v2.\n"};
  char line[512];
  size_t length = 0;
  for (const char* part : parts)
    for (; *part && length < sizeof line; ++part) line[length++] = *part;
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line, length);
  _exit(1);
}

#undef MODERNGPT2_NEEDS

}  // namespace moderngpt2::detail

#endif
