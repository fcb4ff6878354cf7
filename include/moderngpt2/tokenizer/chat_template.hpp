#pragma once

#include <filesystem>
#include <string>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"

// Format of a chat: one `<|begin_of_text|>`, then for each message
// `<|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>`.
namespace moderngpt2 {

inline constexpr const char* chat_begin_token = "<|begin_of_text|>";
inline constexpr const char* chat_start_token = "<|start_header_id|>";
inline constexpr const char* chat_end_token = "<|end_header_id|>";
inline constexpr const char* chat_eot_token = "<|eot_id|>";
/// All special tokens of the format.
inline constexpr const char* chat_header_tokens[] = {chat_begin_token, chat_start_token, chat_end_token,
                                                     chat_eot_token};

/// Jinja template for `chat_template` in tokenizer_config.json, for Transformers' apply_chat_template.
std::string chat_jinja_template();

/// Whether a folder has a chat template, in tokenizer_config.json or as chat_template.jinja.
bool has_chat_template(const std::filesystem::path& folder);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE std::string chat_jinja_template() {
  const auto quoted = [](const std::string& text) { return "'" + text + "'"; };
  const std::string open = quoted(chat_start_token) + " + ",
                    close = " + " + quoted(std::string(chat_end_token) + "\\n\\n");
  return "{{ " + quoted(chat_begin_token) + " }}{% for message in messages %}{{ " + open + "message['role']" + close +
         " + message['content'] + " + quoted(chat_eot_token) + " }}{% endfor %}{% if add_generation_prompt %}{{ " +
         open + quoted("assistant") + close + " }}{% endif %}";
}

MODERNGPT2_INLINE bool has_chat_template(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / "chat_template.jinja")) return true;
  const std::filesystem::path path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return false;
  const Json json = read_json_file(path);
  const Json* value = find_field(json, "chat_template", path.string());
  return value && !value->is_null();
}

}  // namespace moderngpt2

#endif
