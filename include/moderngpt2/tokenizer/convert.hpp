#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/formats/read_tokenizer.hpp"
#include "moderngpt2/tokenizer/formats/tiktoken.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/tokenizer_file_json.hpp"

namespace moderngpt2 {

/// Content of the SentencePiece model of these files; nullopt if their tokenizer has another format.
std::optional<std::string> sentencepiece_model_of(const TokenizerFiles& files);

/// tokenizer_config.json with the special tokens of a tokenizer. If its format names no roles (eos_token, ...), tokens
/// with the usual names have them. The class is PreTrainedTokenizerFast, which reads tokenizer.json unchanged.
Json tokenizer_config_json(const Tokenizer& tokenizer, std::int64_t model_max_length);

/// Files of a tokenizer that Tokenizer::load(path) has read, converted to tokenizer.json, the last one. A chat template
/// in a file of its own is copied; one in tokenizer_config.json is kept there. `pattern`: argument of the same call.
/// Throws Error for a tokenizer.json, and for formats that are not converted.
TokenizerFileList converted_tokenizer_files(const Tokenizer& tokenizer, const std::filesystem::path& path,
                                            const std::string& pattern, std::int64_t model_max_length);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE std::optional<std::string> sentencepiece_model_of(const TokenizerFiles& files) {
  if (files.files.empty()) return std::nullopt;
  const auto& [name, content] = files.files.front();
  if (name != "tokenizer.model" || detail::is_tiktoken(content)) return std::nullopt;
  return content;
}

MODERNGPT2_INLINE Json tokenizer_config_json(const Tokenizer& tokenizer, std::int64_t model_max_length) {
  Json json;
  // `usual`: names of the token that has the role if the format does not name it.
  const auto role = [&](const char* name, std::optional<int> id, std::initializer_list<const char*> usual) {
    for (const char* token : usual)
      if (const auto found = tokenizer.id(token); !id && found && tokenizer.is_special(*found)) id = found;
    if (id && tokenizer.has(*id)) json[name] = tokenizer.token(*id);
  };
  role("bos_token", tokenizer.bos_id(), {});
  role("eos_token", tokenizer.eos_id(), {});
  role("unk_token", tokenizer.unk_id(), {"<unk>", "[UNK]"});
  role("pad_token", tokenizer.pad_id(), {});
  role("cls_token", std::nullopt, {"[CLS]"});
  role("sep_token", std::nullopt, {"[SEP]"});
  role("mask_token", std::nullopt, {"<mask>", "[MASK]"});
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  json["clean_up_tokenization_spaces"] = false;
  json["model_max_length"] = model_max_length;
  return json;
}

MODERNGPT2_INLINE TokenizerFileList converted_tokenizer_files(const Tokenizer& tokenizer,
                                                              const std::filesystem::path& path,
                                                              const std::string& pattern,
                                                              std::int64_t model_max_length) {
  const TokenizerFiles found = TokenizerFiles::read(path, tokenizer.files().at(0).name);
  const std::string& own = tokenizer.files().at(0).name;
  if (own == "tokenizer.json")
    throw Error("{}: already a tokenizer.json. Copy it instead.", tokenizer.files()[0].path.string());
  TokenizerFileList files;
  Json config = tokenizer_config_json(tokenizer, model_max_length);
  for (const auto& [name, content] : found.files) {
    if (name == "chat_template.jinja") files.emplace_back(name, content);
    if (name != "tokenizer_config.json") continue;
    const Json before = parse_json(content, name);
    if (const Json* chat = find_field(before, "chat_template", name)) config["chat_template"] = *chat;
  }
  files.emplace_back("tokenizer_config.json", json_text(config, "tokenizer_config.json"));
  const TokenizerOptions options{.pattern = pattern};
  const Json json = tokenizer_json(detail::read_tokenizer(path, options).file);
  files.emplace_back("tokenizer.json", json_text(json, "tokenizer.json"));
  return files;
}

}  // namespace moderngpt2

#endif
