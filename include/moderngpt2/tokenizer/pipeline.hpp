#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/models.hpp"
#include "moderngpt2/tokenizer/normalizers.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2 {

/// Settings of Tokenizer::encode().
struct EncodeOptions {
  bool split_special_tokens = false;  ///< special tokens in the text are ordinary text
  double bpe_dropout = 0;             ///< probability that a merge is skipped (Provilkov et al. 2020); BPE only
  std::uint64_t seed = 0;             ///< seed of the dropout; the same seed and text give the same ids
};

namespace detail {

/// Encodes text to ids: splits at added tokens, normalizes, splits at added tokens that match normalized text, applies
/// the pre-tokenizers, then the model. Immutable and thread-safe.
class Pipeline {
 public:
  explicit Pipeline(const TokenizerFile& file);

  /// Appends the ids of `text`, which must be valid UTF-8.
  void encode(std::string_view text, std::vector<int>& ids, const EncodeOptions& options) const;

  /// Content of an added token in the form in which it is decoded: normalized if it matches normalized text.
  std::string decoded_form(const AddedToken& token) const;

 private:
  /// Fast path of SentencePiece-style BPE: how the model itself turns spaces into space marks (U+2581).
  enum class Marks {
    none,    ///< text goes through normalizers and pre-tokenizers
    as_is,   ///< spaces become marks
    prefix,  ///< spaces become marks; a mark is added before each text
    always,  ///< spaces become marks; a mark is added before each text that does not begin with one
    first    ///< spaces become marks; a mark is added before the input if it does not begin with one
  };

  /// Recognizes files whose normalizers and pre-tokenizers only replace spaces by marks.
  static Marks marks_of(const TokenizerFile& file);

  void build_model(const TokenizerFile& file);
  void build_byte_model(const TokenizerFile& file);

  /// Whether each character of byte-level text is in the vocabulary, or falls back to the unknown token, if any.
  static bool works_on_bytes(const ModelFile& model);

  /// State of encoding one text.
  struct Output {
    std::vector<int>& ids;
    const EncodeOptions& options;
    Rng random;
  };

  /// `first`: the text is the beginning of the whole input.
  void encode_raw(std::string_view text, bool first, Output& out) const;
  void encode_normalized(std::string_view text, bool first, Output& out) const;
  /// Appends the ids of pieces with a model of the variant.
  template <class Model>
  static void encode_pieces(const AnyModel& model, const Pieces& text, Output& out);

  AddedTokenMatcher before_normalizer_, after_normalizer_;
  Normalizers normalizers_;
  PreTokenizers pre_tokenizers_;
  std::optional<AnyModel> model_;
  void (*encode_pieces_)(const AnyModel&, const Pieces&, Output&) = nullptr;  // for the alternative of model_
  Marks marks_ = Marks::none;
};

}  // namespace detail
}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE Pipeline::Pipeline(const TokenizerFile& file)
    : normalizers_(Component(file.normalizer, file.where + ": normalizer")),
      pre_tokenizers_(Component(file.pre_tokenizer, file.where + ": pre_tokenizer")),
      marks_(marks_of(file)) {
  for (const AddedToken& token : file.added_tokens) {
    const std::string pattern = decoded_form(token);
    if (pattern.empty()) continue;  // the normalizer leaves nothing of it: it never matches
    (token.normalized ? after_normalizer_ : before_normalizer_).add(token, pattern);
  }
  // A text that is normalized for added tokens is normalized for the model too. Metaspace is no normalizer.
  if ((marks_ == Marks::as_is || marks_ == Marks::prefix) && !after_normalizer_.empty() && !normalizers_.empty())
    marks_ = Marks::none;
  if (file.tiktoken_pattern.empty()) {
    build_model(file);
  } else {
    pre_tokenizers_ = PreTokenizers(file.tiktoken_pattern, PatternDialect::tiktoken, file.where);
    build_byte_model(file);
  }
  // A call through a pointer, so that the pre-tokenizers are compiled once and not for each model.
  encode_pieces_ = std::visit([]<class Model>(const Model&) { return &Pipeline::encode_pieces<Model>; }, *model_);
}

