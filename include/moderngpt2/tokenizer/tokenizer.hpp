#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/decoder.hpp"
#include "moderngpt2/tokenizer/decoders.hpp"
#include "moderngpt2/tokenizer/formats/read_tokenizer.hpp"
#include "moderngpt2/tokenizer/pipeline.hpp"
#include "moderngpt2/tokenizer/special_tokens.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Encodes text to ids and decodes ids to text. Reads tokenizer.json and other formats; ids and texts are those of the
/// library that each format belongs to (Hugging Face `tokenizers`, SentencePiece, tiktoken). Immutable and thread-safe;
/// copies share their data.
class Tokenizer {
 public:
  /// Reads a folder or one of these files: tokenizer.json, tokenizer.model (SentencePiece or tiktoken), tekken.json,
  /// *.tiktoken, vocab.json with merges.txt beside it, vocab.txt. In a folder, the first one in this order is taken.
  /// Reads eos, pad, unk and other special tokens from tokenizer_config.json and special_tokens_map.json beside it,
  /// with the precedence of Transformers (see tokenizer/special_tokens.hpp; both are optional). Throws Error for
  /// damaged or unsupported files.
  static Tokenizer load(const std::filesystem::path& folder_or_file, const TokenizerOptions& options = {});

  /// Parses the text of a tokenizer.json. Errors begin with `where`. The result has no bos, eos or pad token.
  static Tokenizer parse(std::string_view json, const std::string& where);

  /// Encodes `text`. Invalid UTF-8 becomes U+FFFD as by replace_invalid_utf8(). With `split_special_tokens`, special
  /// tokens in the text are encoded as ordinary text.
  std::vector<int> encode(std::string_view text, bool split_special_tokens = false) const;
  std::vector<int> encode(std::string_view text, const EncodeOptions& options) const;

  /// Appends the ids of `text` to `ids`.
  void encode(std::string_view text, std::vector<int>& ids, bool split_special_tokens = false) const;
  void encode(std::string_view text, std::vector<int>& ids, const EncodeOptions& options) const;

  /// Encodes a prompt: the prefix of the file's post-processor, then `text`.
  std::vector<int> encode_prompt(std::string_view text) const;

  /// Decodes ids as `tokenizers` does. Ids without a token are skipped. clean_up_tokenization_spaces of
  /// tokenizer_config.json is a setting of Transformers, not of the tokenizer, and has no effect.
  std::string decode(std::span<const int> ids, bool skip_special_tokens = false) const;

  /// Highest id + 1, added tokens included. Ids below it may have no token.
  int vocab_size() const { return static_cast<int>(state_->tokens.size()); }

  /// Whether the id has a token.
  bool has(int id) const { return id >= 0 && id < vocab_size() && state_->exists[static_cast<std::size_t>(id)]; }

  /// Tokens with a role, by the files beside the tokenizer. Formats other than tokenizer.json have the usual tokens for
  /// bos, eos and pad, such as "</s>", if no file names them.
  std::optional<int> bos_id() const { return state_->bos_id; }
  std::optional<int> eos_id() const { return state_->eos_id; }
  std::optional<int> pad_id() const { return state_->pad_id; }
  /// Id of the unknown token, from the files beside the vocabulary, else from the model; nullopt if there is none.
  std::optional<int> unk_id() const { return state_->unk_id; }

  /// Whether decoding with `skip_special_tokens` skips the id.
  bool is_special(int id) const { return has(id) && state_->special[static_cast<std::size_t>(id)]; }

  /// Token in the form of the vocabulary (with space marks or the characters of byte-level BPE). Throws Error for an id
  /// without a token.
  const std::string& token(int id) const;

  /// Id of a token in the form of the vocabulary; nullopt for an unknown token.
  std::optional<int> id(std::string_view token) const;

  /// Bytes that a token adds to a text that has other tokens before it. Empty for an id without a token.
  std::string token_text(int id) const;

  /// Ids that the file's post-processor adds before and after a single text (usually none). encode() does not add them.
  const std::vector<int>& prefix_ids() const { return state_->added_ids.prefix; }
  const std::vector<int>& suffix_ids() const { return state_->added_ids.suffix; }

