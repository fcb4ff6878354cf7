#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/gguf/metadata.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/convert.hpp"
#include "moderngpt2/tokenizer/formats/read_tokenizer.hpp"
#include "moderngpt2/tokenizer/gguf_pre_tokenizers.hpp"
#include "moderngpt2/tokenizer/sentencepiece_json.hpp"
#include "moderngpt2/tokenizer/special_tokens.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"
#include "moderngpt2/tokenizer/tokenizer_file_json.hpp"

namespace moderngpt2 {

/// Keys of a GGUF file for a tokenizer: a folder or file that Tokenizer::load() reads. llama.cpp then gives the ids of
/// this library to any text (with parse_special, where special tokens in the text count). Ids up to config.vocab_size
/// without a token become unused tokens. Special tokens of the config take precedence over those of the files. The chat
/// template is copied.
///
/// Throws Error that names the part that llama.cpp does not have: a normalizer, a pre-tokenizer, merges that no order
/// of scores gives, or a model other than SentencePiece-style and byte-level BPE.
GgufMetadata gguf_tokenizer(const std::filesystem::path& folder_or_file, const Config& config,
                            const TokenizerOptions& options = {});

/// Keys of a GGUF file without tokenizer.
GgufMetadata gguf_without_tokenizer();

namespace detail {

/// Writer of the keys tokenizer.ggml.* of a tokenizer.json.
class GgufTokenizerWriter {
 public:
  GgufTokenizerWriter(const TokenizerFile& file, int vocab_size);

  /// Adds model, pre, tokens, scores or merges, types, and what is added around a text.
  void write(GgufMetadata& out) const;

 private:
  enum Type : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("{}: {}. Choose another format, or another tokenizer.", file_.where,
                fmt::format(format, std::forward<Args>(args)...));
  }
  /// Text of a component for messages.
  static std::string step_text(const Component& step) {
    return excerpt(step.json().dump(-1, ' ', false, Json::error_handler_t::replace), 120);
  }
  bool is_byte_level() const;
  void collect_tokens();
  void check_byte_level() const;
  /// Returns whether a space is set before a text.
  bool check_sentencepiece() const;
  /// Scores whose order is that of the merges.
  std::vector<float> scores() const;
  void check_pairs() const;
  void write_added_ids(GgufMetadata& out) const;
  const std::string& token(int id) const { return file_.model.tokens[static_cast<std::size_t>(id)]; }

  const TokenizerFile& file_;
  std::size_t size_;
  bool byte_level_ = false;
  std::vector<std::string> tokens_;
  std::vector<std::int32_t> types_;
};

}  // namespace detail
}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE GgufTokenizerWriter::GgufTokenizerWriter(const TokenizerFile& file, int vocab_size)
    : file_(file), size_(static_cast<std::size_t>(vocab_size)) {
  const ModelFile& model = file.model;
  if (model.kind != ModelFile::Kind::bpe) fail("the model is no BPE, and GGUF files have BPE tokenizers here");
  if (!model.options.continuing_subword_prefix.empty() || !model.options.end_of_word_suffix.empty())
    fail("llama.cpp has no continuing_subword_prefix and no end_of_word_suffix");
  if (file.size() > vocab_size)
    fail("the tokenizer has {} tokens, and the model's vocab_size is {}", file.size(), vocab_size);
  byte_level_ = is_byte_level();
  collect_tokens();
}

MODERNGPT2_INLINE bool GgufTokenizerWriter::is_byte_level() const {
  const auto steps = Component(file_.pre_tokenizer, file_.where + ": pre_tokenizer").steps("pretokenizers");
  return std::any_of(steps.begin(), steps.end(), [](const Component& step) { return step.type() == "ByteLevel"; });
}

MODERNGPT2_INLINE void GgufTokenizerWriter::collect_tokens() {
  const ModelFile& model = file_.model;
  tokens_.resize(size_);
  types_.assign(size_, unused);
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    if (!model.exists[id]) continue;
    tokens_[id] = model.tokens[id];
    types_[id] = normal;
  }
  if (!byte_level_)
    for (const int id : model.options.byte_ids)
      if (id >= 0) types_[static_cast<std::size_t>(id)] = byte;
  for (const AddedToken& added : file_.added_tokens) {
    if (added.single_word || added.lstrip || added.rstrip)
      fail("llama.cpp has no single_word, lstrip and rstrip, which the token {} sets", excerpt(added.content, 40));
    const auto id = static_cast<std::size_t>(added.id);
    tokens_[id] = added.content;
    types_[id] = added.special ? control : user_defined;
    // Matched in the normalized text, where spaces are marks; llama.cpp matches the text itself.
    if (!byte_level_ && added.normalized)
      for (std::size_t at; (at = tokens_[id].find(space_mark)) != std::string::npos;)
        tokens_[id].replace(at, space_mark.size(), " ");
  }
  const int unk = model.options.unk_id;
  if (!byte_level_ && unk >= 0) types_[static_cast<std::size_t>(unk)] = unknown;
  std::unordered_set<std::string_view> distinct;
  for (std::size_t id = 0; id < size_; ++id) {
    if (types_[id] == unused) tokens_[id] = "[PAD" + std::to_string(id) + "]";
    if (!distinct.insert(tokens_[id]).second) fail("two tokens are {}", excerpt(tokens_[id], 40));
  }
}