MODERNGPT2_INLINE std::string Pipeline::decoded_form(const AddedToken& token) const {
  std::string storage;
  return token.normalized ? std::string(normalizers_(token.content, storage)) : token.content;
}

MODERNGPT2_INLINE Pipeline::Marks Pipeline::marks_of(const TokenizerFile& file) {
  const ModelFile& model = file.model;
  const BpeOptions& options = model.options;
  if (model.kind != ModelFile::Kind::bpe || options.ignore_merges || !options.continuing_subword_prefix.empty() ||
      !options.end_of_word_suffix.empty())
    return Marks::none;
  const auto is = [](const Json& step, const Json& expected) {
    if (!step.is_object()) return false;
    for (const auto& [key, value] : expected.items())
      if (const auto found = step.find(key); found == step.end() || *found != value) return false;
    return true;
  };
  const std::vector<Component> normalizers = Component(file.normalizer, "").steps("normalizers");
  const std::vector<Component> splits = Component(file.pre_tokenizer, "").steps("pretokenizers");
  const Json prepend = {{"type", "Prepend"}, {"prepend", space_mark}},
             replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space_mark}},
             split = {{"type", "Split"}, {"pattern", {{"String", " "}}}, {"invert", false}},
             metaspace = {{"type", "Metaspace"}, {"replacement", space_mark}, {"split", false}};
  if (normalizers.empty() && splits.size() == 1 && is(splits[0].json(), metaspace)) {
    const auto scheme = splits[0].get_or<std::string>("prepend_scheme", "always");
    if (scheme == "never" || !splits[0].get_or<bool>("add_prefix_space", true)) return Marks::as_is;
    return scheme == "first" ? Marks::first : Marks::always;
  }
  // GemmaTokenizer splits at spaces, but its normalizer has replaced all of them.
  if (splits.size() > 1 || (splits.size() == 1 && !is(splits[0].json(), split))) return Marks::none;
  if (normalizers.size() == 1 && is(normalizers[0].json(), replace)) return Marks::as_is;
  if (normalizers.size() == 2 && is(normalizers[0].json(), prepend) && is(normalizers[1].json(), replace))
    return Marks::prefix;
  return Marks::none;
}

MODERNGPT2_INLINE bool Pipeline::works_on_bytes(const ModelFile& model) {
  if (model.kind != ModelFile::Kind::bpe || !model.options.continuing_subword_prefix.empty() ||
      !model.options.end_of_word_suffix.empty())
    return false;
  if (model.options.byte_ids == BpeOptions::no_ids()) return true;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    std::string character;
    append_byte_characters({&c, 1}, character);
    if (!model.ids.contains(character)) return false;
  }
  return true;
}

MODERNGPT2_INLINE void Pipeline::build_model(const TokenizerFile& file) {
  const ModelFile& model = file.model;
  const int unk_id = model.options.unk_id;
  switch (model.kind) {
    case ModelFile::Kind::unigram: {
      std::vector<std::pair<std::string, double>> vocabulary;
      for (std::size_t id = 0; id < model.tokens.size(); ++id)
        vocabulary.emplace_back(model.tokens[id], model.scores[id]);
      model_.emplace(std::in_place_type<UnigramModel>, vocabulary, unk_id, model.options.byte_ids);
      return;
    }
    case ModelFile::Kind::word_piece:
      model_.emplace(std::in_place_type<WordPieceModel>, model.tokens, model.prefix, unk_id, model.longest_word);
      return;
    case ModelFile::Kind::word_level:
      model_.emplace(std::in_place_type<WordLevelModel>, model.tokens, unk_id);
      return;
    case ModelFile::Kind::bpe:
      break;
  }
  if (works_on_bytes(model) && pre_tokenizers_.emit_bytes()) return build_byte_model(file);
  BpeOptions options = model.options;
  options.marks_spaces = marks_ != Marks::none;
  if (options.continuing_subword_prefix.empty() && options.end_of_word_suffix.empty())
    model_.emplace(std::in_place_type<BpeModel>, model.tokens, model.merges, options);
  else
    model_.emplace(std::in_place_type<AffixBpeModel>, model.tokens, model.merges, options);
}

