#pragma once

#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>

#include <arrow/status.h>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::detail {

/// Runs `body` on a Parquet file, and turns Arrow's failures, of either kind, into an Error of one line. `body` gets a
/// function that throws where a status is not OK.
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

}  // namespace moderngpt2::detail
