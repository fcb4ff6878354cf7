#pragma once

// The C++ bindings of old MPI libraries, which need a library of their own, are not used.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <unistd.h>

#if !__has_include(<mpi.h>)
#error "moderngpt2: <mpi.h> not found: link moderngpt2::mpi (find_package(moderngpt2 COMPONENTS mpi))"
#endif
#include <mpi.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/launch.hpp"

// Works with any MPI library of version 3 or later. Only this header includes mpi.h.
namespace moderngpt2::distributed {

namespace detail {

inline std::string mpi_text(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return text;
}

inline void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS) throw Error("MPI: {} failed: {}", call, mpi_text(code));
}

/// Prints `line` and ends all processes of the job; this process exits even if MPI_Abort hangs. `delay`: time for other
/// ranks to print their lines first.
[[noreturn]] inline void end_mpi_job(const std::string& line, int status, std::chrono::milliseconds delay = {}) {
  std::fflush(nullptr);
  std::fprintf(stderr, "%s; the job ends\n", line.c_str());
  std::this_thread::sleep_for(delay);
  ::alarm(20);  // SIGALRM ends this process if MPI_Abort hangs
  MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

}  // namespace detail

/// Initializes MPI, and finalizes it at the end of the scope. One per process, around all uses of MPI, which must come
/// from the thread that constructed it. If an exception leaves the scope, ends the job.
class MpiSession {
 public:
  MpiSession() {
    int is_initialized = 0, level = 0, size = 0;
    MPI_Initialized(&is_initialized);
    if (is_initialized) throw Error("MPI is initialized already: make only one MpiSession in a process");
    detail::check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
    if (level < MPI_THREAD_FUNNELED) {
      MPI_Finalize();
      throw Error("this MPI library does not support threads: use one that provides MPI_THREAD_FUNNELED");
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const auto launched = launched_processes();
    if (size == 1 && launched) {
      MPI_Finalize();
      throw Error(
          "a launcher has started {} processes ({}={}), but MPI has only one: use the mpirun (or srun --mpi=...) of "
          "the "
          "MPI library that this program was built with",
          launched->count, launched->variable, launched->count);
    }
  }
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession() {
    if (std::uncaught_exceptions() > exceptions_)  // the other ranks would wait for this one
      detail::end_mpi_job("an error ends this process", 1);
    MPI_Finalize();
  }

 private:
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace moderngpt2::distributed
