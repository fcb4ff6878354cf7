#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
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

/// Sizes of a BatchGenerator.
struct BatchGeneratorSettings {
  int slots = 8;            ///< maximum number of texts that are decoded in one pass, from 1 to 65536
  int slot_tokens = 0;      ///< maximum length of a text, prompt and completion together; 0: the model's n_positions
  int prefill_chunk = 512;  ///< maximum number of prompt tokens in one step(), from 1 on

  /// Settings with the slot_tokens for a model. Throws an Error for values out of range.
  BatchGeneratorSettings for_model(const Config& config) const {
    constexpr int max_slots = 1 << 16;
    const auto require = [](const char* name, int value, int least) {
      if (value < least) throw Error("BatchGeneratorSettings: {} is {}, expected at least {}", name, value, least);
    };
    if (slots > max_slots) throw Error("BatchGeneratorSettings: slots is {}, expected at most {}", slots, max_slots);
    require("slots", slots, 1), require("slot_tokens", slot_tokens, 0), require("prefill_chunk", prefill_chunk, 1);
    BatchGeneratorSettings s = *this;
    if (s.slot_tokens == 0 || s.slot_tokens > config.n_positions) s.slot_tokens = config.n_positions;
    return s;
  }
};

}  // namespace moderngpt2
