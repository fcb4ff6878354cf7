#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/random.hpp"

namespace moderngpt2::detail {

/// Random choices of one story: a counter-based stream, a pure function of its three keys.
class StoryDice {
 public:
  StoryDice(std::uint64_t seed, std::uint64_t language, std::uint64_t index)
      : state_(mix64(mix64(mix64(seed) + language) + index)) {}

  /// Number in [0, count), for count < 2^32.
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(((mix64(state_++) >> 32) * count) >> 32); }
  /// Number in [first, last].
  int between(int first, int last) {
    return first + static_cast<int>(below(static_cast<std::size_t>(last - first + 1)));
  }
  bool chance(int percent) { return static_cast<int>(below(100)) < percent; }

  template <class List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }
  /// Random element that differs from `taken`.
  template <class List, class Item>
  const auto& pick_other(const List& list, const Item& taken) {
    while (true) {
      const auto& item = pick(list);
      if (!(item == taken)) return item;
    }
  }

 private:
  std::uint64_t state_;
};

/// Values of a story's placeholders: words by name ("A.his"), numbers of its sums by letter.
struct StoryScene {
  std::map<std::string, std::string, std::less<>> words;
  std::map<char, int> numbers;

  /// Whether a placeholder is an expression over numbers: "n", "n+m", "n X".
  bool is_number(std::string_view key) const {
    return !key.empty() && numbers.count(key[0]) > 0 &&
           (key.size() == 1 || std::string_view("+-* ").find(key[1]) != std::string_view::npos);
  }

  /// Evaluates "n+m-k" or "g*h" from left to right.
  int evaluate(std::string_view expression) const {
    int value = number(expression, 0);
    for (std::size_t i = 1; i + 1 < expression.size(); i += 2) {
      const int next = number(expression, i + 1);
      const char sign = expression[i];
      value = sign == '+' ? value + next : sign == '-' ? value - next : value * next;
    }
    return value;
  }

  const std::string& word(std::string_view key) const {
    const auto found = words.find(key);
    if (found == words.end()) throw Error("story template: nothing is called {{{}}}", key);
    return found->second;
  }

 private:
  int number(std::string_view expression, std::size_t at) const {
    const auto found = numbers.find(expression[at]);
    if (found == numbers.end()) throw Error("story template: no number is called {}", expression[at]);
    return found->second;
  }
};

/// Expands a template: [one|other|] chooses an alternative (nested; an empty one removes the text), {key} becomes
/// lookup(key). Throws Error for an unclosed bracket.
template <class Lookup>
std::string expand(std::string_view text, StoryDice& dice, const Lookup& lookup) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{') {
      const std::size_t end = text.find('}', i);
      if (end == std::string_view::npos) throw Error("story template: an open {{ in \"{}\"", text);
      out += lookup(text.substr(i + 1, end - i - 1));
      i = end;
    } else if (text[i] == '[') {
      int depth = 0;
      std::size_t choices = 1;
      std::size_t end = i;
      for (; end < text.size(); ++end) {
        depth += (text[end] == '[') - (text[end] == ']');
        choices += depth == 1 && text[end] == '|';
        if (depth == 0) break;
      }
      if (end == text.size()) throw Error("story template: an open [ in \"{}\"", text);
      std::size_t wanted = dice.below(choices);
      std::size_t first = i + 1;
      std::size_t last = first;
      for (; last < end; ++last) {
        depth += (text[last] == '[') - (text[last] == ']');
        if (depth > 0 || text[last] != '|') continue;
        if (wanted == 0) break;
        --wanted;
        first = last + 1;
      }
      out += expand(text.substr(first, last - first), dice, lookup);
      i = end;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace moderngpt2::detail
