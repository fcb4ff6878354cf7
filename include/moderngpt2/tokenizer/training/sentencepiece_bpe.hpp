#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/training/count_words.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_file.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_merges.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_words.hpp"
#include "moderngpt2/tokenizer/training/sentences.hpp"
#include "moderngpt2/tokenizer/training/settings.hpp"

namespace moderngpt2::detail {

/// Text of one character.
inline std::string utf8_encode(char32_t c) {
  const auto byte = [](char32_t bits) { return static_cast<char>(static_cast<unsigned char>(bits)); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
}

/// Frequencies of characters by code point. A space counts as U+2581.
class CharacterCounts {
 public:
  void add(std::string_view word, std::uint64_t count) {
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = utf8_length(word[at]);
      counts_[word[at] == ' ' ? 0x2581 : utf8_decode(word, at, length)] += count;
      at += length;
    }
  }
  void add(char32_t c, std::uint64_t count) { counts_[c] += count; }

  struct Chosen {
    std::vector<std::pair<char32_t, std::uint64_t>> characters;
    bool all = true;  ///< every character of the text is chosen
  };

  /// Characters by descending frequency, of which the first ones cover `coverage` of the text: SentencePiece's
  /// required characters. A tab is never one.
  Chosen most_frequent(double coverage) const {
    std::vector<std::pair<char32_t, std::uint64_t>> all;
    std::uint64_t total = 0, sum = 0;
    for (std::size_t c = 0; c < counts_.size(); ++c)
      if (counts_[c] > 0) {
        all.emplace_back(static_cast<char32_t>(c), counts_[c]);
        total += counts_[c];
      }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    Chosen chosen;
    for (const auto& [c, count] : all) {
      const auto covered = static_cast<float>(static_cast<double>(sum) / static_cast<double>(total));
      if (covered >= static_cast<float>(coverage)) break;
      sum += count;
      if (c != '\t') chosen.characters.emplace_back(c, count);
    }
    chosen.all = chosen.characters.size() == all.size();
    return chosen;
  }

 private:
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(0x110000);
};

/// Calls f(symbols) for each part of a word between characters without a symbol, if it has at least two.
template <class F>
void for_each_part(std::string_view word, const std::vector<std::uint32_t>& symbols, std::vector<std::uint32_t>& part,
                   F&& f) {
  part.clear();
  const auto end = [&] {
    if (part.size() > 1) f(part);
    part.clear();
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = utf8_length(word[at]);
    const std::uint32_t symbol = symbols[word[at] == ' ' ? 0x2581 : utf8_decode(word, at, length)];
    if (symbol == ~std::uint32_t{0})
      end();
    else
      part.push_back(symbol);
    at += length;
  }
  end();
}

template <class Slot>
LearnedPieces learn_pieces(WordCounts& words, const CharacterCounts::Chosen& chosen, const TokenizerTraining& training,
                           std::size_t wanted) {
  SentencePieceSymbols symbols;
  std::vector<std::uint32_t> by_character(0x110000, ~std::uint32_t{0});
  const Scripts& scripts = Scripts::instance();
  for (const auto& [c, count] : chosen.characters)
    by_character[c] = symbols.add_character(utf8_encode(c), scripts[c], c == 0x2581);
  std::map<std::uint64_t, std::size_t> sizes;
  std::vector<std::uint32_t> part;
  words.for_each([&](std::string_view word, std::uint64_t count) {
    std::size_t size = 0;
    for_each_part(word, by_character, part, [&](const auto& found) { size += found.size() + 1; });
    if (size > 0) sizes[count] += size;
  });
  MergeText<Slot> text(sizes);
  words.consume([&](std::string_view word, std::uint64_t count) {
    for_each_part(word, by_character, part, [&](const auto& found) { text.add(found, count); });
  });
  const auto most = static_cast<std::size_t>(training.max_memory);
  SentencePieceMerges<Slot> merges(text, symbols, wanted, most - std::min(most / 2, text.bytes()), !chosen.all,
                                   training.num_threads);
  return merges.learn([&](std::size_t pieces) {
    if (training.progress) training.progress("merging", static_cast<double>(pieces), static_cast<double>(wanted));
  });
}

inline void note_tie(const TokenizerTraining& training, const LearnedPieces& learned, std::size_t first_id) {
  if (learned.first_tie < 0 || !training.note) return;
  training.note(
      fmt::format("from id {} on, SentencePiece's own trainer may choose others of the pieces with the same frequency",
                  first_id + static_cast<std::size_t>(learned.first_tie)));
}

/// Trains a SentencePiece BPE model and returns the bytes of its file. `special`: the special tokens from id 3 on.
inline std::string train_sentencepiece_bpe(const TokenizerTraining& training, const std::vector<std::string>& special,
                                           const NextDocument& read) {
  WordCounts words;
  CharacterCounts characters;
  std::atomic<std::uint64_t> tabs{0};
  std::atomic<bool> any{false};
  const auto make_split = [&] {
    return [&, cutter = SentenceCutter(static_cast<std::size_t>(training.max_sentence_length), cut_out_texts(special)),
            splitter = SentencePieceWords()](std::string& document, auto&& emit) mutable {
      cutter.start(document);
      for (std::string_view sentence; !(sentence = cutter.next()).empty(); any = true) splitter.split(sentence, emit);
      tabs += splitter.take_tabs();
    };
  };
  const auto keep_characters = [&](std::string_view word, std::uint64_t count) { characters.add(word, count); };
  const DroppedWords dropped =
      count_words(words, read, training.num_threads, static_cast<std::size_t>(training.max_memory) / 5 * 3, make_split,
                  keep_characters);
  if (!any) throw Error("no text to train the tokenizer on");
  note_dropped(training, dropped);
  words.for_each(keep_characters);
  if (tabs > 0) characters.add(U'\t', tabs);
  const CharacterCounts::Chosen chosen = characters.most_frequent(training.character_coverage);

  std::vector<SentencePieceModel::Piece> pieces{{"<pad>", 0, SentencePieceModel::Type::control},
                                                {"<unk>", 0, SentencePieceModel::Type::unknown},
                                                {"<|endoftext|>", 0, SentencePieceModel::Type::control}};
  for (const std::string& token : special) pieces.push_back({token, 0, SentencePieceModel::Type::control});
  for (int byte = 0; byte < 256; ++byte)
    pieces.push_back({fmt::format("<0x{:02X}>", byte), 0, SentencePieceModel::Type::byte});
  const std::size_t fixed = pieces.size() + chosen.characters.size();
  const auto vocab_size = static_cast<std::size_t>(training.vocab_size);
  if (fixed > vocab_size) throw_too_small(training, fixed);
  const LearnedPieces learned = vocab_size < MergeText<std::uint16_t>::most_symbols
                                    ? learn_pieces<std::uint16_t>(words, chosen, training, vocab_size - fixed)
                                    : learn_pieces<std::uint32_t>(words, chosen, training, vocab_size - fixed);
  if (fixed + learned.pieces.size() < vocab_size) throw_too_large(training, fixed + learned.pieces.size());
  note_tie(training, learned, pieces.size());
  std::size_t rank = 0;
  const auto add = [&](std::string text) {
    pieces.push_back({std::move(text), -static_cast<float>(rank++), SentencePieceModel::Type::normal});
  };
  for (const std::string& piece : learned.pieces) add(piece);
  for (const auto& [c, count] : chosen.characters) add(utf8_encode(c));
  return sentencepiece_file(pieces,
                            {training.vocab_size, training.character_coverage, training.max_sentence_length, special});
}

}  // namespace moderngpt2::detail
