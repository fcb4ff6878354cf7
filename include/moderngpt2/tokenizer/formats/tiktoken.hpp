#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/base64.hpp"
#include "moderngpt2/tokenizer/byte_alphabet.hpp"
#include "moderngpt2/tokenizer/split_patterns.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2::detail {

/// Whether the bytes begin like a tiktoken file: a token in base64, a space, a rank.
bool is_tiktoken(std::string_view bytes);

/// Known tiktoken vocabulary: its splitting pattern, number of tokens and special tokens.
struct TiktokenEncoding {
  std::string_view name;
  std::size_t ranks;  ///< number of tokens without special ones
  std::string_view pattern;
  bool nfc = false;  ///< text is normalized
  std::vector<std::pair<std::string, int>> special;
};

/// Table of the known encodings.
const std::vector<TiktokenEncoding>& tiktoken_encodings();

/// Byte-level BPE whose merges are all pairs of tokens that make a token, by the rank of the result: tiktoken's rule.
class RankedVocabulary {
 public:
  explicit RankedVocabulary(std::string where) : where_(std::move(where)) {}

  /// Adds a token. Ranks must ascend; the id will be `first_id` + rank.
  void add(std::string_view bytes, std::size_t rank);

  std::size_t size() const { return tokens_.size(); }

  /// Tokenizer that splits text by `pattern` and has `special` tokens. `first_id` is the id of rank 0.
  TokenizerFile file(std::string_view pattern, bool nfc, int first_id,
                     const std::vector<std::pair<std::string, int>>& special) const;

 private:
  void add_merges(ModelFile& model, int first_id) const;

  std::string where_;
  std::vector<std::string> tokens_;  // bytes, by rank
};

/// Reads a file of ranks. `name` is that of the file or of an encoding, or a regular expression.
TokenizerFile read_tiktoken(std::string_view bytes, std::string_view pattern, std::string_view file_name,
                            const std::string& where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, std::min(bytes.find('\n'), std::size_t{1000}));
  const std::size_t space = line.find(' ');
  if (space == line.npos || space == 0 || !decode_base64(line.substr(0, space))) return false;
  std::string_view number = line.substr(space + 1);
  if (number.ends_with('\r')) number.remove_suffix(1);
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

MODERNGPT2_INLINE const std::vector<TiktokenEncoding>& tiktoken_encodings() {
  static const std::vector<TiktokenEncoding> encodings = [] {
    // The splits are those of tiktoken 0.14, written as in converted tokenizer.json files: cl100k has that of Llama 3.
    using namespace split_patterns;
    constexpr std::string_view kimi = R"([\p{Han}]+|)"
                                      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
                                      R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
                                      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
                                      R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
                                      R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const auto reserved = [](std::vector<std::pair<std::string, int>> list, std::string_view format, int number, int id,
                             int end) {
      while (id < end) list.emplace_back(fmt::format(fmt::runtime(format), number++), id++);
      return list;
    };
    std::vector<TiktokenEncoding> list;
    list.push_back({"gpt2", 50256, gpt2, false, {{"<|endoftext|>", 50256}}});
    list.push_back({"r50k", 50256, gpt2, false, {{"<|endoftext|>", 50256}}});
    list.push_back({"p50k", 50280, gpt2, false, {{"<|endoftext|>", 50256}}});
    list.push_back({"cl100k",
                    100256,
                    llama3,
                    false,
                    {{"<|endoftext|>", 100257},
                     {"<|fim_prefix|>", 100258},
                     {"<|fim_middle|>", 100259},
                     {"<|fim_suffix|>", 100260},
                     {"<|endofprompt|>", 100276}}});
    list.push_back({"o200k", 199998, o200k, false, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}});
    list.push_back({"llama3", 128000, llama3, false,
                    reserved({{"<|begin_of_text|>", 128000},
                              {"<|end_of_text|>", 128001},
                              {"<|reserved_special_token_0|>", 128002},
                              {"<|reserved_special_token_1|>", 128003},
                              {"<|reserved_special_token_2|>", 128004},
                              {"<|reserved_special_token_3|>", 128005},
                              {"<|start_header_id|>", 128006},
                              {"<|end_header_id|>", 128007},
                              {"<|reserved_special_token_4|>", 128008},
                              {"<|eot_id|>", 128009}},
                             "<|reserved_special_token_{}|>", 5, 128010, 128256)});
    list.push_back({"llama4", 200000, o200k, false, {{"<|begin_of_text|>", 200000}, {"<|end_of_text|>", 200001}}});
    list.push_back({"qwen", 151643, qwen2, true,
                    reserved({{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}},
                             "<|extra_{}|>", 0, 151646, 151851)});
    list.push_back({"kimi", 163584, kimi, false, {{"[BOS]", 163584}, {"[EOS]", 163585}}});
    return list;
  }();
  return encodings;
}

MODERNGPT2_INLINE void RankedVocabulary::add(std::string_view bytes, std::size_t rank) {
  // A rank file may have gaps, as p50k has one for its special token.
  if (rank < tokens_.size() || rank > tokens_.size() + 1000)
    throw Error("{}: a token has rank {}, expected {}: ranks must ascend from 0", where_, rank, tokens_.size());
  tokens_.resize(rank);
  tokens_.emplace_back(bytes);
}