  /// Byte value of a byte-fallback token, or -1.
  int byte_value(int id) const { return has(id) ? detail::byte_of_token(token(id)) : -1; }

  /// Folder or file that load() has read; empty for a tokenizer of parse().
  const std::filesystem::path& path() const { return state_->path; }
  /// Files that a copy of the tokenizer needs, with their names in a model folder: the tokenizer itself first, then
  /// those beside it that exist. Empty for a tokenizer of parse().
  const std::vector<detail::TokenizerPath>& files() const { return state_->files; }
  /// XXH3 (64 bits) of the bytes of the tokenizer's own files, such as tokenizer.json.
  std::uint64_t fingerprint() const { return state_->fingerprint; }
  /// Fingerprint in metadata.yaml: 16 hexadecimal digits.
  std::string fingerprint_text() const { return fmt::format("{:016x}", fingerprint()); }
  /// Remarks on the files, such as settings without effect and missing special tokens; one line each.
  const std::vector<std::string>& notes() const { return state_->notes; }

 private:
  friend class StreamDecoder;

  struct State {
    explicit State(detail::LoadedTokenizer loaded);

    std::vector<std::string> tokens;           // by id, in the form in which they are decoded
    std::vector<bool> exists, special;         // by id
    std::unordered_map<std::string, int> ids;  // by content
    std::optional<detail::Pipeline> pipeline;  // none: `engine` does the work
    std::shared_ptr<const detail::TextEngine> engine;
    detail::Decoders decoders;
    detail::AddedIds added_ids;
    std::filesystem::path path;
    std::vector<detail::TokenizerPath> files;
    std::vector<std::string> notes;
    std::uint64_t fingerprint;
    std::optional<int> bos_id, eos_id, pad_id, unk_id;
  };

  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE Tokenizer Tokenizer::load(const std::filesystem::path& folder_or_file,
                                            const TokenizerOptions& options) {
  detail::LoadedTokenizer loaded = detail::read_tokenizer(folder_or_file, options);
  const detail::SpecialTokens special(loaded.folder);
  if (!loaded.engine && loaded.files.at(0).name != "tokenizer.json") special.extend(loaded.file);
  special.add_to(loaded.file);
  const auto bos = special.id("bos_token", loaded.file), eos = special.id("eos_token", loaded.file),
             pad = special.id("pad_token", loaded.file), unk = special.id("unk_token", loaded.file);
  const detail::TokenRoles roles = loaded.roles;
  auto state = std::make_shared<State>(std::move(loaded));
  state->path = folder_or_file;
  if (bos) state->bos_id = bos;
  if (eos) state->eos_id = eos;
  if (pad) state->pad_id = pad;
  if (unk) state->unk_id = unk;
  if (state->files.at(0).name == "tokenizer.json") return Tokenizer(std::move(state));
  // Other formats name no roles: the usual names stand in for those that no file beside them names.
  const auto role = [&](const char* name, std::optional<int>& id, std::initializer_list<std::string> usual) {
    for (const std::string& token : usual) {
      const auto found = state->ids.find(token);
      if (id || special.has_role(name) || found == state->ids.end()) continue;
      if (state->special[static_cast<std::size_t>(found->second)]) id = found->second;
    }
  };
  role("bos_token", state->bos_id, {roles.bos, "<s>", "<|begin_of_text|>", "[BOS]"});
  role("eos_token", state->eos_id, {roles.eos, "</s>", "<|end_of_text|>", "<|endoftext|>", "[EOS]"});
  role("pad_token", state->pad_id, {roles.pad, "<pad>", "[PAD]"});
  return Tokenizer(std::move(state));
}

MODERNGPT2_INLINE Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  detail::LoadedTokenizer loaded;
  loaded.file = detail::read_tokenizer_json(parse_json(json, where), where);
  FileHash hash;
  hash.add(std::as_bytes(std::span(json)));
  loaded.fingerprint = hash.value();
  return Tokenizer(std::make_shared<State>(std::move(loaded)));
}

MODERNGPT2_INLINE std::vector<int> Tokenizer::encode(std::string_view text, bool split_special_tokens) const {
  EncodeOptions options;
  options.split_special_tokens = split_special_tokens;
  return encode(text, options);
}

