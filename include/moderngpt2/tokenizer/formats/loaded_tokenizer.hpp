#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/pipeline.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2 {

/// Settings of Tokenizer::load() for files that do not contain them.
struct TokenizerOptions {
  /// Pattern that splits the text, for tiktoken files: gpt2, r50k, p50k, cl100k, o200k, llama3, llama4, qwen, kimi or a
  /// regular expression. Empty (default): by the file's name, else by its number of tokens.
  std::string pattern;
};

namespace detail {

/// Tokenizer of another library, which encodes and decodes whole texts. Immutable and thread-safe.
class TextEngine {
 public:
  virtual ~TextEngine() = default;
  /// Appends the ids of `text`, valid UTF-8.
  virtual void encode(std::string_view text, std::vector<int>& ids, const EncodeOptions& options) const = 0;
  /// Returns the text of ids, all of which have a token.
  virtual std::string decode(std::span<const int> ids) const = 0;
  /// Bytes that a token adds to a text that has other tokens before it.
  virtual std::string token_text(int id) const = 0;
};

/// Path of a tokenizer's file, and its name in a model folder.
struct TokenizerPath {
  std::filesystem::path path;
  std::string name;
};

/// Special tokens that a SentencePiece model names; empty: none.
struct TokenRoles {
  std::string bos, eos, pad;
};

/// Result of reading a tokenizer's files.
struct LoadedTokenizer {
  TokenizerFile file;
  std::shared_ptr<const TextEngine> engine;  ///< in place of the pipeline, if any
  TokenRoles roles;
  std::filesystem::path folder;  ///< folder of tokenizer_config.json; of a GGUF tokenizer, the file
  std::vector<TokenizerPath> files;
  std::uint64_t fingerprint = 0;
};

}  // namespace detail
}  // namespace moderngpt2
