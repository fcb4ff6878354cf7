#pragma once

#include <cstddef>
#include <string>

namespace moderngpt2::detail {

/// State of one decoder for one text. Decoders themselves are immutable.
struct DecoderState {
  std::string held;        ///< text that later tokens may still change
  std::size_t count = 0;   ///< tokens read; Strip in chunks: characters removed
  bool holds = false;      ///< `held` is a token (BPEDecoder, CTC)
  bool done = false;       ///< Strip: the beginning is over; ByteFallback: the current run is not UTF-8
  bool early = false;      ///< gives text away as soon as it cannot change, in more than one part
  bool in_chunks = false;  ///< the input is one token that arrives in parts
  bool alone = false;      ///< the text of a single token inside a longer text is asked for, as bytes
};

}  // namespace moderngpt2::detail
