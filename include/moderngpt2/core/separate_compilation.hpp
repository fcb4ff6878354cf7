#pragma once

// Separate compilation of functions that are not templates. By default they are inline. A program of several source
// files may define MODERNGPT2_SEPARATE_COMPILATION for all of them: headers then only declare these functions and the
// explicit instantiations of backend/cpu/instances.hpp. One source file for each part below defines the part's macro
// before its first #include, and includes the part's headers. One more source file for each element type (float, bf16)
// instantiates the CPU operations; the one for float also instantiates Sampler<float>.
//
//   MODERNGPT2_DEFINE_FILES         backend/, io/, tokenizer/
//   MODERNGPT2_DEFINE_RUNS          data/, training/
//   MODERNGPT2_DEFINE_COMMAND_LINE  cli/
//
// The CMake target moderngpt2::compiled has these source files (cmake/compiled/) and defines the macro.

#ifdef MODERNGPT2_SEPARATE_COMPILATION
#ifndef MODERNGPT2_DEFINE_FILES
#define MODERNGPT2_DECLARE_FILES
#endif
#ifndef MODERNGPT2_DEFINE_RUNS
#define MODERNGPT2_DECLARE_RUNS
#endif
#ifndef MODERNGPT2_DEFINE_COMMAND_LINE
#define MODERNGPT2_DECLARE_COMMAND_LINE
#endif
#endif

/// Specifier of functions that can be compiled separately: `inline`, or nothing with MODERNGPT2_SEPARATE_COMPILATION.
#ifdef MODERNGPT2_SEPARATE_COMPILATION
#define MODERNGPT2_INLINE
#else
#define MODERNGPT2_INLINE inline
#endif