MODERNGPT2_INLINE TokenizerFile RankedVocabulary::file(std::string_view pattern, bool nfc, int first_id,
                                                       const std::vector<std::pair<std::string, int>>& special) const {
  TokenizerFile file;
  file.where = where_;
  file.model.options.ignore_merges = true;
  std::string characters;
  for (std::size_t rank = 0; rank < tokens_.size(); ++rank) {
    if (tokens_[rank].empty()) continue;
    characters.clear();
    append_byte_characters(tokens_[rank], characters);
    if (file.model.ids.contains(characters))
      throw Error("{}: rank {} repeats the token {}", where_, rank, excerpt(tokens_[rank], 40));
    file.model.add(characters, first_id + static_cast<std::int64_t>(rank), tokens_.size(), where_);
  }
  add_merges(file.model, first_id);
  for (const auto& [content, id] : special) {
    AddedToken token;
    token.id = id;
    token.content = content;
    token.special = true;
    file.added_tokens.push_back(std::move(token));
  }
  if (nfc) file.normalizer = {{"type", "NFC"}};
  file.tiktoken_pattern = pattern;
  file.decoder = {{"type", "ByteLevel"}};
  return file;
}

MODERNGPT2_INLINE void RankedVocabulary::add_merges(ModelFile& model, int first_id) const {
  // A token of n bytes has n-1 pairs: long ones, such as runs of spaces, are bounded by the file's size.
  std::unordered_map<std::string_view, std::size_t> ranks;
  ranks.reserve(tokens_.size());
  std::size_t longest = 0;
  for (std::size_t rank = 0; rank < tokens_.size(); ++rank) {
    longest = std::max(longest, tokens_[rank].size());
    if (!tokens_[rank].empty()) ranks.emplace(tokens_[rank], rank);
  }
  constexpr std::size_t most = 10'000;
  if (longest > most) throw Error("{}: a token has {} bytes; at most {} are supported", where_, longest, most);
  const auto id = [&](std::size_t rank) { return first_id + static_cast<int>(rank); };
  for (std::size_t rank = 0; rank < tokens_.size(); ++rank) {
    const std::string_view token = tokens_[rank];
    for (std::size_t at = 1; at < token.size(); ++at) {
      const auto left = ranks.find(token.substr(0, at));
      if (left == ranks.end()) continue;
      const auto right = ranks.find(token.substr(at));
      if (right != ranks.end())
        model.merges.push_back({id(left->second), id(right->second), id(rank), static_cast<std::uint32_t>(rank)});
    }
  }
}

/// Known encoding by the name `pattern`, else by the file's name, else by the number of ranks; null if none.
inline const TiktokenEncoding* find_tiktoken_encoding(std::string_view pattern, std::string_view file_name,
                                                      std::size_t ranks) {
  const auto& encodings = tiktoken_encodings();
  if (pattern == "qwen2") pattern = "qwen";
  for (const TiktokenEncoding& encoding : encodings)
    if (pattern == encoding.name || pattern == std::string(encoding.name) + "_base") return &encoding;
  if (!pattern.empty()) return nullptr;
  for (const TiktokenEncoding& encoding : encodings)
    if (file_name.starts_with(encoding.name)) return &encoding;
  for (const TiktokenEncoding& encoding : encodings)
    if (ranks == encoding.ranks) return &encoding;
  return nullptr;
}

MODERNGPT2_INLINE TokenizerFile read_tiktoken(std::string_view bytes, std::string_view pattern,
                                              std::string_view file_name, const std::string& where) {
  RankedVocabulary vocabulary(where);
  std::size_t line = 0, ranks = 0;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    std::string_view text = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    ++line;
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    const std::size_t space = text.find(' ');
    const auto token = space == text.npos ? std::nullopt : decode_base64(text.substr(0, space));
    std::uint32_t rank = 0;
    const std::string_view number = space == text.npos ? std::string_view() : text.substr(space + 1);
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
    if (!token || error != std::errc() || stop != number.data() + number.size())
      throw Error("{}: line {} is {}: a token in base64, a space and its rank are needed", where, line,
                  excerpt(text, 40));
    if (token->empty()) continue;  // Whisper's multilingual vocabulary has one
    vocabulary.add(*token, rank);
    ++ranks;
  }
  const TiktokenEncoding* encoding = find_tiktoken_encoding(pattern, file_name, ranks);
  if (!encoding && pattern.empty())
    throw Error(
        "{}: how the text is split is not in the file, and neither its name nor its {} tokens are known. Name the "
        "pattern: gpt2, r50k, p50k, cl100k, o200k, llama3, llama4, qwen, kimi or a regular expression.",
        where, ranks);
  const auto is_of_name = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (!encoding && std::all_of(pattern.begin(), pattern.end(), is_of_name))
    throw Error(
        "{}: the pattern {} is unknown. Names: gpt2, r50k, p50k, cl100k, o200k, llama3, llama4, qwen, kimi; or give a "
        "regular expression.",
        where, excerpt(pattern, 40));
  std::vector<std::pair<std::string, int>> special;
  if (encoding)
    for (const auto& token : encoding->special)
      if (static_cast<std::size_t>(token.second) >= vocabulary.size() || encoding->ranks == ranks)
        special.push_back(token);
  return vocabulary.file(encoding ? encoding->pattern : pattern, encoding && encoding->nfc, 0, special);
}

}  // namespace moderngpt2::detail

#endif