MODERNGPT2_INLINE std::vector<int> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int> ids;
  encode(text, ids, options);
  return ids;
}

MODERNGPT2_INLINE void Tokenizer::encode(std::string_view text, std::vector<int>& ids,
                                         bool split_special_tokens) const {
  EncodeOptions options;
  options.split_special_tokens = split_special_tokens;
  encode(text, ids, options);
}

MODERNGPT2_INLINE void Tokenizer::encode(std::string_view text, std::vector<int>& ids,
                                         const EncodeOptions& options) const {
  std::string repaired;
  if (valid_utf8_prefix(text) != text.size()) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  if (state_->engine)
    state_->engine->encode(text, ids, options);
  else
    state_->pipeline->encode(text, ids, options);
}

MODERNGPT2_INLINE std::vector<int> Tokenizer::encode_prompt(std::string_view text) const {
  std::vector<int> ids = prefix_ids();
  encode(text, ids);
  return ids;
}

MODERNGPT2_INLINE std::string Tokenizer::decode(std::span<const int> ids, bool skip_special_tokens) const {
  if (state_->engine) {
    std::vector<int> known;
    for (const int id : ids)
      if (has(id) && !(skip_special_tokens && is_special(id))) known.push_back(id);
    return state_->engine->decode(known);
  }
  std::string text;
  detail::Decoders::Run run(state_->decoders, detail::Decoders::Mode::whole);
  for (const int id : ids)
    if (has(id) && !(skip_special_tokens && is_special(id))) run.put(token(id), text);
  run.finish(text);
  return text;
}

MODERNGPT2_INLINE const std::string& Tokenizer::token(int id) const {
  if (!has(id)) {
    if (id >= 0 && id < vocab_size()) throw Error("tokenizer: no token has the id {}", id);
    throw Error("tokenizer: id {} is out of range, the vocabulary has {} tokens", id, vocab_size());
  }
  return state_->tokens[static_cast<std::size_t>(id)];
}

MODERNGPT2_INLINE std::optional<int> Tokenizer::id(std::string_view token) const {
  const auto found = state_->ids.find(std::string(token));
  return found == state_->ids.end() ? std::nullopt : std::optional<int>(found->second);
}

MODERNGPT2_INLINE std::string Tokenizer::token_text(int id) const {
  if (!has(id)) return {};
  return state_->engine ? state_->engine->token_text(id) : state_->decoders.text_of(token(id));
}

MODERNGPT2_INLINE Tokenizer::State::State(detail::LoadedTokenizer loaded)
    : engine(std::move(loaded.engine)),
      decoders(detail::Component(loaded.file.decoder, loaded.file.where + ": decoder")),
      added_ids(std::move(loaded.file.added_ids)),
      files(std::move(loaded.files)),
      notes(std::move(loaded.file.notes)),
      fingerprint(loaded.fingerprint) {
  detail::TokenizerFile& file = loaded.file;
  if (!engine) pipeline.emplace(file);
  if (file.model.options.unk_id >= 0) unk_id = file.model.options.unk_id;
  const auto size = static_cast<std::size_t>(file.size());
  tokens = std::move(file.model.tokens);
  exists = std::move(file.model.exists);
  ids = std::move(file.model.ids);
  tokens.resize(size);
  exists.resize(size);
  special.resize(size);
  std::unordered_map<std::string, bool> is_special;  // by content: `tokenizers` asks for the decoded form
  for (const AddedToken& token : file.added_tokens) {
    const auto id = static_cast<std::size_t>(token.id);
    tokens[id] = pipeline ? pipeline->decoded_form(token) : token.content;
    exists[id] = true;
    ids.insert_or_assign(token.content, token.id);
    if (token.special) is_special.emplace(token.content, true);
  }
  for (std::size_t id = 0; id < size; ++id) special[id] = exists[id] && is_special.contains(tokens[id]);
  for (const auto* added : {&added_ids.prefix, &added_ids.suffix})
    for (const int id : *added)
      if (static_cast<std::size_t>(id) >= size || !exists[static_cast<std::size_t>(id)])
        throw Error("{}: post_processor: no token has the id {}", file.where, id);
}

}  // namespace moderngpt2

#endif