MODERNGPT2_INLINE void Pipeline::build_byte_model(const TokenizerFile& file) {
  const ModelFile& model = file.model;
  std::vector<std::string> bytes(model.tokens.size());
  for (std::size_t id = 0; id < bytes.size(); ++id) append_bytes_of_characters(model.tokens[id], bytes[id]);
  std::vector<BpeMerge> merges;
  for (const BpeMerge& merge : model.merges) {
    const auto known = [&](int id) { return !bytes[static_cast<std::size_t>(id)].empty(); };
    if (known(merge.left) && known(merge.right) && known(merge.result)) merges.push_back(merge);
  }
  ByteBpeOptions options;
  options.ignore_merges = model.options.ignore_merges;
  options.unk_id = model.options.unk_id;
  options.fuse_unk = model.options.fuse_unk;
  model_.emplace(std::in_place_type<ByteBpeModel>, bytes, merges, options);
}

MODERNGPT2_INLINE void Pipeline::encode(std::string_view text, std::vector<int>& ids,
                                        const EncodeOptions& options) const {
  if (text.empty()) return;
  Output out{ids, options, Rng(options.seed)};
  if (before_normalizer_.empty()) return encode_raw(text, true, out);
  before_normalizer_.split(
      text, options.split_special_tokens,
      [&](std::string_view piece) { encode_raw(piece, piece.data() == text.data(), out); },
      [&](int id) { ids.push_back(id); });
}

MODERNGPT2_INLINE void Pipeline::encode_raw(std::string_view text, bool first, Output& out) const {
  std::string storage;
  if (marks_ == Marks::none && !normalizers_.empty()) text = normalizers_(text, storage);
  if (text.empty()) return;
  if (after_normalizer_.empty()) return encode_normalized(text, first, out);
  after_normalizer_.split(
      text, out.options.split_special_tokens,
      [&](std::string_view piece) { encode_normalized(piece, first && piece.data() == text.data(), out); },
      [&](int id) { out.ids.push_back(id); });
}

MODERNGPT2_INLINE void Pipeline::encode_normalized(std::string_view text, bool first, Output& out) const {
  if (marks_ == Marks::none) {
    pre_tokenizers_(Piece{text, first}, [&](const Pieces& pieces) { encode_pieces_(*model_, pieces, out); });
    return;
  }
  std::string marked;
  const bool has_mark = text.starts_with(' ') || text.starts_with(space_mark);
  if (marks_ == Marks::prefix || (!has_mark && (marks_ == Marks::always || (marks_ == Marks::first && first)))) {
    marked.reserve(space_mark.size() + text.size());
    text = marked.append(space_mark).append(text);
  }
  if (!text.empty()) encode_pieces_(*model_, Pieces{{&text, 1}, text.data() + text.size()}, out);
}

template <class Model>
void Pipeline::encode_pieces(const AnyModel& any, const Pieces& text, Output& out) {
  const Model& model = *std::get_if<Model>(&any);
  if constexpr (requires { model.encode(text, out.ids); })
    if (out.options.bpe_dropout <= 0) return model.encode(text, out.ids);
  for (const std::string_view piece : text.pieces) {
    if (out.options.bpe_dropout <= 0)
      model.encode(piece, out.ids);
    else if constexpr (requires { model.encode_with_dropout(piece, out.ids, out.options.bpe_dropout, out.random); })
      model.encode_with_dropout(piece, out.ids, out.options.bpe_dropout, out.random);
    else
      throw Error("bpe_dropout is {}, but the tokenizer's model is not BPE: set it to 0", out.options.bpe_dropout);
  }
}

}  // namespace moderngpt2::detail

#endif
