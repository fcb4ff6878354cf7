#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2::detail {

/// Fields of tokenizer_config.json that control how vocabulary files are read. Defaults if the file does not exist.
struct VocabularyConfig {
  std::string tokenizer_class;
  bool add_prefix_space = false;
  bool do_lower_case = true, tokenize_chinese_chars = true;
  std::optional<bool> strip_accents;

  static VocabularyConfig read(const std::filesystem::path& folder);
};

/// Reads vocab.json and merges.txt: byte-level BPE of GPT-2, RoBERTa, Qwen2 or CLIP, by tokenizer_class. Other
/// classes are read as GPT-2's, with a note.
TokenizerFile read_vocab_and_merges(const Json& vocab, std::string_view merges, const VocabularyConfig& config,
                                    const std::string& where);

/// Reads vocab.txt: WordPiece of BERT.
TokenizerFile read_vocab_txt(std::string_view lines, const VocabularyConfig& config, const std::string& where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE VocabularyConfig VocabularyConfig::read(const std::filesystem::path& folder) {
  VocabularyConfig config;
  const std::filesystem::path path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return config;
  const Json json = read_json_file(path);
  const std::string where = path.string();
  const auto flag = [&](const char* key, bool otherwise) {
    return get_optional_field<bool>(json, key, where).value_or(otherwise);
  };
  config.tokenizer_class = get_optional_field<std::string>(json, "tokenizer_class", where).value_or("");
  config.add_prefix_space = flag("add_prefix_space", false);
  config.do_lower_case = flag("do_lower_case", true);
  config.tokenize_chinese_chars = flag("tokenize_chinese_chars", true);
  config.strip_accents = get_optional_field<bool>(json, "strip_accents", where);
  return config;
}

/// Makes tokens special. Ignores those that are not in the vocabulary.
inline void add_special_tokens(TokenizerFile& file, std::initializer_list<std::string_view> contents) {
  std::vector<AddedToken> list;
  for (const std::string_view content : contents) {
    AddedToken token;
    token.id = -1;
    token.content = content;
    token.special = true;
    token.lstrip = content == "<mask>";
    if (file.model.ids.contains(token.content)) list.push_back(std::move(token));
  }
  file.add(std::move(list));
}

/// Makes encode_prompt() add the two tokens around a text, if the vocabulary has both.
inline void surround(TokenizerFile& file, const std::string& before, const std::string& after) {
  const int first = file.id(before), last = file.id(after);
  if (first >= 0 && last >= 0) file.added_ids = {{first}, {last}};
}

MODERNGPT2_INLINE TokenizerFile read_vocab_and_merges(const Json& vocab, std::string_view merges,
                                                      const VocabularyConfig& config, const std::string& where) {
  std::string_view name = config.tokenizer_class;
  if (name.ends_with("Fast")) name.remove_suffix(4);
  const bool clip = name == "CLIPTokenizer", roberta = name == "RobertaTokenizer", qwen = name == "Qwen2Tokenizer";
  Json lines = Json::array();
  while (!merges.empty()) {
    const std::size_t end = std::min(merges.find('\n'), merges.size());
    std::string_view line = merges.substr(0, end);
    merges.remove_prefix(std::min(end + 1, merges.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(line);
  }
  Json model = {{"type", "BPE"}, {"vocab", vocab}, {"merges", std::move(lines)}};
  if (clip) model["end_of_word_suffix"] = "</w>";
  TokenizerFile file;
  file.where = where;
  file.model = read_model(Component(model, where), file.notes);
  if (!clip && !roberta && !qwen && name != "GPT2Tokenizer" && !name.empty())
    file.notes.push_back(
        fmt::format("{}: tokenizer_class {} is read like GPT-2's. Save it as tokenizer.json if it splits "
                    "text otherwise",
                    where, excerpt(config.tokenizer_class, 40)));
  Json bytes = {{"type", "ByteLevel"},
                {"add_prefix_space", config.add_prefix_space},
                {"trim_offsets", true},
                {"use_regex", !qwen}};
  file.decoder = bytes;
  const auto split_and_bytes = [&](std::string_view pattern, std::string_view behavior, bool invert) {
    const Json split = {
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", behavior}, {"invert", invert}};
    return Json{{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}};
  };
  if (clip) {
    const Json spaces = {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}};
    file.normalizer = {{"type", "Sequence"},
                       {"normalizers", Json::array({{{"type", "NFC"}}, spaces, {{"type", "Lowercase"}}})}};
    bytes["add_prefix_space"] = false;
    file.pre_tokenizer =
        split_and_bytes(R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)", "Removed", true);
    add_special_tokens(file, {"<|startoftext|>", "<|endoftext|>"});
    if (const int unk = file.id("<|endoftext|>"); unk >= 0) file.model.options.unk_id = unk;
    surround(file, "<|startoftext|>", "<|endoftext|>");
  } else if (qwen) {
    file.normalizer = {{"type", "NFC"}};
    file.pre_tokenizer =
        split_and_bytes(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                        R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
                        "Isolated", false);
    add_special_tokens(file, {"<|endoftext|>", "<|im_start|>", "<|im_end|>"});
  } else {
    file.pre_tokenizer = bytes;
    if (roberta) {
      add_special_tokens(file, {"<s>", "</s>", "<unk>", "<pad>", "<mask>"});
      surround(file, "<s>", "</s>");
    } else {
      add_special_tokens(file, {"<|endoftext|>"});
    }
  }
  return file;
}

MODERNGPT2_INLINE TokenizerFile read_vocab_txt(std::string_view lines, const VocabularyConfig& config,
                                               const std::string& where) {
  TokenizerFile file;
  file.where = where;
  file.model.kind = ModelFile::Kind::word_piece;
  file.model.prefix = "##";
  if (valid_utf8_prefix(lines) != lines.size())
    throw Error("{}: byte {} is not UTF-8: a vocabulary has one token in each line", where, valid_utf8_prefix(lines));
  const std::size_t count = static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n')) + 1;
  for (std::int64_t id = 0; !lines.empty(); ++id) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    file.model.add(std::string(line), id, count, where);  // equal lines: the last one counts, as in Transformers
  }
  if (file.model.tokens.empty()) throw Error("{}: the vocabulary is empty", where);
  add_special_tokens(file, {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"});
  const auto unk = file.model.ids.find("[UNK]");
  if (unk != file.model.ids.end()) file.model.options.unk_id = unk->second;
  surround(file, "[CLS]", "[SEP]");
  file.normalizer = {{"type", "BertNormalizer"},
                     {"clean_text", true},
                     {"handle_chinese_chars", config.tokenize_chinese_chars},
                     {"strip_accents", config.strip_accents ? Json(*config.strip_accents) : Json()},
                     {"lowercase", config.do_lower_case}};
  file.pre_tokenizer = {{"type", "BertPreTokenizer"}};
  file.decoder = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  return file;
}

}  // namespace moderngpt2::detail

#endif
