#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece.hpp"

namespace moderngpt2::detail {

/// Treatment of the matches of a pattern. For "a--b" and "-": removed: a, b; isolated: a, -, -, b;
/// merged_with_previous: a-, -, b; merged_with_next: a, -, -b; contiguous: a, --, b.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

inline SplitBehavior read_split_behavior(const Component& component, const std::string& name) {
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> names{{
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  }};
  for (const auto& [known, behavior] : names)
    if (known == name) return behavior;
  component.fail("behavior is {}, expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
                 excerpt(name, 40));
}

/// Splits a piece at matches, reported in order, and emits the parts that a SplitBehavior makes of them. Empty matches
/// separate the text around them.
template <class Emit>
class PieceSplitter {
 public:
  /// `invert` swaps matches and the text between them.
  PieceSplitter(Piece piece, SplitBehavior behavior, bool invert, Emit& emit)
      : piece_(piece), end_(piece.text.data()), behavior_(behavior), invert_(invert), emit_(&emit) {}

  void match(const char* begin, const char* end) {
    if (begin != end_) add(end_, begin, invert_);
    add(begin, end, !invert_);
    end_ = end;
  }

  /// Emits the rest of the text.
  void finish() {
    const char* text_end = piece_.text.data() + piece_.text.size();
    if (end_ != text_end) add(end_, text_end, invert_);
    flush();
  }

 private:
  void add(const char* begin, const char* end, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!is_match) emit(begin, end);
        return;
      case SplitBehavior::isolated:
        return emit(begin, end);
      case SplitBehavior::merged_with_previous:
        extend_or_hold(is_match && !last_is_match_, begin, end);
        break;
      case SplitBehavior::contiguous:
        extend_or_hold(is_match == last_is_match_, begin, end);
        break;
      case SplitBehavior::merged_with_next:
        extend_or_hold(!is_match && last_is_match_, begin, end);
        break;
    }
    last_is_match_ = is_match;
  }

  void extend_or_hold(bool extends, const char* begin, const char* end) {
    if (!extends || !held_begin_) {
      flush();
      held_begin_ = begin;
    }
    held_end_ = end;
  }

  void flush() {
    if (held_begin_) emit(held_begin_, held_end_);
    held_begin_ = nullptr;
  }

  void emit(const char* begin, const char* end) {
    if (begin != end) (*emit_)(part_of(piece_, begin, end));
  }

  Piece piece_;
  const char* end_;  // end of the last match
  SplitBehavior behavior_;
  bool invert_;
  Emit* emit_;
  bool last_is_match_ = false;
  const char* held_begin_ = nullptr;  // part that a later one may extend
  const char* held_end_ = nullptr;
};

}  // namespace moderngpt2::detail
