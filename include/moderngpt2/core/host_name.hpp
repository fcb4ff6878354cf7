#pragma once

#include <string>
#include <unistd.h>

namespace moderngpt2 {

/// Name of this machine; "localhost" if it has none.
inline std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 && *name ? name : "localhost";
}

}  // namespace moderngpt2
