#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/byte_trie.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Unigram language model (Kudo 2018): finds the segmentation with the highest sum of scores by Viterbi search over the
/// whole text in double precision, with the order of comparisons of Hugging Face `tokenizers`. SentencePiece adds in
/// single precision and may choose another segmentation if two scores differ by less than rounding.
class UnigramModel {
 public:
  /// `vocabulary[id]` is text and score of each id. `byte_ids` are all -1 without byte fallback.
  UnigramModel(const std::vector<std::pair<std::string, double>>& vocabulary, int unk_id,
               const std::array<int, 256>& byte_ids);

  /// Appends the ids of `text`, normalized and valid UTF-8.
  void encode(std::string_view text, std::vector<int>& ids) const;

 private:
  struct Node {  // best path to a byte of the text
    double score = 0;
    std::size_t begin = 0;
    int id = -1;  // -1: no path ends here
  };

  std::vector<Node> viterbi(std::string_view text) const;

  void append(std::string_view piece, std::vector<int>& ids) const;

  ByteTrie trie_;
  std::unordered_map<std::string, int> ids_;
  std::vector<double> scores_;
  int unk_id_;
  double unk_score_ = 0;
  std::array<int, 256> byte_ids_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE UnigramModel::UnigramModel(const std::vector<std::pair<std::string, double>>& vocabulary, int unk_id,
                                             const std::array<int, 256>& byte_ids)
    : unk_id_(unk_id), byte_ids_(byte_ids) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : vocabulary) {
    trie_.insert(token, static_cast<int>(scores_.size()));
    ids_.emplace(token, static_cast<int>(scores_.size()));
    scores_.push_back(score);
    if (score < lowest) lowest = score;
  }
  constexpr double unk_penalty = 10;
  unk_score_ = lowest - unk_penalty;
}

MODERNGPT2_INLINE void UnigramModel::encode(std::string_view text, std::vector<int>& ids) const {
  const std::vector<Node> best = viterbi(text);
  std::vector<std::pair<std::size_t, std::size_t>> pieces;  // begin, end; last piece first
  bool run_of_unk = false;
  for (std::size_t end = text.size(); end > 0; end = best[end].begin) {
    const Node& node = best[end];
    if (node.id == unk_id_ && run_of_unk) {
      pieces.back().first = node.begin;
    } else {
      pieces.emplace_back(node.begin, end);
    }
    run_of_unk = node.id == unk_id_;
  }
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece)
    append(text.substr(piece->first, piece->second - piece->first), ids);
}

MODERNGPT2_INLINE std::vector<UnigramModel::Node> UnigramModel::viterbi(std::string_view text) const {
  std::vector<Node> best(text.size() + 1);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t character = utf8_length(text[at]);
    const double score_here = best[at].score;
    bool has_character = false;
    const auto offer = [&](std::size_t length, int id, double score) {
      Node& node = best[at + length];
      const double total = score + score_here;
      if (node.id < 0 || total > node.score) node = {total, at, id};
    };
    trie_.for_each_prefix(text.substr(at), [&](std::size_t length, int id) {
      offer(length, id, scores_[static_cast<std::size_t>(id)]);
      has_character |= length == character;
    });
    if (!has_character) offer(character, unk_id_, unk_score_);
    at += character;
  }
  return best;
}

MODERNGPT2_INLINE void UnigramModel::append(std::string_view piece, std::vector<int>& ids) const {
  const auto found = ids_.find(std::string(piece));
  if (found != ids_.end()) {
    ids.push_back(found->second);
    return;
  }
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  for (const char c : piece) {
    if (byte_id(c) < 0) {
      ids.push_back(unk_id_);
      return;
    }
  }
  for (const char c : piece) ids.push_back(byte_id(c));
}

}  // namespace moderngpt2::detail

#endif
