#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/models/bpe.hpp"

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
    merges.push_back({left, right, add(text), static_cast<std::uint32_t>(merges.size())});
  }

  std::vector<int> encode(std::string_view text) const {
    if (options.ignore_merges)
      if (const auto whole = ids.find(text_of(text)); whole != ids.end() && !text.empty()) return {whole->second};
    return merged(symbols_of(text));
  }

  /// Symbols after all merges.
  std::vector<int> merged(std::vector<int> symbols) const {
    std::map<std::pair<int, int>, detail::BpeMerge> rules;
    for (const detail::BpeMerge& merge : merges) rules[{merge.left, merge.right}] = merge;
    while (true) {
      const detail::BpeMerge* lowest = nullptr;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto found = rules.find({symbols[i], symbols[i + 1]});
        if (found == rules.end() || (lowest && found->second.rank >= lowest->rank)) continue;
        lowest = &found->second;
        at = i;
      }
      if (!lowest) return symbols;
      symbols[at] = lowest->result;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

  /// Initial symbols with affixes: the text of each, in the order of the characters.
  std::vector<std::string> with_affixes(std::string_view text) const {
    std::vector<std::string> result = characters(text);
    for (std::size_t i = 1; i < result.size(); ++i) result[i] = options.continuing_subword_prefix + result[i];
    if (!result.empty()) result.back() += options.end_of_word_suffix;
    return result;
  }

 private:
  std::string text_of(std::string_view text) const {
    std::string result;
    for (const char c : text) c == ' ' && options.marks_spaces ? result += space_mark : result += c;
    return result;
  }

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
    for (std::string character : with_affixes(text)) {
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
