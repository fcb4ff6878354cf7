#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/bpe.hpp"

namespace moderngpt2::test {

/// BPE by its definition, character by character and merge by merge.
struct NaiveBpe {
  std::vector<std::string> tokens;
  std::map<std::string, int> ids;
  std::vector<detail::BpeMerge> merges;
  detail::BpeOptions options;

  int add(const std::string& token) {
    const auto [at, is_new] = ids.emplace(token, static_cast<int>(tokens.size()));
    if (is_new) tokens.push_back(token);
    return at->second;
  }
  void add_merge(int left, int right) {
    const std::string text = tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
    merges.push_back({left, right, add(text)});
  }

  std::vector<int> encode(std::string_view text) const {
    std::map<std::pair<int, int>, std::size_t> ranks;
    for (std::size_t rank = 0; rank < merges.size(); ++rank) ranks[{merges[rank].left, merges[rank].right}] = rank;
    std::vector<int> symbols = symbols_of(text);
    while (true) {
      std::size_t lowest = merges.size(), at = 0;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto found = ranks.find({symbols[i], symbols[i + 1]});
        if (found != ranks.end() && found->second < lowest) {
          lowest = found->second;
          at = i;
        }
      }
      if (lowest == merges.size()) return symbols;
      symbols[at] = merges[lowest].result;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

 private:
  static std::vector<std::string> characters(std::string_view text) {
    std::vector<std::string> result;
    for (const char c : text) {
      if (moderngpt2::detail::is_utf8_continuation(c)) {
        result.back() += c;
      } else {
        result.emplace_back(1, c);
      }
    }
    return result;
  }

  std::vector<int> symbols_of(std::string_view text) const {
    std::vector<int> symbols;
    int unknown = 0;  // unknown characters that wait for a known one
    const auto write_unknown = [&] {
      if (options.fuse_unk) unknown = std::min(unknown, 1);
      for (; unknown > 0; --unknown) symbols.push_back(options.unk_id);
    };
    for (std::string character : characters(text)) {
      if (character == " " && options.marks_spaces) character = space_mark;
      const auto found = ids.find(character);
      std::vector<int> bytes;
      for (const char c : character) bytes.push_back(options.byte_ids[static_cast<unsigned char>(c)]);
      if (found != ids.end()) {
        write_unknown();
        symbols.push_back(found->second);
      } else if (std::count(bytes.begin(), bytes.end(), -1) == 0) {
        symbols.insert(symbols.end(), bytes.begin(), bytes.end());
      } else if (options.unk_id >= 0) {
        // `tokenizers` writes a waiting unk before the next one, even after bytes
        if (unknown > 0 && !options.fuse_unk) write_unknown();
        ++unknown;
      }
    }
    write_unknown();
    return symbols;
  }
};

}  // namespace moderngpt2::test
