#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/models/double_array.hpp"
#include "moderngpt2/tokenizer/models/word_cache.hpp"
#include "moderngpt2/tokenizer/models/word_piece.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Unigram language model (Kudo 2018): finds the segmentation with the highest sum of scores by Viterbi search over the
/// whole text in double precision, with the order of comparisons of Hugging Face `tokenizers`. SentencePiece adds in
/// single precision and may choose another segmentation if two scores differ by less than rounding.
///
/// A long text is searched window by window. Where all best paths that are still open have met, the path before is
/// final; if they have not met within a window (not seen in natural text), the window is doubled.
class UnigramModel {
 public:
  /// `vocabulary[id]` is text and score of each id. `unk_id` is -1 if there is no unknown token. `byte_ids` are all -1
  /// without byte fallback. `window`: bytes searched at once.
  UnigramModel(const std::vector<std::pair<std::string, double>>& vocabulary, int unk_id,
               const std::array<int, 256>& byte_ids, std::size_t window = 1 << 16);

  /// Appends the ids of `text`, normalized and valid UTF-8. Throws Error if it needs a missing unknown token.
  void encode(std::string_view text, std::vector<int>& ids) const {
    if (!text.empty()) encode(Pieces{{&text, 1}, text.data() + text.size()}, ids);
  }
  void encode(const Pieces& text, std::vector<int>& ids) const;

 private:
  struct Node {  // best path that ends at a byte of the window
    double score = 0;
    std::uint32_t length = 0;  // length of the last piece; 0: no path
    int id = -1;
  };
  struct Piece {
    std::size_t length;
    int id;
  };
  struct Scratch {  // one per thread
    std::vector<Node> best;
    std::vector<Piece> pieces;
  };

  static DoubleArray trie_of(const std::vector<std::pair<std::string, double>>& vocabulary);

  void search(std::string_view text, std::vector<int>& ids) const;

  /// Extends paths to all pieces that begin at `at`; `text` begins with the window.
  void extend(std::string_view text, std::size_t at, std::vector<Node>& best) const;

  /// Last position up to `end` that every path which continues after `end` passes through.
  static std::size_t meeting_point(const std::vector<Node>& best, std::size_t end);

  /// Appends the ids of a run of unknown characters.
  void append_unknown(std::string_view run, std::vector<int>& ids) const;

  DoubleArray trie_;
  std::vector<double> scores_;
  std::size_t longest_ = 4;  // bytes of a piece
  int unk_id_;
  double unk_score_ = 0;
  std::array<int, 256> byte_ids_;
  std::size_t window_;
  WordCache cache_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE DoubleArray UnigramModel::trie_of(const std::vector<std::pair<std::string, double>>& vocabulary) {
  std::vector<std::string> texts;
  texts.reserve(vocabulary.size());
  for (const auto& entry : vocabulary) texts.push_back(entry.first);
  return DoubleArray(texts);
}

MODERNGPT2_INLINE UnigramModel::UnigramModel(const std::vector<std::pair<std::string, double>>& vocabulary, int unk_id,
                                             const std::array<int, 256>& byte_ids, std::size_t window)
    : trie_(trie_of(vocabulary)), unk_id_(unk_id), byte_ids_(byte_ids), window_(window) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : vocabulary) {
    longest_ = std::max(longest_, token.size());
    scores_.push_back(score);
    if (score < lowest) lowest = score;
  }
  constexpr double unk_penalty = 10;
  unk_score_ = lowest - unk_penalty;
}

MODERNGPT2_INLINE void UnigramModel::encode(const Pieces& text, std::vector<int>& ids) const {
  cache_.encode(text, ids, [this](std::string_view piece, std::vector<int>& to) { search(piece, to); });
}

