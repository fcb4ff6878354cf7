#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/byte_alphabet.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/decoder.hpp"
#include "moderngpt2/tokenizer/decoders/decoder_state.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Decoder ByteLevel: replaces the characters of byte-level BPE by their bytes. A token with any other character keeps
/// its own bytes. Invalid UTF-8 becomes U+FFFD, one for each maximal subpart.
struct ByteLevelDecoder {
  static constexpr std::string_view type = "ByteLevel";

  explicit ByteLevelDecoder(const Component& component) {
    // Fields for the pre-tokenizer ByteLevel; they have no effect on decoding.
    component.expect({"add_prefix_space", "trim_offsets", "use_regex"});
  }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    if (!append_bytes_of_characters(token, state.held)) state.held += token;
    if (state.early && !state.alone) give(state, emit);
  }

  template <class Emit>
  void finish(DecoderState& state, Emit&& emit) const {
    if (valid_utf8_prefix(state.held) == state.held.size() || state.alone)
      emit(std::string_view(state.held));
    else
      emit(std::string_view(replace_invalid_utf8(state.held)));
    state.held.clear();
  }

 private:
  /// Emits the held bytes except an incomplete character at the end.
  template <class Emit>
  static void give(DecoderState& state, Emit&& emit) {
    std::size_t whole = valid_utf8_prefix(state.held);
    while (whole < state.held.size()) {
      const auto step = utf8_step(state.held, whole);
      if (step.truncated) break;
      whole += step.length;
      whole += valid_utf8_prefix(std::string_view(state.held).substr(whole));
    }
    const std::string_view ready = std::string_view(state.held).substr(0, whole);
    if (!ready.empty()) {
      if (valid_utf8_prefix(ready) == ready.size())
        emit(ready);
      else
        emit(std::string_view(replace_invalid_utf8(ready)));
    }
    state.held.erase(0, whole);
  }
};

/// Decoder ByteFallback: replaces tokens of the form <0xNN> by their bytes. A run of them that is not valid UTF-8
/// becomes one U+FFFD per byte.
struct ByteFallbackDecoder {
  static constexpr std::string_view type = "ByteFallback";

  explicit ByteFallbackDecoder(const Component& component) { component.expect({}); }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    const int byte = byte_of_token(token);
    if (byte < 0) {
      finish(state, emit);
      emit(token);
    } else if (state.alone) {
      const char c = static_cast<char>(byte);
      emit(std::string_view(&c, 1));
    } else if (state.done) {
      emit(replacement_character);
    } else {
      state.held.push_back(static_cast<char>(byte));
      if (state.early) give(state, emit);
    }
  }

  /// Ends a run of byte tokens and emits its text.
  template <class Emit>
  void finish(DecoderState& state, Emit&& emit) const {
    if (!state.held.empty()) {
      if (valid_utf8_prefix(state.held) == state.held.size())
        emit(std::string_view(state.held));
      else
        for (std::size_t i = 0; i < state.held.size(); ++i) emit(replacement_character);
    }
    state.held.clear();
    state.done = false;
  }

 private:
  /// Emits whole characters early. They remain even if a later byte of the run is not valid UTF-8.
  template <class Emit>
  static void give(DecoderState& state, Emit&& emit) {
    const std::size_t whole = valid_utf8_prefix(state.held);
    if (whole > 0) emit(std::string_view(state.held).substr(0, whole));
    state.held.erase(0, whole);
    if (state.held.empty() || utf8_step(state.held, 0).truncated) return;
    for (std::size_t i = 0; i < state.held.size(); ++i) emit(replacement_character);
    state.held.clear();
    state.done = true;
  }
};

}  // namespace moderngpt2::detail
