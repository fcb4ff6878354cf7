#pragma once

// Separate compilation of the library's non-template functions. By default they are inline in their headers. A program
// of several source files may define MODERNGPT2_SEPARATE_COMPILATION for all of them: headers then only declare these
// functions, and the explicit instantiations of backend/cpu/instances.hpp are `extern`. The program compiles the
// definitions once, in one source file for each part of the table: that file defines the part's macro before its first
// #include and includes the headers of the part.
//
//   macro                           headers
//   MODERNGPT2_DEFINE_FILES         backend/, io/, tokenizer/
//   MODERNGPT2_DEFINE_RUNS          data/, training/, run/
//   MODERNGPT2_DEFINE_COMMAND_LINE  cli/
//
// One more source file for each element type (float, bf16) instantiates the CPU operations; the one for float also
// instantiates Sampler<float>. The CMake target moderngpt2::compiled consists of these source files (cmake/compiled/)
// and defines the macro for programs that link it.

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

/// Specifier of a non-template function's definition: `inline`, or nothing with MODERNGPT2_SEPARATE_COMPILATION.
#ifdef MODERNGPT2_SEPARATE_COMPILATION
#define MODERNGPT2_INLINE
#else
#define MODERNGPT2_INLINE inline
#endif