MODERNGPT2_INLINE void UnigramModel::search(std::string_view text, std::vector<int>& ids) const {
  thread_local Scratch scratch;
  std::vector<Node>& best = scratch.best;
  best.assign(std::min(text.size(), window_ + longest_) + 1, Node{});
  std::size_t window = window_;
  std::size_t unk_begin = 0, unk_end = 0;  // run of unknown characters that is not yet appended
  const char* const origin = text.data();
  const auto append_unk = [&] {
    if (unk_begin < unk_end) append_unknown({origin + unk_begin, unk_end - unk_begin}, ids);
    unk_begin = unk_end;
  };
  std::size_t at = 0;  // in the window, which begins at text[0]
  while (true) {
    for (; at < std::min(window, text.size()); at += utf8_length(text[at])) extend(text, at, best);
    const bool whole = at >= text.size();
    const std::size_t settled = whole ? text.size() : meeting_point(best, at);
    if (!whole && 2 * settled <= window) {
      window *= 2;
      best.resize(std::min(text.size(), window + longest_) + 1);
      continue;
    }
    scratch.pieces.clear();
    for (std::size_t end = settled; end > 0; end -= best[end].length)
      scratch.pieces.push_back({best[end].length, best[end].id});
    for (std::size_t i = scratch.pieces.size(); i-- > 0;) {
      const auto [length, id] = scratch.pieces[i];
      const auto begin = static_cast<std::size_t>(text.data() - origin);
      if (id != unk_id_) {
        append_unk();
        ids.push_back(id);
      } else {
        if (unk_begin == unk_end) unk_begin = begin;
        unk_end = begin + length;
      }
      text.remove_prefix(length);
    }
    at -= settled;
    if (whole) break;
    const auto kept = static_cast<std::ptrdiff_t>(settled);
    std::fill(std::copy(best.begin() + kept, best.end(), best.begin()), best.end(), Node{});
  }
  append_unk();
  constexpr std::size_t kept_nodes = std::size_t{1} << 18;
  if (best.capacity() > kept_nodes) scratch = {};
}

MODERNGPT2_INLINE void UnigramModel::extend(std::string_view text, std::size_t at, std::vector<Node>& best) const {
  const std::size_t character = utf8_length(text[at]);
  const double score_here = best[at].score;
  bool has_character = false;
  const auto offer = [&](std::size_t length, int id, double score) {
    Node& node = best[at + length];
    const double total = score + score_here;
    if (node.length == 0 || total > node.score) node = {total, static_cast<std::uint32_t>(length), id};
  };
  trie_.for_each_prefix(text.substr(at, longest_), [&](std::size_t length, int id) {
    offer(length, id, scores_[static_cast<std::size_t>(id)]);
    has_character |= length == character;
  });
  if (has_character) return;
  if (unk_id_ < 0 && (best[at + character].length == 0 || unk_score_ + score_here > best[at + character].score))
    fail_without_unk("Unigram", text.substr(at, character));
  offer(character, unk_id_, unk_score_);
}

MODERNGPT2_INLINE std::size_t UnigramModel::meeting_point(const std::vector<Node>& best, std::size_t end) {
  // The latest of the open positions steps back along its path, until one position is left.
  std::vector<bool> open(best.size(), false);
  std::size_t count = 0;
  for (std::size_t at = end; at < best.size(); ++at) {
    if (at > end && best[at].length == 0) continue;
    open[at] = true;
    ++count;
  }
  std::size_t last = end;
  for (std::size_t at = best.size() - 1; count > 1; --at) {
    if (!open[at]) continue;
    last = at - best[at].length;
    if (open[last]) --count;
    open[last] = true;
  }
  return last;
}

MODERNGPT2_INLINE void UnigramModel::append_unknown(std::string_view run, std::vector<int>& ids) const {
  if (const int id = trie_.find(run); id >= 0) return ids.push_back(id);
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(run.begin(), run.end(), [&](char c) { return byte_id(c) < 0; })) return ids.push_back(unk_id_);
  for (const char c : run) ids.push_back(byte_id(c));
}

}  // namespace moderngpt2::detail

#endif