MODERNGPT2_INLINE void GgufTokenizerWriter::check_byte_level() const {
  for (const Component& step : Component(file_.normalizer, file_.where + ": normalizer").steps("normalizers"))
    fail("its normalizer has the step {}, and llama.cpp normalizes no text", step_text(step));
}

MODERNGPT2_INLINE bool GgufTokenizerWriter::check_sentencepiece() const {
  const ModelFile& model = file_.model;
  if (model.options.ignore_merges) fail("ignore_merges is true, which llama.cpp's SentencePiece tokenizer lacks");
  for (std::size_t value = 0; value < 256; ++value)
    if (model.options.byte_ids[value] < 0)
      fail("byte_fallback is false or the vocabulary lacks <0x{:02X}>; llama.cpp needs all bytes", value);
  bool prepends = false, marks = false;
  for (const Component& step : Component(file_.normalizer, file_.where + ": normalizer").steps("normalizers")) {
    if (step.type() == "Prepend" && !marks && step.get_or<std::string>("prepend", "") == space_mark)
      prepends = true;
    else if (step.json() == replace_json(" ", space_mark))
      marks = true;
    else
      fail("its normalizer has the step {}, which llama.cpp lacks", step_text(step));
  }
  for (const Component& step : Component(file_.pre_tokenizer, file_.where + ": pre_tokenizer").steps("pretokenizers")) {
    // After the normalizer, the text has no spaces to split at.
    if (step.type() == "Split" && marks && step.field("pattern") == Json{{"String", " "}}) continue;
    const bool is_metaspace = step.type() == "Metaspace" && step.get_or<std::string>("replacement", "") == space_mark;
    const auto scheme = step.get_or<std::string>("prepend_scheme", "always");
    if (!is_metaspace || marks || scheme == "first")
      fail("its pre_tokenizer has the step {}, which llama.cpp lacks", step_text(step));
    if (step.get_or<bool>("split", true))
      for (std::size_t id = 0; id < model.tokens.size(); ++id)
        if (types_[id] == normal && model.tokens[id].find(space_mark, 1) != std::string::npos)
          fail("its pre_tokenizer splits at spaces, which llama.cpp does not, and the token {} has one inside",
               excerpt(model.tokens[id], 40));
    prepends = scheme == "always", marks = true;
  }
  if (!marks) fail("its spaces are not written as marks (U+2581), which llama.cpp does");
  check_pairs();
  return prepends;
}

/// Throws an Error for two pieces that llama.cpp would join and the merges do not: it joins any two whose text together
/// is a token. Special and byte tokens are left out: only text that spells them is concerned.
MODERNGPT2_INLINE void GgufTokenizerWriter::check_pairs() const {
  const ModelFile& model = file_.model;
  std::unordered_set<std::string> pairs;
  for (const BpeMerge& merge : model.merges) pairs.insert(token(merge.left) + '\0' + token(merge.right));
  const auto is_symbol = [&](std::string_view text) {
    return utf8_length(text[0]) == text.size() || model.ids.contains(std::string(text));
  };
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    if (!model.exists[id] || types_[id] != normal) continue;
    const std::string_view text = model.tokens[id];
    for (std::size_t cut = utf8_length(text[0]); cut < text.size(); cut += utf8_length(text[cut])) {
      const std::string_view left = text.substr(0, cut), right = text.substr(cut);
      if (is_symbol(left) && is_symbol(right) && !pairs.contains(std::string(left) + '\0' + std::string(right)))
        fail("llama.cpp joins any two pieces that make a token, such as {} and {}, which are not among the merges",
             excerpt(left, 40), excerpt(right, 40));
    }
  }
}

MODERNGPT2_INLINE std::vector<float> GgufTokenizerWriter::scores() const {
  std::vector<float> result(size_);
  std::vector<bool> seen(size_);
  int last = -1, order = 0;
  for (const BpeMerge& merge : file_.model.merges) {
    if (merge.result == last) continue;
    const auto id = static_cast<std::size_t>(merge.result);
    if (seen[id])
      fail("the merges that give {} have others between them, and llama.cpp orders merges by their result",
           excerpt(token(merge.result), 40));
    seen[id] = true;
    last = merge.result;
    result[id] = -static_cast<float>(++order);
  }
  if (order >= (1 << 24)) fail("more than 16777215 merges have no distinct scores");
  for (std::size_t id = 0; id < size_; ++id)
    if (!seen[id] && types_[id] != normal) result[id] = types_[id] == unused ? -1e9f : 0.0f;
  return result;
}

