#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/model_file.hpp"
#include "moderngpt2/tokenizer/rust_number.hpp"

namespace moderngpt2::detail {

/// Reader of the component "model" of a tokenizer.json.
class ModelReader {
 public:
  /// `notes` receives a line for each field that has no effect.
  ModelReader(const Component& model, std::vector<std::string>& notes) : model_(model), notes_(notes) {}

  ModelFile read();

 private:
  ModelFile::Kind kind() const;
  void read_bpe();
  void read_unigram();
  void read_word_piece();
  void read_word_level();

  void read_vocabulary();
  void read_merges(const Json& merges);
  void add_merge(std::string_view left, std::string_view right);
  void find_bytes();
  void note_unknown_fields(std::initializer_list<std::string_view> known);

  /// Id of the unknown token; -1 with a note if the vocabulary does not have it.
  int unknown_id(const std::string& token);

  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    notes_.push_back(model_.where() + ": " + fmt::format(format, std::forward<Args>(args)...));
  }

  const Component& model_;
  std::vector<std::string>& notes_;
  ModelFile file_;
};

/// Reads the component "model" of a tokenizer.json. `notes` receives a line for each field that has no effect.
ModelFile read_model(const Component& model, std::vector<std::string>& notes);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE ModelFile read_model(const Component& model, std::vector<std::string>& notes) {
  return ModelReader(model, notes).read();
}

MODERNGPT2_INLINE ModelFile ModelReader::read() {
  file_.kind = kind();
  switch (file_.kind) {
    case ModelFile::Kind::bpe:
      read_bpe();
      break;
    case ModelFile::Kind::unigram:
      read_unigram();
      break;
    case ModelFile::Kind::word_piece:
      read_word_piece();
      break;
    case ModelFile::Kind::word_level:
      read_word_level();
      break;
  }
  return std::move(file_);
}

/// Kind of a model without the field type, as in old files: the first kind whose fields exist, in the order of
/// `tokenizers`.
MODERNGPT2_INLINE ModelFile::Kind ModelReader::kind() const {
  using Kind = ModelFile::Kind;
  const Json& json = model_.json();
  if (!json.is_object()) model_.fail("must be a JSON object, found {}", json_excerpt(json));
  const auto has = [&](std::initializer_list<const char*> keys) {
    return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return json.contains(key); });
  };
  if (!has({"type"})) {
    if (has({"vocab", "merges"})) return Kind::bpe;
    if (has({"vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"})) return Kind::word_piece;
    if (has({"vocab", "unk_token"})) return Kind::word_level;
    if (has({"vocab"}) && json["vocab"].is_array()) return Kind::unigram;
    model_.fail("has no type, and its fields match none of BPE, Unigram, WordPiece and WordLevel");
  }
  const std::string_view type = model_.type();
  if (type == "BPE") return Kind::bpe;
  if (type == "Unigram") return Kind::unigram;
  if (type == "WordPiece") return Kind::word_piece;
  if (type == "WordLevel") return Kind::word_level;
  model_.fail("is {}, which is not supported. Supported: BPE, Unigram, WordPiece, WordLevel.",
              type.empty() ? json_excerpt(json) : excerpt(type, 40));
}

MODERNGPT2_INLINE void ModelReader::read_bpe() {
  note_unknown_fields({"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                       "byte_fallback", "ignore_merges", "vocab", "merges"});
  file_.dropout = model_.get_or<double>("dropout", 0);
  if (!(file_.dropout >= 0 && file_.dropout <= 1)) model_.fail("dropout is {}, expected 0 to 1", file_.dropout);
  if (file_.dropout > 0)
    note("dropout {} has no effect: {} {} applies it in training", file_.dropout, Setting{"bpe_dropout"},
         file_.dropout);
  file_.options.continuing_subword_prefix = model_.get_or<std::string>("continuing_subword_prefix", "");
  file_.options.end_of_word_suffix = model_.get_or<std::string>("end_of_word_suffix", "");
  file_.options.ignore_merges = model_.get_or<bool>("ignore_merges", false);
  file_.options.fuse_unk = model_.get_or<bool>("fuse_unk", false);
  read_vocabulary();
  if (const auto unk = model_.get_or<std::string>("unk_token", ""); !unk.empty())
    file_.options.unk_id = unknown_id(unk);
  if (model_.get_or<bool>("byte_fallback", false)) find_bytes();
  read_merges(model_.field("merges"));
}

MODERNGPT2_INLINE void ModelReader::read_vocabulary() {
  const Json& vocabulary = model_.field("vocab");
  if (!vocabulary.is_object()) model_.fail("vocab must be an object, found {}", json_excerpt(vocabulary));
  for (const auto& [token, value] : vocabulary.items())
    file_.add(token, json_as<std::int64_t>(value, "the id of " + excerpt(token, 40), model_.where()), vocabulary.size(),
              model_.where());
}

MODERNGPT2_INLINE void ModelReader::read_merges(const Json& merges) {
  if (!merges.is_array()) model_.fail("merges must be a list, found {}", json_excerpt(merges));
  file_.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>());
    } else if (merge.is_string()) {
      const std::string_view both = merge.get_ref<const std::string&>();
      if (both.starts_with("#version")) continue;
      const std::size_t space = both.find(' ');
      if (space == both.npos || both.find(' ', space + 1) != both.npos)
        model_.fail("merge {} is {}: two tokens with one space between are needed", file_.merges.size(),
                    excerpt(both, 40));
      add_merge(both.substr(0, space), both.substr(space + 1));
    } else {
      model_.fail("merge {} must be \"left right\" or [\"left\", \"right\"], found {}", file_.merges.size(),
                  json_excerpt(merge));
    }
  }
}

