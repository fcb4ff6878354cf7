#pragma once

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate.hpp"

namespace moderngpt2 {

/// Throws Error where this processor lacks instructions that the program was compiled for, which would otherwise end
/// it with "illegal instruction".
void check_cpu();

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_FUNCTION void check_cpu() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  const char* missing = nullptr;
#ifdef __AVX__
  if (!__builtin_cpu_supports("avx")) missing = "AVX";
#endif
#ifdef __AVX2__
  if (!__builtin_cpu_supports("avx2")) missing = "AVX2";
#endif
#ifdef __FMA__
  if (!__builtin_cpu_supports("fma")) missing = "FMA";
#endif
#ifdef __AVX512F__
  if (!__builtin_cpu_supports("avx512f")) missing = "AVX-512F";
#endif
#ifdef __AVX512BW__
  if (!__builtin_cpu_supports("avx512bw")) missing = "AVX-512BW";
#endif
#ifdef __AVX512VNNI__
  if (!__builtin_cpu_supports("avx512vnni")) missing = "AVX-512 VNNI";
#endif
#ifdef __AVX512BF16__
  if (!__builtin_cpu_supports("avx512bf16")) missing = "AVX-512 BF16";
#endif
  if (missing)
    throw Error(
        "this program was built for processors with {}, which this one lacks: build it with "
        "-DMODERNGPT2_ARCH=x86-64-v2 or on this machine",
        missing);
#endif
}

}  // namespace moderngpt2

#endif
