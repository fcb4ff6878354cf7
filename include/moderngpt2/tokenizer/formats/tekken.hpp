#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/formats/tiktoken.hpp"

namespace moderngpt2::detail {

/// Whether the JSON has the fields of a tekken.json, not those of a tokenizer.json.
inline bool is_tekken(const Json& json) {
  return json.is_object() && json.contains("config") && json.contains("vocab") && !json.contains("model") &&
         !json["config"].is_number();
}

/// Reads Mistral's tekken.json, versions v1 to v15. Special tokens have the first ids, then the ranked tokens follow.
TokenizerFile read_tekken(const Json& json, const std::string& where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE TokenizerFile read_tekken(const Json& json, const std::string& where) {
  // Special tokens of version v7 and earlier, which are not in the file (mistral_common's tekken.py).
  static constexpr const char* early[] = {"<unk>",
                                          "<s>",
                                          "</s>",
                                          "[INST]",
                                          "[/INST]",
                                          "[AVAILABLE_TOOLS]",
                                          "[/AVAILABLE_TOOLS]",
                                          "[TOOL_RESULTS]",
                                          "[/TOOL_RESULTS]",
                                          "[TOOL_CALLS]",
                                          "[IMG]",
                                          "<pad>",
                                          "[IMG_BREAK]",
                                          "[IMG_END]",
                                          "[PREFIX]",
                                          "[MIDDLE]",
                                          "[SUFFIX]",
                                          "[SYSTEM_PROMPT]",
                                          "[/SYSTEM_PROMPT]",
                                          "[TOOL_CONTENT]"};
  const Component all(json, where);
  const Component config = all.inner(all.field("config"), "config");
  const auto pattern = config.get<std::string>("pattern");
  const auto version = config.get_or<std::string>("version", "v3");
  const auto size = config.get<std::size_t>("default_vocab_size");
  const auto special_count = config.get<std::size_t>("default_num_special_tokens");
  const Json& vocabulary = all.field("vocab");
  if (!vocabulary.is_array()) all.fail("vocab must be a list, found {}", json_excerpt(vocabulary));
  if (special_count > size || size - special_count > vocabulary.size())
    config.fail("default_vocab_size {} is not between the {} special tokens and the {} tokens in the file", size,
                special_count, vocabulary.size() + special_count);
  if (special_count > 1'000'000)
    config.fail("default_num_special_tokens is {}; at most 1,000,000 are supported", special_count);
  RankedVocabulary ranks(where);
  for (std::size_t rank = 0; rank < size - special_count; ++rank) {
    const Component entry = all.inner(vocabulary[rank], fmt::format("vocab: entry {}", rank));
    const auto bytes = decode_base64(entry.get<std::string>("token_bytes"));
    if (!bytes || bytes->empty()) entry.fail("token_bytes is not base64");
    if (entry.get<std::size_t>("rank") != rank)
      entry.fail("the rank is {}, expected {}", entry.get<std::size_t>("rank"), rank);
    ranks.add(*bytes, rank);
  }
  std::vector<std::pair<std::string, int>> special;
  std::vector<bool> taken(special_count);
  const auto add = [&](const std::string& content, std::size_t id) {
    if (id >= special_count || taken[id])
      all.fail("special_tokens: {} has the rank {}, which is taken or not below {}", excerpt(content, 40), id,
               special_count);
    taken[id] = true;
    special.emplace_back(content, static_cast<int>(id));
  };
  const Json* list = find_field(json, "special_tokens", where);
  if (list && !list->is_null()) {
    if (!list->is_array()) all.fail("special_tokens must be a list, found {}", json_excerpt(*list));
    for (const Json& item : *list) {
      const Component token = all.inner(item, fmt::format("special_tokens: entry {}", special.size()));
      add(token.get<std::string>("token_str"), token.get<std::size_t>("rank"));
    }
  } else {
    if (version != "v1" && version != "v2" && version != "v3" && version != "v7")
      all.fail("version {} needs special_tokens, which are missing", excerpt(version, 40));
    for (std::size_t id = 0; id < std::size(early) && id < special_count; ++id) add(early[id], id);
  }
  for (std::size_t id = 0; id < special_count; ++id)
    if (!taken[id]) add(fmt::format("<SPECIAL_{}>", id), id);
  TokenizerFile file = ranks.file(pattern, false, static_cast<int>(special_count), special);
  if (const int bos = file.id("<s>"); bos >= 0) file.added_ids.prefix = {bos};
  return file;
}

}  // namespace moderngpt2::detail

#endif
