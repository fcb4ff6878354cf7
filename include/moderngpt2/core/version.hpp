#pragma once

#include <string_view>

namespace moderngpt2 {

/// Version of the library and its programs.
inline constexpr std::string_view version = "0.2.0";

}  // namespace moderngpt2
