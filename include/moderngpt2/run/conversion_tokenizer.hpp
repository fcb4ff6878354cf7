#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/tokenizer/convert.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Adds tokenizer.json to the files of a tokenizer if they lack it, for programs that read no other format. `path`: the
/// tokenizer, as for Tokenizer::load(). `n_positions`: maximum length in tokens. Returns lines for the user. Throws an
/// Error that names the tokenizer if its format cannot be converted.
std::vector<std::string> add_tokenizer_json(TokenizerFiles& tokenizer, const std::filesystem::path& path,
                                            std::int64_t n_positions);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<std::string> add_tokenizer_json(TokenizerFiles& tokenizer,
                                                              const std::filesystem::path& path,
                                                              std::int64_t n_positions) {
  std::vector<std::string> notes;
  const auto has = [&](const std::string& name) {
    return std::any_of(tokenizer.files.begin(), tokenizer.files.end(), [&](const auto& f) { return f.first == name; });
  };
  if (tokenizer.files.empty() || has("tokenizer.json")) return notes;
  const std::string& own = tokenizer.files.front().first;
  if (TokenizerFiles::place_of(own) == TokenizerFiles::vocabularies.size()) return notes;  // companions alone
  const std::string where = std::filesystem::is_directory(path) ? (path / own).string() : path.string();
  TokenizerFileList made;
  if (const auto model = sentencepiece_model_of(tokenizer)) {
    made = sentencepiece_tokenizer_files(*model, where, n_positions);
    for (const std::string& line : sentencepiece_differences(parse_sentencepiece_model(*model, where)))
      notes.push_back(fmt::format("{}: tokenizer.json gives some texts other ids: {}", where, line));
  } else {
    made = converted_tokenizer_files(Tokenizer::load(path), path, "", n_positions);
  }
  for (auto& [name, content] : made) {
    const auto found = std::find_if(tokenizer.files.begin(), tokenizer.files.end(),
                                    [&](const auto& file) { return file.first == name; });
    if (found == tokenizer.files.end())
      tokenizer.files.emplace_back(name, std::move(content));
    else if (name != "tokenizer.model" && name != "chat_template.jinja")
      found->second = std::move(content);
  }
  notes.push_back(fmt::format("tokenizer.json is made from {}", where));
  return notes;
}

}  // namespace moderngpt2

#endif
