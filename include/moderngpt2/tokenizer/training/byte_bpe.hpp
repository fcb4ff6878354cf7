#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/byte_alphabet.hpp"
#include "moderngpt2/tokenizer/training/byte_merges.hpp"
#include "moderngpt2/tokenizer/training/count_words.hpp"
#include "moderngpt2/tokenizer/training/sentences.hpp"
#include "moderngpt2/tokenizer/training/settings.hpp"

namespace moderngpt2 {

namespace detail {

/// Ids of a byte-level BPE model before the first merge: special tokens, then the bytes in the order of their
/// characters in the byte alphabet, as BpeTrainer orders them.
inline ByteVocabulary byte_vocabulary(const std::vector<std::string>& special) {
  ByteVocabulary vocabulary;
  vocabulary.tokens = special;  // not in `ids`: no text of a token spells a special token
  std::map<char32_t, std::string> bytes;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[byte_alphabet[byte]] = std::string(1, static_cast<char>(byte));
  for (const auto& [character, text] : bytes) vocabulary.id(text);
  return vocabulary;
}

template <class Slot>
void learn_byte_merges(WordCounts& words, const TokenizerTraining& training, ByteVocabulary& vocabulary) {
  std::map<std::uint64_t, std::size_t> sizes;
  words.for_each([&](std::string_view word, std::uint64_t count) {
    if (word.size() > 1) sizes[count] += word.size() + 1;
  });
  MergeText<Slot> text(sizes);
  std::vector<std::uint32_t> symbols, by_byte(256);
  for (std::size_t byte = 0; byte < 256; ++byte)
    by_byte[byte] = vocabulary.ids.at(std::string(1, static_cast<char>(byte)));
  words.consume([&](std::string_view word, std::uint64_t count) {
    if (word.size() < 2) return;
    symbols.clear();
    for (const char c : word) symbols.push_back(by_byte[static_cast<unsigned char>(c)]);
    text.add(symbols, count);
  });
  const auto wanted = static_cast<std::size_t>(training.vocab_size);
  ByteMerges<Slot>(text, vocabulary).learn(wanted, [&](std::size_t tokens) {
    if (training.progress) training.progress("merging", static_cast<double>(tokens), static_cast<double>(wanted));
  });
}

}  // namespace detail

/// Splits a text into the words that tokens do not cross: calls emit(word) for each. Must be safe to call from several
/// threads.
using SplitText = std::function<void(std::string_view text, const std::function<void(std::string_view)>& emit)>;

/// Vocabulary and merges of a byte-level BPE tokenizer.
struct ByteBpe {
  std::vector<std::string> special_tokens;                  ///< by id, from 0
  std::vector<std::string> tokens;                          ///< by id; in the byte alphabet, special tokens as they are
  std::vector<std::pair<std::string, std::string>> merges;  ///< in order, in the byte alphabet
};

/// Trains a byte-level BPE tokenizer on documents: the vocabulary and merges of BpeTrainer (Hugging Face's
/// `tokenizers`) with the whole byte alphabet and min_frequency 0. Ids: <pad>, <unk>, <|endoftext|>, other special
/// tokens, 256 bytes, merges. Special tokens are cut out of the text.
inline ByteBpe train_byte_bpe(const TokenizerTraining& training, const SplitText& split, const NextDocument& read) {
  using namespace detail;
  std::vector<std::string> special = further_special_tokens(training);
  special.insert(special.begin(), {"<pad>", "<unk>", "<|endoftext|>"});
  check_training(training, special.size());
  WordCounts words;
  const auto make_split = [&] {
    return [&, cutter = SentenceCutter(std::string_view::npos, special)](std::string& document, auto&& emit) mutable {
      cutter.start(document);
      const std::function<void(std::string_view)> add = emit;
      for (std::string_view part; !(part = cutter.next()).empty();) split(part, add);
    };
  };
  const DroppedWords dropped =
      count_words(words, read, training.num_threads, static_cast<std::size_t>(training.max_memory) / byte_bpe_growth,
                  make_split, [](std::string_view, std::uint64_t) {});
  if (words.words() == 0) throw Error("no text to train the tokenizer on");
  note_dropped(training, dropped);
  ByteVocabulary vocabulary = byte_vocabulary(special);
  const auto vocab_size = static_cast<std::size_t>(training.vocab_size);
  if (vocab_size < MergeText<std::uint16_t>::most_symbols)
    learn_byte_merges<std::uint16_t>(words, training, vocabulary);
  else
    learn_byte_merges<std::uint32_t>(words, training, vocabulary);
  if (vocabulary.tokens.size() < vocab_size) throw_too_large(training, vocabulary.tokens.size());
  const auto text_of = [&](std::size_t id) {
    if (id < special.size()) return special[id];
    std::string text;
    append_byte_characters(vocabulary.tokens[id], text);
    return text;
  };
  ByteBpe result;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) result.tokens.push_back(text_of(id));
  for (const auto& [left, right] : vocabulary.merges) result.merges.emplace_back(text_of(left), text_of(right));
  result.special_tokens = std::move(special);
  return result;
}

}  // namespace moderngpt2
