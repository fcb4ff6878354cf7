#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/start_thread.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Settings for training a tokenizer.
struct TokenizerTraining {
  int vocab_size = 32000;
  /// Special tokens. <pad>, <unk> and <|endoftext|> always exist, with ids 0, 1 and 2; others follow in order.
  std::vector<std::string> special_tokens{"<|endoftext|>", "<unk>", "<pad>"};
  bool chat_tokens = false;              ///< adds `chat_special_tokens`
  double character_coverage = 0.9995;    ///< fraction of characters with a piece; others become bytes
  std::string model_type = "bpe";        ///< bpe, unigram, or byte_bpe (train_byte_bpe())
  std::string split_pattern = "llama3";  ///< byte_bpe: name of a pattern of split_patterns(), or a regular expression
  int max_sentence_length = 16384;       ///< bytes; longer documents are split, never skipped (byte_bpe: not used)
  /// Bytes for the training. Rare words are dropped, or documents sampled (unigram), where it does not suffice.
  std::int64_t max_memory = std::int64_t{5} << 30;
  std::uint64_t seed = 42;  ///< seed of the sample of documents (unigram)
  int num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 128u));
  /// Called with the phase, such as "merging", and the work that is done and that there will be.
  std::function<void(const char* phase, double done, double total)> progress{};
  std::function<void(const std::string&)> note{};  ///< called with each remark on the result, a sentence
};

/// Reads the next document. Returns false at the end.
using NextDocument = std::function<bool(std::string&)>;

/// Special tokens that TokenizerTraining::chat_tokens adds, for chats in the format of tokenizer/chat_template.hpp.
inline const std::vector<std::string>& chat_special_tokens() {
  static const std::vector<std::string> tokens{"<|system|>",
                                               "<|user|>",
                                               "<|assistant|>",
                                               "<|begin_of_text|>",
                                               "<|end_of_text|>",
                                               "<|start_header_id|>",
                                               "<|end_header_id|>",
                                               "<|eot_id|>",
                                               "<|reserved_special_token_0|>",
                                               "<|reserved_special_token_1|>",
                                               "<|reserved_special_token_2|>",
                                               "<|reserved_special_token_3|>"};
  return tokens;
}

namespace detail {

/// Special tokens of the settings except the three fixed ones, without duplicates. Throws Error for an invalid token.
inline std::vector<std::string> further_special_tokens(const TokenizerTraining& training) {
  std::vector<std::string> all = training.special_tokens;
  if (training.chat_tokens) all.insert(all.end(), chat_special_tokens().begin(), chat_special_tokens().end());
  std::vector<std::string> further;
  for (const std::string& token : all) {
    if (token == "<pad>" || token == "<unk>" || token == "<|endoftext|>") continue;
    if (token.empty() || valid_utf8_prefix(token) != token.size() ||
        token.find_first_of(std::string_view(" \t\r\n\0", 5)) != token.npos || token.find(space_mark) != token.npos)
      throw Error("special_tokens: {} is empty, has white space in it or is not UTF-8", excerpt(token, 40));
    if (token.size() == 6 && token.starts_with("<0x") && token[5] == '>')
      throw Error("special_tokens: {} has the form reserved for bytes", token);
    if (std::find(further.begin(), further.end(), token) == further.end()) further.push_back(token);
  }
  return further;
}

/// Bytes without which training makes no sense.
inline constexpr std::int64_t smallest_training_memory = std::int64_t{64} << 20;

inline void check_training(const TokenizerTraining& training, std::size_t special_tokens) {
  if (training.model_type != "bpe" && training.model_type != "unigram" && training.model_type != "byte_bpe")
    throw Error("model_type is {}: bpe, unigram or byte_bpe is needed", excerpt(training.model_type, 40));
  if (training.max_memory < smallest_training_memory)
    throw Error("max_memory is {} bytes: at least {} are needed", training.max_memory, smallest_training_memory);
  if (!(training.character_coverage >= 0.98 && training.character_coverage <= 1))
    throw Error("character_coverage is {}: a number from 0.98 to 1 is needed", training.character_coverage);
  if (training.max_sentence_length < 10 || training.max_sentence_length > (1 << 30))
    throw Error("max_sentence_length is {}: a number from 10 to {} is needed", training.max_sentence_length, 1 << 30);
  if (training.num_threads < 1 || training.num_threads > 128)
    throw Error("num_threads is {}: a number from 1 to 128 is needed", training.num_threads);
  require_threads(training.num_threads, {"num_threads"});
  const auto smallest = static_cast<std::int64_t>(special_tokens) + 256 + 1;
  if (training.vocab_size < smallest)
    throw Error("vocab_size is {}: {} special tokens, 256 bytes and the text's characters need more than {}",
                training.vocab_size, special_tokens, smallest - 1);
}

/// Memory of byte-level BPE training, in bytes for each byte of the table of words.
inline constexpr std::size_t byte_bpe_growth = 7;

/// Texts that no piece of a SentencePiece model spells: special tokens, and U+2585, which SentencePiece reserves.
inline std::vector<std::string> cut_out_texts(std::vector<std::string> special) {
  special.insert(special.end(), {"\xE2\x96\x85", "<pad>", "<unk>", "<|endoftext|>"});
  return special;
}

[[noreturn]] inline void throw_too_large(const TokenizerTraining& training, std::size_t most) {
  throw Error("vocab_size {} is too large for this text: the largest possible is {}; lower it or give more text",
              training.vocab_size, most);
}
[[noreturn]] inline void throw_too_small(const TokenizerTraining& training, std::size_t least) {
  throw Error(
      "vocab_size {} is too small: special tokens, bytes and the text's characters need {}; raise it or lower "
      "character_coverage (now {})",
      training.vocab_size, least, training.character_coverage);
}

}  // namespace detail

}  // namespace moderngpt2
