#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

// Golden cases of tokenizers: folders with a tokenizer of any format and expected.json, a list of {"text", "ids",
// "with_special", "decoded"} from Hugging Face `tokenizers`.
namespace moderngpt2::golden {

/// Result of comparing ids, ids with special tokens, or decoded texts.
struct TokenizerCheck {
  std::string what;
  std::size_t texts = 0, different = 0;
  std::string example;  ///< first text that differs
};

/// Whether a folder is a golden case of a tokenizer (expected.json without case.json), not of a model.
inline bool is_tokenizer_case(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "expected.json") && !std::filesystem::exists(folder / "case.json");
}

/// Compares a tokenizer with expected.json of its folder: ids, ids with those of the post-processor, decoded texts.
inline std::vector<TokenizerCheck> check_tokenizer(const std::filesystem::path& folder) {
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const std::string where = (folder / "expected.json").string();
  const Json expected = read_json_file(where);
  if (!expected.is_array())
    throw Error("{}: must be a list, found {}", where, moderngpt2::detail::json_excerpt(expected));
  std::vector<TokenizerCheck> checks(3);
  checks[0].what = "ids", checks[1].what = "ids with special tokens", checks[2].what = "decoded text";
  for (const Json& entry : expected) {
    const auto text = get_field<std::string>(entry, "text", where);
    const auto compare = [&](TokenizerCheck& check, const auto& value, const char* field) {
      ++check.texts;
      if (const Json* there = find_field(entry, field, where); !there || *there == Json(value)) return;
      if (++check.different == 1) check.example = text;
    };
    const std::vector<int> ids = tokenizer.encode(text);
    std::vector<int> with_special = tokenizer.encode_prompt(text);
    with_special.insert(with_special.end(), tokenizer.suffix_ids().begin(), tokenizer.suffix_ids().end());
    compare(checks[0], ids, "ids");
    compare(checks[1], with_special, "with_special");
    compare(checks[2], tokenizer.decode(ids), "decoded");
  }
  return checks;
}

}  // namespace moderngpt2::golden
