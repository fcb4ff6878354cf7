#pragma once

// Separate compilation of functions that are not templates. By default they are inline. A program of several source
// files may define MODERNGPT2_SEPARATE for all of its files: headers then only declare these functions and the
// instances of backend/cpu/instances.hpp, and no file compiles them but three, each of which includes the headers of
// its part:
//
//   MODERNGPT2_DEFINE_FILES  defined before its first include: backend/, io/, tokenizer/
//   MODERNGPT2_DEFINE_RUNS   likewise: data/, training/
//   MODERNGPT2_DEFINE_COMMAND_LINE  likewise: cli/
//
// The programs of examples/ do so, in examples/instances/.

#ifdef MODERNGPT2_SEPARATE
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

/// Begins a definition that separate compilation leaves out of most files.
#ifdef MODERNGPT2_SEPARATE
#define MODERNGPT2_FUNCTION
#else
#define MODERNGPT2_FUNCTION inline
#endif
