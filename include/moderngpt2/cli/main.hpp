#pragma once

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>
#include <unistd.h>

#include "moderngpt2/cli/cpu_check.hpp"
#include "moderngpt2/cli/exit_request.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Flushes standard output. Throws Error if it cannot be written (a full disk), and ExitRequest (status 141, like
/// SIGPIPE) for a broken pipe.
void flush_standard_output();

namespace detail {

std::string program_name(int argc, char** argv);

/// Opens /dev/null for each closed standard descriptor (0 to 2). Otherwise the next opened file would get such a
/// descriptor and receive the program's messages.
void occupy_standard_descriptors();

/// Runs `body` and converts exceptions to one line on standard error and an exit status.
template <class Body>
int status_of(const std::string& name, Body&& body) {
  const auto print_error = [&name](const std::string& message) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: error: %s\n", name.c_str(), printable(message).c_str());
  };
  try {
    return body();
  } catch (const ExitRequest& request) {
    std::fputs(request.text.c_str(), stdout);
    return request.status;
  } catch (const UsageError& error) {
    print_error(error.what());
    std::fprintf(stderr, "Try '%s --help'.\n", name.c_str());
    return 2;
  } catch (const std::bad_alloc&) {
    print_error("out of memory. Use a smaller batch, block or model, or a machine with more memory");
  } catch (const std::filesystem::filesystem_error& error) {
    print_error(error.path1().empty() ? error.what() : error.path1().string() + ": " + error.code().message());
  } catch (const std::exception& error) {
    print_error(error.what());
  } catch (...) {
    print_error("stopped by an exception of an unknown type");
  }
  return 1;
}

}  // namespace detail

/// Runs `program` and turns its exceptions into one line on standard error and an exit status: 0 success, 1 Error,
/// 2 UsageError, 141 broken pipe on standard output. Each program's main() calls it. Messages name settings as flags
/// (setting_prefix). SIGPIPE is ignored, so that a closed pipe cannot end a run while it saves a checkpoint.
/// cpu_check.hpp checks the processor before main().
inline int run_main(int argc, char** argv, int (*program)(int argc, char** argv)) {
  const std::string name = detail::program_name(argc, argv);
  detail::occupy_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  setting_prefix = "--";
  const int status = detail::status_of(name, [&] { return program(argc, argv); });
  if (status != 0) return status;  // the error is printed; exit() flushes the rest
  return detail::status_of(name, [] {
    flush_standard_output();
    return 0;
  });
}

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_INLINE void flush_standard_output() {
  errno = 0;
  const bool stream_failed = !std::cout.flush();
  const bool file_failed = std::fflush(stdout) != 0 || std::ferror(stdout);
  if (!stream_failed && !file_failed) return;
  if (errno == EPIPE) throw ExitRequest{128 + SIGPIPE, ""};
  throw Error("cannot write to standard output: {}", errno ? std::strerror(errno) : "an earlier write failed");
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string program_name(int argc, char** argv) {
  const std::string path = argc > 0 && argv[0] ? argv[0] : "moderngpt2";
  return path.substr(path.rfind('/') + 1);
}

MODERNGPT2_INLINE void occupy_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return;
}

}  // namespace moderngpt2::detail

#endif
