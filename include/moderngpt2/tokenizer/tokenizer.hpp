#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if !__has_include(<xxhash.h>)
#error "moderngpt2: <xxhash.h> not found: link moderngpt2::moderngpt2"
#endif
#include <xxhash.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/bpe.hpp"
#include "moderngpt2/tokenizer/decoder.hpp"
#include "moderngpt2/tokenizer/special_tokens.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"
#include "moderngpt2/tokenizer/unigram.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Encodes text to ids and decodes ids to text with a Hugging Face tokenizer.json (of the form to which SentencePiece
/// models are converted). Ids equal those of the library `tokenizers`. Immutable and thread-safe; copies share their
/// data.
class Tokenizer {
 public:
  /// Reads tokenizer.json from a folder or as a file, and the eos, pad, unk and other special tokens from
  /// tokenizer_config.json and special_tokens_map.json beside it, with the precedence of Transformers (see
  /// tokenizer/special_tokens.hpp; both are optional). Throws Error for damaged or unsupported files.
  static Tokenizer load(const std::filesystem::path& folder_or_file);

  /// Parses the text of a tokenizer.json. Errors begin with `where`. The result has no eos or pad token.
  static Tokenizer parse(std::string_view json, const std::string& where);

  /// Encodes `text`. Invalid UTF-8 becomes U+FFFD as by replace_invalid_utf8(). With `split_special_tokens`, special
  /// tokens in the text are encoded as ordinary text.
  std::vector<int> encode(std::string_view text, bool split_special_tokens = false) const;

  /// Appends the ids of `text` to `ids`.
  void encode(std::string_view text, std::vector<int>& ids, bool split_special_tokens = false) const;

  /// Encodes a prompt: the prefix of the file's post-processor, then `text`.
  std::vector<int> encode_prompt(std::string_view text) const;

  /// Decodes ids. Ids without a token are skipped. A run of byte tokens that is not valid UTF-8 becomes one U+FFFD per
  /// byte.
  std::string decode(std::span<const int> ids, bool skip_special_tokens = false) const;

  /// Number of tokens, including added tokens: highest id + 1.
  int vocab_size() const { return static_cast<int>(state_->file.tokens.size()); }

  std::optional<int> eos_id() const { return state_->eos_id; }
  std::optional<int> pad_id() const { return state_->pad_id; }
  /// Unknown token: from the files beside tokenizer.json, else from the model.
  std::optional<int> unk_id() const { return state_->unk_id; }

  /// Whether decoding with `skip_special_tokens` skips the id.
  bool is_special(int id) const { return has(id) && state_->special[static_cast<std::size_t>(id)]; }

  /// Token in the form of the vocabulary (with space marks). Throws Error for an id without a token.
  const std::string& token(int id) const;

  /// Id of a token in the form of the vocabulary; nullopt for an unknown token.
  std::optional<int> id(std::string_view token) const;

  /// Ids that the file's post-processor adds before and after a single text (usually none). encode() does not add them.
  const std::vector<int>& prefix_ids() const { return state_->file.prefix; }
  const std::vector<int>& suffix_ids() const { return state_->file.suffix; }

  /// Byte value of a byte-fallback token, or -1.
  int byte_value(int id) const { return has(id) ? state_->byte_values[static_cast<std::size_t>(id)] : -1; }

  /// Folder or file that load() has read; empty for a tokenizer of parse().
  const std::filesystem::path& path() const { return state_->path; }
  /// XXH3 (64 bits) of the bytes of tokenizer.json.
  std::uint64_t fingerprint() const { return state_->fingerprint; }
  /// Fingerprint in metadata.yaml: 16 hexadecimal digits.
  std::string fingerprint_text() const { return fmt::format("{:016x}", fingerprint()); }

 private:
  static constexpr std::uint64_t largest_file = 500'000'000;

  struct State {
    State(detail::TokenizerFile read, std::uint64_t hash);

    detail::TokenizerFile file;
    std::uint64_t fingerprint;
    std::filesystem::path path;
    std::optional<detail::BpeModel> bpe;
    std::optional<detail::UnigramModel> unigram;
    detail::AddedTokenMatcher before_normalizer, after_normalizer;
    std::vector<bool> special;     // by id
    std::vector<int> byte_values;  // by id
    std::optional<int> eos_id, pad_id, unk_id;
  };

  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  bool has(int id) const { return id >= 0 && id < vocab_size(); }

  void encode_model(std::string_view text, std::vector<int>& ids) const;

  /// Returns `text` with space marks for spaces; the result may refer to `storage`.
  static std::string_view mark_spaces(std::string_view text, std::string& storage);