MODERNGPT2_INLINE void GgufTokenizerWriter::write_added_ids(GgufMetadata& out) const {
  const auto& [prefix, suffix] = file_.added_ids;
  if (prefix.size() > 1 || suffix.size() > 1)
    fail("its post_processor adds {} tokens before a text and {} after, at most one each is possible", prefix.size(),
         suffix.size());
  out.add("tokenizer.ggml.add_bos_token", GgufValue::boolean(!prefix.empty()));
  out.add("tokenizer.ggml.add_eos_token", GgufValue::boolean(!suffix.empty()));
}

MODERNGPT2_INLINE void GgufTokenizerWriter::write(GgufMetadata& out) const {
  const auto text = [&](const char* key, std::string value) { out.add(key, GgufValue::text(std::move(value))); };
  text("tokenizer.ggml.model", byte_level_ ? "gpt2" : "llama");
  if (byte_level_) {
    check_byte_level();
    const Component splits(file_.pre_tokenizer, file_.where + ": pre_tokenizer");
    text("tokenizer.ggml.pre", std::string(gguf_pre_tokenizer_of(splits, file_.model.options.ignore_merges).name));
    std::vector<std::string> merges;
    for (const BpeMerge& merge : file_.model.merges) merges.push_back(token(merge.left) + ' ' + token(merge.right));
    out.add("tokenizer.ggml.merges", GgufValue::texts(std::move(merges)));
  } else {
    text("tokenizer.ggml.pre", "default");
    out.add("tokenizer.ggml.add_space_prefix", GgufValue::boolean(check_sentencepiece()));
    out.add("tokenizer.ggml.scores", GgufValue::numbers(scores()));
  }
  out.add("tokenizer.ggml.tokens", GgufValue::texts(tokens_));
  out.add("tokenizer.ggml.token_type", GgufValue::numbers(types_));
  write_added_ids(out);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE GgufMetadata gguf_without_tokenizer() {
  GgufMetadata out;
  out.add("tokenizer.ggml.model", GgufValue::text("none"));
  return out;
}

MODERNGPT2_INLINE GgufMetadata gguf_tokenizer(const std::filesystem::path& folder_or_file, const Config& config,
                                              const TokenizerOptions& options) {
  const std::string where = folder_or_file.string();
  const TokenizerFiles files = TokenizerFiles::read(folder_or_file);
  const std::optional<std::string> sentencepiece = sentencepiece_model_of(files);
  detail::TokenizerFile file;
  std::filesystem::path home = tokenizer_home(folder_or_file);
  if (sentencepiece) {
    const SentencePieceModel model = parse_sentencepiece_model(*sentencepiece, where);
    const std::vector<std::string> differences = sentencepiece_differences(model);
    if (!differences.empty())
      throw Error("{}: llama.cpp's ids would differ: {}. Choose another format, or another tokenizer.", where,
                  differences.front());
    file = detail::read_tokenizer_json(tokenizer_json(model, where), where);
  } else {
    detail::LoadedTokenizer loaded = detail::read_tokenizer(folder_or_file, options);
    const detail::SpecialTokens special(loaded.folder);
    if (loaded.files.at(0).name != "tokenizer.json") special.extend(loaded.file);
    special.add_to(loaded.file);
    file = std::move(loaded.file);
    if (!file.tiktoken_pattern.empty()) file = detail::read_tokenizer_json(tokenizer_json(file), where);
  }
  GgufMetadata out(where);
  detail::GgufTokenizerWriter(file, config.vocab_size).write(out);
  const detail::SpecialTokens special(home);
  const auto role = [&](const char* key, std::optional<int> id, const char* name) {
    if (!id && name) id = special.id(name, file);
    if (id && *id >= 0 && *id < config.vocab_size) out.add(key, GgufValue::number(static_cast<std::uint32_t>(*id)));
  };
  const auto& [prefix, suffix] = file.added_ids;
  role("tokenizer.ggml.bos_token_id", prefix.empty() ? config.bos_token_id : prefix[0], "bos_token");
  role("tokenizer.ggml.eos_token_id", config.eos_token_id, "eos_token");
  if (!suffix.empty() && out.get<int>("tokenizer.ggml.eos_token_id") != suffix[0])
    throw Error("{}: its post_processor adds the token {} after a text, which is not eos_token_id", where, suffix[0]);
  role("tokenizer.ggml.padding_token_id", config.pad_token_id, "pad_token");
  const int unk = file.model.options.unk_id;
  role("tokenizer.ggml.unknown_token_id", unk >= 0 ? std::optional(unk) : std::nullopt, nullptr);
  if (std::optional<ChatTemplate> chat = read_chat_template(home))
    out.add("tokenizer.chat_template", GgufValue::text(std::move(chat->jinja)));
  return out;
}

}  // namespace moderngpt2

#endif
