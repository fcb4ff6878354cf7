#pragma once

#include <string>

namespace moderngpt2 {

/// Thrown where a program has nothing more to do, as after --help: run_main() prints `text` on standard output and
/// exits with `status`.
struct ExitRequest {
  int status = 0;
  std::string text;
};

}  // namespace moderngpt2
