#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/special_tokens.hpp"

// Chat templates of checkpoints, and the format of this library's own chats: one `<|begin_of_text|>`, then for each
// message
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

/// Jinja template of ChatML: `<|im_start|>ROLE\nTEXT<|im_end|>\n`.
inline constexpr const char* chatml_jinja_template =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Jinja template of Gemma: `<start_of_turn>ROLE\nTEXT<end_of_turn>\n`, without a system prompt.
inline constexpr const char* gemma_jinja_template =
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('there is no system prompt') }}{% endif %}{{ '<start_of_turn>' + ('model' if message['role'] "
    "== "
    "'assistant' else message['role']) + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";

/// Jinja template of Llama 2: `<s>[INST] TEXT [/INST] ANSWER </s>` for each turn. A system prompt is part of the first
/// message of the user: `<<SYS>>\nTEXT\n<</SYS>>\n\n`.
inline constexpr const char* llama2_jinja_template =
    "{% set bos = bos_token | default('<s>') %}{% set eos = eos_token | default('</s>') %}{% set begin = '' %}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set begin = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos + '[INST] ' + ((begin if loop.first else '') + message['content']) | trim + ' [/INST]' }}{% else %}"
    "{{ ' ' + message['content'] | trim + ' ' + eos }}{% endif %}{% endfor %}";

/// Chat template and the special tokens that it may insert (`bos_token`, `eos_token`, ...).
struct ChatTemplate {
  std::string jinja;
  std::string where;             ///< file, or name of the format; begins errors
  Json tokens = Json::object();  ///< by name
};

/// Special tokens that the files beside a tokenizer name, with the precedence of Transformers (see
/// tokenizer/special_tokens.hpp): {"bos_token": "<s>", ...}.
Json special_token_names(const std::filesystem::path& folder);

/// Folder of the files beside a tokenizer: the tokenizer's folder. A GGUF file stands for a folder of its own.
std::filesystem::path tokenizer_home(const std::filesystem::path& folder_or_file);

/// Chat template of a folder or a GGUF file: chat_template.jinja, or chat_template of tokenizer_config.json (of a list
/// of named templates, the one named default). nullopt if the folder has none.
std::optional<ChatTemplate> read_chat_template(const std::filesystem::path& folder);

/// Whether a folder or a GGUF file has a chat template.
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

MODERNGPT2_INLINE Json special_token_names(const std::filesystem::path& folder) {
  return detail::SpecialTokens(folder).names();
}

MODERNGPT2_INLINE std::filesystem::path tokenizer_home(const std::filesystem::path& folder_or_file) {
  const bool is_home = std::filesystem::is_directory(folder_or_file) || is_gguf(folder_or_file);
  return is_home ? folder_or_file : folder_or_file.parent_path();
}

MODERNGPT2_INLINE std::optional<ChatTemplate> read_chat_template(const std::filesystem::path& folder) {
  if (is_gguf(folder)) {
    auto text = GgufFile(folder).metadata().get<std::string>("tokenizer.chat_template");
    if (!text) return std::nullopt;
    return ChatTemplate{*std::move(text), folder.string() + ": tokenizer.chat_template", special_token_names(folder)};
  }
  const std::filesystem::path jinja = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
  if (std::filesystem::exists(jinja))
    return ChatTemplate{read_file(jinja, 1 << 20), jinja.string(), special_token_names(folder)};
  if (!std::filesystem::exists(config)) return std::nullopt;
  const Json json = read_json_file(config);
  const Json* value = find_field(json, "chat_template", config.string());
  if (!value || value->is_null()) return std::nullopt;
  const std::string where = config.string() + ": chat_template";
  if (value->is_string()) return ChatTemplate{value->get<std::string>(), where, special_token_names(folder)};
  if (value->is_array())
    for (const Json& named : *value)
      if (get_field<std::string>(named, "name", where) == "default")
        return ChatTemplate{get_field<std::string>(named, "template", where), where, special_token_names(folder)};
  throw Error("{} must be a text, or a list with a template named default", where);
}

MODERNGPT2_INLINE bool has_chat_template(const std::filesystem::path& folder) {
  if (is_gguf(folder)) return GgufFile(folder).metadata().find("tokenizer.chat_template") != nullptr;
  if (std::filesystem::exists(folder / "chat_template.jinja")) return true;
  const std::filesystem::path path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return false;
  const Json json = read_json_file(path);
  const Json* value = find_field(json, "chat_template", path.string());
  return value && !value->is_null();
}

}  // namespace moderngpt2

#endif
