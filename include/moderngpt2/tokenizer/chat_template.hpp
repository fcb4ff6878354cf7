#pragma once

#include <string>

/// The text of a chat: after one `<|begin_of_text|>`, for each message
/// `<|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>`.
namespace moderngpt2 {

inline constexpr const char* chat_begin_token = "<|begin_of_text|>";
inline constexpr const char* chat_start_token = "<|start_header_id|>";
inline constexpr const char* chat_end_token = "<|end_header_id|>";
inline constexpr const char* chat_eot_token = "<|eot_id|>";
inline constexpr const char* chat_header_tokens[] = {chat_begin_token, chat_start_token, chat_end_token,
                                                     chat_eot_token};

/// The same for the `chat_template` of a tokenizer_config.json: Jinja, as Transformers' apply_chat_template runs it.
inline std::string chat_jinja_template() {
  const auto quoted = [](const std::string& text) { return "'" + text + "'"; };
  const std::string open = quoted(chat_start_token) + " + ",
                    close = " + " + quoted(std::string(chat_end_token) + "\\n\\n");
  return "{{ " + quoted(chat_begin_token) + " }}{% for message in messages %}{{ " + open + "message['role']" + close +
         " + message['content'] + " + quoted(chat_eot_token) + " }}{% endfor %}{% if add_generation_prompt %}{{ " +
         open + quoted("assistant") + close + " }}{% endif %}";
}

}  // namespace moderngpt2
