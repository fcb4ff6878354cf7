#pragma once

#include <cstdint>

namespace moderngpt2::reference {

/// Plain loops on any scalar, in the order of the formulas: the oracle that the other backends are held against.
struct Backend {
  static constexpr const char* name = "reference";
  int threads() const { return 1; }
};

}  // namespace moderngpt2::reference
