#pragma once

#include <string_view>

namespace moderngpt2 {

/// The version of the library and of its programs.
inline constexpr std::string_view version = "0.1.0";

}  // namespace moderngpt2
