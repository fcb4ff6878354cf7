#pragma once

#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>

#ifdef MODERNGPT2_HAVE_PARQUET
#if !__has_include(<arrow/status.h>)
#error "moderngpt2: <arrow/status.h> not found: link moderngpt2::data, or compile without MODERNGPT2_HAVE_PARQUET"
#endif
#include <arrow/status.h>
#endif

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::detail {

/// Throws Error for a program without Arrow's Parquet library, which cannot read or write the Parquet file `path`.
[[noreturn]] inline void refuse_parquet(const std::filesystem::path& path) {
  throw Error(
      "{}: this program was built without Parquet and cannot read or write this file. Run "
      "cmake/install_dependencies.sh, then configure and build again.",
      path.string());
}

#ifdef MODERNGPT2_HAVE_PARQUET

/// Runs `body` on a Parquet file and converts Arrow's exceptions and statuses to a one-line Error. `body` receives a
/// function that throws for a status that is not OK.
template <class Body>
void guard_arrow(const std::filesystem::path& path, std::string_view action, Body&& body) {
  const auto fail = [&](const std::string& why) {
    throw Error("{}: cannot {} as Parquet: {}", path.string(), action, why.substr(0, why.find('\n')));
  };
  try {
    body([&](const arrow::Status& status) {
      if (!status.ok()) fail(status.message());
    });
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

#endif

}  // namespace moderngpt2::detail
