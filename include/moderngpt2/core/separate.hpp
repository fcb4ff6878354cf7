#pragma once

// Separate compilation of functions that are no templates. A program of several source files may define
//
//   MODERNGPT2_SEPARATE    for all of its files: headers declare these functions and the instances of backend/cpu/, and
//                          contain no definitions, so that no file compiles them
//   MODERNGPT2_DEFINE      for one of them, which includes every header that the program uses: this file compiles them
//
// Without either, which is the default, the definitions are inline functions.

#if defined(MODERNGPT2_SEPARATE) && !defined(MODERNGPT2_DEFINE)
#define MODERNGPT2_DECLARE_ONLY
#endif

/// Precedes a definition that MODERNGPT2_DECLARE_ONLY leaves out.
#ifdef MODERNGPT2_DEFINE
#define MODERNGPT2_FUNCTION
#else
#define MODERNGPT2_FUNCTION inline
#endif
