#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "make_stories/stories_english.hpp"
#include "make_stories/stories_japanese.hpp"
#include "make_stories/story_template.hpp"

namespace moderngpt2 {

/// Languages of the generated text.
enum class StoryLanguage { english, japanese };

/// Story number `index` of a language: a pure function of its arguments, equal on all machines. A story has 30 to 200
/// words of simple prose with regularities to learn: agreement in number and gender, articles and counters, names and
/// things that recur, days in order, and small sums (see check_sums).
inline std::string story(StoryLanguage language, std::uint64_t seed, std::uint64_t index) {
  detail::StoryDice dice(seed, static_cast<std::uint64_t>(language), index);
  return language == StoryLanguage::english ? detail::english::story(dice) : detail::japanese::story(dice);
}

/// Number of sums in a text, and of correct ones.
struct SumCheck {
  int sums = 0;
  int right = 0;
};

namespace detail {

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Tracks the running total of a story. A stated answer is compared with the total and becomes the new total.
class SumJudge {
 public:
  void start(long value) { total_ = value; }
  void add(long value) { total_ = total_.value_or(0) + value; }
  void times(long value) { total_ = total_.value_or(1) * value; }
  void divide(long value) {
    constexpr long no_answer_is_right = -1;
    const bool exact = value > 0 && total_.value_or(0) % value == 0;
    total_ = exact ? total_.value_or(0) / value : no_answer_is_right;
  }
  void answer(long value) {
    if (total_) {
      check_.sums += 1;
      check_.right += *total_ == value;
    }
    total_ = value;
  }
  SumCheck result() const { return check_; }

 private:
  std::optional<long> total_;
  SumCheck check_;
};

/// Handles the number between `before` and `after`, the two parts of its English sentence.
inline void judge_english(SumJudge& judge, long value, std::string_view before, std::string_view after) {
  const bool years = after.starts_with(" year");
  if (after.starts_with(" more")) return judge.add(value);
  if (after.starts_with(" of them")) return judge.add(-value);
  if (years && contains(after, "older")) return judge.add(value);
  if (years && contains(after, "younger")) return judge.add(-value);
  if (before.ends_with("plus ")) return judge.add(value);
  if (before.ends_with("minus ") || before.ends_with("cost ")) return judge.add(-value);
  if (before.ends_with("among ")) return judge.divide(value);
  if (contains(after, "in each")) return judge.times(value);
  const bool now = before.starts_with("Now ") || contains(before, " now ") || contains(before, "makes ");
  const bool each = before.starts_with("Each ") && contains(before, " got ");
  if (now || each || contains(after, " left") || contains(after, " in all")) return judge.answer(value);
  judge.start(value);
}

/// Handles the number between `before` and `after`, the two parts of its Japanese sentence.
inline void judge_japanese(SumJudge& judge, long value, std::string_view before, std::string_view after) {
  if (before.ends_with("もう") || before.ends_with("足す")) return judge.add(value);
  if (before.ends_with("そのうち") || before.ends_with("引く") || before.ends_with("代金は")) return judge.add(-value);
  if (after.starts_with("歳年上")) return judge.add(value);
  if (after.starts_with("歳年下")) return judge.add(-value);
  if (after.starts_with("人で同じ数に分け")) return judge.divide(value);
  if (contains(after, "ずつ")) return judge.times(value);
  for (const std::string_view mark : {"全部で", "残りは", "一人分は", "今は", "今"}) {
    if (before.ends_with(mark)) return judge.answer(value);
  }
  if (before.ends_with("は") && (contains(before, "足す") || contains(before, "引く"))) return judge.answer(value);
  judge.start(value);
}

}  // namespace detail

/// Counts the sums in a text, and the correct ones: correct / sums in a model's text measures what it has learned.
///
/// A running total follows the numbers in text order. In English it grows by "4 more", "2 years older" and "plus 4",
/// shrinks by "3 of them", "cost 3" and "minus 3", is multiplied by "5 apples in each" and divided by "among 4
/// friends". A number after "now", "makes" or "Each ... got", or before "left" or "in all", is an answer and is
/// checked. Any other number starts a new total. Japanese equivalents are もう, 歳年上, 足す; そのうち, 代金は, 引く;
/// ずつ; 人で同じ数に分け; and, for answers, 全部で, 残りは, 一人分は, 今. An answer without a preceding total is not
/// counted.
inline SumCheck check_sums(StoryLanguage language, std::string_view text) {
  const bool english = language == StoryLanguage::english;
  const auto is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  const auto border = [&](std::size_t i) {  // length in bytes of a sentence border at i, or 0
    if (text[i] == '\n' || (english && std::string_view(".!?\"").find(text[i]) != std::string_view::npos)) return 1;
    if (english) return 0;
    for (const std::string_view mark : {"。", "！", "？", "「", "」", "、"}) {
      if (text.substr(i).starts_with(mark)) return static_cast<int>(mark.size());
    }
    return 0;
  };

  detail::SumJudge judge;
  std::size_t sentence = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (const int bytes = border(i)) {
      sentence = i + static_cast<std::size_t>(bytes);
      if (english && sentence < text.size() && text[sentence] == ' ') ++sentence;
      i += static_cast<std::size_t>(bytes) - 1;
      continue;
    }
    if (!is_digit(i)) continue;
    std::size_t end = i;
    long value = 0;
    for (; is_digit(end); ++end) value = value > 99'999'999 ? value : value * 10 + (text[end] - '0');
    std::size_t stop = end;
    while (stop < text.size() && border(stop) == 0) ++stop;
    const std::string_view before = text.substr(sentence, i - sentence);
    const std::string_view after = text.substr(end, stop - end);
    english ? detail::judge_english(judge, value, before, after) : detail::judge_japanese(judge, value, before, after);
    i = end - 1;
  }
  return judge.result();
}

}  // namespace moderngpt2