MODERNGPT2_INLINE void ModelReader::add_merge(std::string_view left, std::string_view right) {
  const auto id = [&](const std::string& token) {
    const auto found = file_.ids.find(token);
    if (found == file_.ids.end())
      model_.fail("merge {} needs the token {}, which is not in the vocabulary", file_.merges.size(),
                  excerpt(token, 40));
    return found->second;
  };
  const std::size_t prefix = file_.options.continuing_subword_prefix.size();
  if (right.size() < prefix)
    model_.fail("merge {}: {} is shorter than continuing_subword_prefix", file_.merges.size(), excerpt(right, 40));
  const std::string result = std::string(left).append(right.substr(prefix));
  file_.merges.push_back(
      {id(std::string(left)), id(std::string(right)), id(result), static_cast<std::uint32_t>(file_.merges.size())});
}

MODERNGPT2_INLINE void ModelReader::read_unigram() {
  note_unknown_fields({"unk_id", "vocab", "byte_fallback"});
  const Json& vocabulary = model_.field("vocab");
  if (!vocabulary.is_array()) model_.fail("vocab must be a list, found {}", json_excerpt(vocabulary));
  for (const Json& entry : vocabulary) {
    const std::size_t id = file_.scores.size();
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      model_.fail("entry {} of vocab must be [token, score], found {}", id, json_excerpt(entry));
    const auto score = json_as<double>(entry[1], fmt::format("the score of id {}", id), model_.where());
    file_.scores.push_back(rust_number(score));
    file_.add(entry[0].get_ref<const std::string&>(), static_cast<std::int64_t>(id), vocabulary.size(), model_.where());
  }
  const Json* unk = find_field(model_.json(), "unk_id", model_.where());
  if (unk && !unk->is_null()) {
    file_.options.unk_id = json_as<int>(*unk, "unk_id", model_.where());
    if (file_.options.unk_id < 0 || file_.options.unk_id >= file_.size())
      model_.fail("unk_id {} is not an id of vocab", file_.options.unk_id);
  }
  if (model_.get_or<bool>("byte_fallback", false)) find_bytes();
}

MODERNGPT2_INLINE void ModelReader::read_word_piece() {
  note_unknown_fields({"vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"});
  file_.prefix = model_.get<std::string>("continuing_subword_prefix");
  file_.longest_word = model_.get<std::size_t>("max_input_chars_per_word");
  read_vocabulary();
  file_.options.unk_id = unknown_id(model_.get<std::string>("unk_token"));
}

MODERNGPT2_INLINE void ModelReader::read_word_level() {
  note_unknown_fields({"vocab", "unk_token"});
  read_vocabulary();
  file_.options.unk_id = unknown_id(model_.get<std::string>("unk_token"));
}

MODERNGPT2_INLINE void ModelReader::find_bytes() {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = file_.ids.find(fmt::format("<0x{:02X}>", byte));
    if (found != file_.ids.end()) file_.options.byte_ids[byte] = found->second;
  }
}

MODERNGPT2_INLINE int ModelReader::unknown_id(const std::string& token) {
  const auto found = file_.ids.find(token);
  if (found != file_.ids.end()) return found->second;
  note("unk_token {} is not in the vocabulary: text that the vocabulary does not cover is dropped", excerpt(token, 40));
  return -1;
}

MODERNGPT2_INLINE void ModelReader::note_unknown_fields(std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : model_.json().items())
    if (key != "type" && std::find(known.begin(), known.end(), key) == known.end())
      note("the field {} is unknown and ignored, as Hugging Face `tokenizers` does", excerpt(key, 40));
}

}  // namespace moderngpt2::detail

#endif
