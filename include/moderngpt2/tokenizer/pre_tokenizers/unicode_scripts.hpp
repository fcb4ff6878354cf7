#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>
#include <vector>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece.hpp"
#include "moderngpt2/tokenizer/unicode/script_runs.hpp"

namespace moderngpt2::detail {

/// Number of a character's script in script_runs.
inline std::uint32_t script_number(char32_t c) {
  static const std::vector<std::uint32_t> starts = [] {  // first character of each run
    std::vector<std::uint32_t> result;
    std::uint32_t first = 0;
    for (std::size_t i = 0; i + 1 < std::size(script_runs); i += 2) {
      result.push_back(first);
      first += script_runs[i];
    }
    return result;
  }();
  const auto after = std::upper_bound(starts.begin(), starts.end(), static_cast<std::uint32_t>(c));
  return script_runs[static_cast<std::size_t>(after - starts.begin() - 1) * 2 + 1];
}

/// Pre-tokenizer UnicodeScripts: splits between characters of different scripts. Like `tokenizers`, drops spaces and
/// other characters without a script at the beginning of a piece.
class UnicodeScriptsPreTokenizer {
 public:
  static constexpr std::string_view type = "UnicodeScripts";

  explicit UnicodeScriptsPreTokenizer(const Component& component) { component.expect({}); }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    constexpr std::uint32_t any = 0;
    const char* const end = piece.text.data() + piece.text.size();
    const char* begin = nullptr;
    std::uint32_t last = any;
    for (const char* p = piece.text.data(); p != end;) {
      const auto length = utf8_length(*p);
      const auto script = script_number(utf8_decode({p, length}, 0, length));
      if (script != any && script != last) {
        if (begin) emit(part_of(piece, begin, p));
        begin = p;
        last = script;
      }
      p += length;
    }
    if (begin) emit(part_of(piece, begin, end));
  }
};

}  // namespace moderngpt2::detail