  std::shared_ptr<const State> state_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE Tokenizer Tokenizer::load(const std::filesystem::path& folder_or_file) {
  const bool is_folder = std::filesystem::is_directory(folder_or_file);
  const std::filesystem::path file = is_folder ? folder_or_file / "tokenizer.json" : folder_or_file;
  const std::string text = read_file(file, largest_file), where = file.string();
  detail::TokenizerFile read = detail::TokenizerFileReader(where).read(parse_json(text, where));
  const detail::SpecialTokens special(file.parent_path());
  special.add_to(read);
  auto state = std::make_shared<State>(std::move(read), XXH3_64bits(text.data(), text.size()));
  state->path = folder_or_file;
  state->eos_id = special.id("eos_token", state->file);
  state->pad_id = special.id("pad_token", state->file);
  if (const auto id = special.id("unk_token", state->file)) state->unk_id = id;
  return Tokenizer(std::move(state));
}

MODERNGPT2_INLINE Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  return Tokenizer(std::make_shared<State>(detail::TokenizerFileReader(where).read(parse_json(json, where)),
                                           XXH3_64bits(json.data(), json.size())));
}

MODERNGPT2_INLINE std::vector<int> Tokenizer::encode(std::string_view text, bool split_special_tokens) const {
  std::vector<int> ids;
  encode(text, ids, split_special_tokens);
  return ids;
}

MODERNGPT2_INLINE void Tokenizer::encode(std::string_view text, std::vector<int>& ids,
                                         bool split_special_tokens) const {
  std::string repaired;
  if (valid_utf8_prefix(text) != text.size()) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  const auto on_token = [&](int id) { ids.push_back(id); };
  std::string normalized;
  const auto on_raw_text = [&](std::string_view piece) {
    const bool model_marks_spaces = state_->bpe && state_->after_normalizer.empty();
    if (state_->file.replaces_spaces && !model_marks_spaces) piece = mark_spaces(piece, normalized);
    const auto on_text = [&](std::string_view part) { encode_model(part, ids); };
    if (state_->after_normalizer.empty()) return on_text(piece);
    state_->after_normalizer.split(piece, split_special_tokens, on_text, on_token);
  };
  if (state_->before_normalizer.empty()) {
    if (!text.empty()) on_raw_text(text);
  } else {
    state_->before_normalizer.split(text, split_special_tokens, on_raw_text, on_token);
  }
}

MODERNGPT2_INLINE std::vector<int> Tokenizer::encode_prompt(std::string_view text) const {
  std::vector<int> ids = prefix_ids();
  encode(text, ids);
  return ids;
}

MODERNGPT2_INLINE std::string Tokenizer::decode(std::span<const int> ids, bool skip_special_tokens) const {
  std::string text, bytes;
  for (const int id : ids) {
    if (!has(id) || (skip_special_tokens && is_special(id))) continue;
    if (const int byte = byte_value(id); byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
      continue;
    }
    detail::append_byte_run(bytes, text);
    bytes.clear();
    detail::append_token_text(token(id), text);
  }
  detail::append_byte_run(bytes, text);
  return text;
}

MODERNGPT2_INLINE const std::string& Tokenizer::token(int id) const {
  if (!has(id)) throw Error("tokenizer: id {} is out of range, the vocabulary has {} tokens", id, vocab_size());
  return state_->file.tokens[static_cast<std::size_t>(id)];
}

MODERNGPT2_INLINE std::optional<int> Tokenizer::id(std::string_view token) const {
  const auto found = state_->file.ids.find(std::string(token));
  return found == state_->file.ids.end() ? std::nullopt : std::optional<int>(found->second);
}

MODERNGPT2_INLINE void Tokenizer::encode_model(std::string_view text, std::vector<int>& ids) const {
  if (state_->bpe) return state_->bpe->encode(text, ids);
  state_->unigram->encode(text, ids);
}

MODERNGPT2_INLINE std::string_view Tokenizer::mark_spaces(std::string_view text, std::string& storage) {
  storage.clear();
  storage.reserve(text.size() + text.size() / 2);
  while (true) {
    const std::size_t space = text.find(' ');
    storage.append(text.substr(0, space));
    if (space == text.npos) return storage;
    storage.append(space_mark);
    text.remove_prefix(space + 1);
  }
}

MODERNGPT2_INLINE Tokenizer::State::State(detail::TokenizerFile read, std::uint64_t hash)
    : file(std::move(read)), fingerprint(hash) {
  if (file.options.unk_id >= 0) unk_id = file.options.unk_id;
  special.resize(file.tokens.size());
  for (const std::string& token : file.tokens) byte_values.push_back(detail::byte_of_token(token));
  for (const AddedToken& token : file.added_tokens) {
    special[static_cast<std::size_t>(token.id)] = token.special;
    std::string pattern;
    if (token.normalized && file.replaces_spaces) {
      after_normalizer.add(token, mark_spaces(token.content, pattern));
    } else {
      (token.normalized ? after_normalizer : before_normalizer).add(token, token.content);
    }
  }
  const auto model_tokens = std::span(file.tokens).first(static_cast<std::size_t>(file.model_size));
  if (file.unigram) {
    std::vector<std::pair<std::string, double>> vocabulary;
    for (std::size_t id = 0; id < model_tokens.size(); ++id) vocabulary.emplace_back(model_tokens[id], file.scores[id]);
    unigram.emplace(vocabulary, file.options.unk_id, file.options.byte_ids);
  } else {
    detail::BpeOptions options = file.options;
    options.marks_spaces = file.replaces_spaces;
    bpe.emplace(model_tokens, file.merges, options);
  }
}

}  // namespace moderngpt2

#endif
