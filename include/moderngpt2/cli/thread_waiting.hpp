#pragma once

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>
#include <unistd.h>

#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Makes OpenMP's threads wait for each other with little spinning, unless an environment variable says how. With the
/// runtimes' defaults they spin for milliseconds, and on processors that another program uses too, spinning threads
/// delay the one they wait for: generation took 60 times as long beside one busy program on two cores. The runtimes
/// read their variables before main(), so the program sets them and starts itself again. Does nothing under a preloaded
/// library (a profiler or memory checker), if the program's file cannot be found, and if `argv` is not that of main().
void choose_thread_waiting(char** argv);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_INLINE void choose_thread_waiting(char** argv) {
  if (argv[0] != ::program_invocation_name) return;
  for (const char* chosen : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY", "LD_PRELOAD"})
    if (std::getenv(chosen)) return;
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = 0;
  const std::string file = path;
  if (file.compare(file.rfind('/') + 1, 3, "ld-") == 0) return;  // started as an argument of the dynamic linker
  // GNU's runtime: some microseconds. Without the variable, the program would start itself for ever.
  if (::setenv("GOMP_SPINCOUNT", "1000", 1) != 0) return;
  ::setenv("KMP_BLOCKTIME", "0", 1);  // LLVM's runtime
  ::execv(path, argv);
  ::unsetenv("GOMP_SPINCOUNT");
  ::unsetenv("KMP_BLOCKTIME");
}

}  // namespace moderngpt2

#endif
