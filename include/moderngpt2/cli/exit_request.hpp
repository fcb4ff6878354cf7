#pragma once

#include <string>

namespace moderngpt2 {

/// Thrown to end a program early, for example after --help. run_main() prints `text` on standard output and exits with
/// `status`.
struct ExitRequest {
  int status = 0;
  std::string text;
};

}  // namespace moderngpt2
