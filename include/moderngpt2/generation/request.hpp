#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "moderngpt2/generation/completion.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Prompt and options of one text.
struct GenerationRequest {
  std::vector<int> prompt;  ///< empty: starts from the eos token
  GenerationOptions options{};
};

/// Number of a request of a BatchGenerator, from 1 on in the order of add().
using RequestId = std::uint64_t;

/// Functions of a request, which BatchGenerator::step() calls.
struct RequestCallbacks {
  /// Called for each new token but eos; returns whether to continue the text. Empty: the text continues.
  std::function<bool(RequestId, int token)> on_token{};
  /// Called once, after the last token of the text or after cancel(). Empty: the result is discarded.
  std::function<void(RequestId, GenerationResult)> on_done{};
};

}  // namespace moderngpt2
