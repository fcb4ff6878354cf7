#pragma once

#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "support/tokenizer_json.hpp"

namespace moderngpt2::test {

/// Writes a tokenizer with single-character tokens: <pad> 0, <unk> 1, <eos> 2, bytes, a space mark, letters, digits and
/// some signs. Without `pad`, it has no pad token.
inline void write_letter_tokenizer(const std::filesystem::path& folder, bool pad = true) {
  std::filesystem::create_directories(folder);
  Json json = empty_tokenizer_json();
  Json& vocabulary = json["model"]["vocab"];
  for (const char* name : {"<pad>", "<unk>", "<eos>"}) {
    const int id = int(vocabulary.size());
    json["added_tokens"].push_back(special_token(id, name));
    vocabulary[name] = id;
  }
  for (int byte = 0; byte < 256; ++byte) vocabulary[fmt::format("<0x{:02X}>", byte)] = 3 + byte;
  vocabulary["\xE2\x96\x81"] = 3 + 256;
  for (const char c : std::string("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!'"))
    vocabulary[std::string(1, c)] = int(vocabulary.size());
  write_json_file(folder / "tokenizer.json", json);
  write_file(folder / "tokenizer_config.json",
             pad ? R"({"eos_token": "<eos>", "pad_token": "<pad>"})" : R"({"eos_token": "<eos>"})");
}

}  // namespace moderngpt2::test
