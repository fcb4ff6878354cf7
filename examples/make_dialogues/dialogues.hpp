#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "make_dialogues/dialogue_words.hpp"
#include "make_dialogues/dialogues_english.hpp"
#include "make_dialogues/dialogues_japanese.hpp"
#include "make_stories/stories.hpp"
#include "make_stories/story_template.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"

namespace moderngpt2 {

/// Question or remark of a user, and its only correct answer.
struct DialogueTurn {
  std::string kind;  ///< skill that the answer needs: "sum", "ask_name", ...
  std::string question, answer;
};

struct Dialogue {
  std::optional<std::string> system;
  std::vector<DialogueTurn> turns;
};

/// Split of number pairs and of (pet, name) pairs into training and held-out dialogues: one pair of eight is held out,
/// so that held-out questions cannot be answered from memory.
enum class DialoguePart { training, held_out };

namespace detail {

class DialogueMaker {
 public:
  DialogueMaker(const DialogueWords& words, StoryDice& dice, DialoguePart part)
      : words_(words), dice_(dice), part_(part) {}

  Dialogue make() {
    if (dice_.chance(40)) {
      values_["helper"] = dice_.pick(words_.helpers);
      dialogue_.system = fill(words_.system);
    }
    const int turns = dice_.between(3, 7);
    while (static_cast<int>(dialogue_.turns.size()) < turns) {
      const std::size_t dice = dice_.below(100);
      dice < 35 ? tell() : dice < 80 ? recall() : know();
    }
    if (dice_.chance(25)) has("name") ? add("thanks_by_name", words_.thanks_by_name) : add("thanks", words_.thanks);
    return std::move(dialogue_);
  }

 private:
  using Template = detail::DialogueTurnTemplate;

  bool has(std::string_view key) const { return values_.contains(key); }
  std::string fill(std::string_view text) {
    return expand(text, dice_, [&](std::string_view key) { return values_.at(std::string(key)); });
  }
  void add(std::string kind, const Template& turn) {
    std::string question = fill(turn.question);
    dialogue_.turns.push_back({std::move(kind), std::move(question), fill(turn.answer)});
  }
  void set(const std::string& key, int number) { values_[key] = std::to_string(number); }

  /// Whether a pair may be used, in either order.
  bool allowed(std::uint64_t kind, std::uint64_t a, std::uint64_t b) const {
    const bool held_out = mix64(mix64(mix64(kind) + std::min(a, b)) + std::max(a, b)) % 8 == 0;
    return held_out == (part_ == DialoguePart::held_out);
  }
  /// Two numbers, the larger one first.
  std::pair<int, int> larger_and_smaller(std::uint64_t kind, int most) {
    while (true) {
      const int a = dice_.between(2, most), b = dice_.between(1, a - 1);
      if (allowed(kind, static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b))) return {a, b};
    }
  }

  /// A remark of the user about himself.
  void tell() {
    switch (dice_.below(4)) {
      case 0:
        if (has("name")) return;
        values_["name"] = dice_.pick(words_.names);
        return add("introduce", words_.introduce);
      case 1: {
        const Favourites& favourite = dice_.pick(words_.favourites);
        if (has(favourite.category)) return;
        values_[std::string(favourite.category)] = dice_.pick(favourite.values);
        return add_favourite("tell_favourite", words_.tell_favourite, favourite);
      }
      case 2:
        return tell_pet();
      default:
        return count_.has_value() ? change_count() : begin_count();
    }
  }

  void tell_pet() {
    if (has("petname")) return;
    while (true) {
      const std::size_t pet = dice_.below(words_.pets.size()), name = dice_.below(words_.pet_names.size());
      if (!allowed(pet_pairs, pet, 100 + name)) continue;
      values_["pet"] = words_.pets[pet];
      values_["petname"] = words_.pet_names[name];
      return add("tell_pet", words_.tell_pet);
    }
  }

  void begin_count() {
    const WordPair& thing = dice_.pick(words_.things);
    values_["things"] = thing.first;
    values_["counter"] = thing.second;
    set("n", *(count_ = dice_.between(2, 9)));
    add("have", words_.have);
  }

  void change_count() {
    const int by = dice_.between(1, 6);
    const bool more = *count_ - by < 2 || dice_.chance(50);
    const int larger = more ? *count_ + by : *count_;
    if (!allowed(more ? sum_pairs : difference_pairs, static_cast<std::uint64_t>(more ? *count_ : larger),
                 static_cast<std::uint64_t>(by)))
      return;
    count_ = more ? *count_ + by : *count_ - by;
    set("m", by);
    set("t", *count_);
    set("n", *count_);
    more ? add("more", words_.more) : add("fewer", words_.fewer);
  }

  /// A question about an earlier remark; sometimes about one that was not made.
  void recall() {
    std::vector<std::function<void()>> told, untold;
    const auto ask = [&](bool known, const char* kind, const Template& turn, const char* otherwise,
                         const Template& other) {
      if (known)
        told.push_back([=, this, &turn] { add(kind, turn); });
      else
        untold.push_back([=, this, &other] { add(otherwise, other); });
    };
    ask(has("name"), "ask_name", words_.ask_name, "no_name", words_.no_name);
    ask(dialogue_.system.has_value(), "helper", words_.helper, "no_helper", words_.no_helper);
    if (count_) told.push_back([this] { add("how_many", words_.how_many); });
    if (has("petname")) {
      told.push_back([this] { add("ask_pet", words_.ask_pet); });
    } else {
      untold.push_back([this] {
        values_["pet"] = dice_.pick(words_.pets);
        add("no_pet", words_.no_pet);
      });
    }
    for (const Favourites& favourite : words_.favourites) {
      if (has(favourite.category))
        told.push_back([&] { add_favourite("ask_favourite", words_.ask_favourite, favourite); });
    }
    const Favourites& favourite = dice_.pick(words_.favourites);
    if (!has(favourite.category))
      untold.push_back([&] { add_favourite("no_favourite", words_.no_favourite, favourite); });
    const auto& questions = !told.empty() && (untold.empty() || dice_.chance(80)) ? told : untold;
    if (!questions.empty()) dice_.pick(questions)();
  }

  /// A question that is independent of the dialogue.
  void know() {
    switch (dice_.below(7)) {
      case 0: {
        const auto [a, b] = larger_and_smaller(sum_pairs, 12);
        const bool swapped = dice_.chance(50);
        return add_numbers("sum", words_.sum, swapped ? b : a, swapped ? a : b, a + b);
      }
      case 1: {
        const auto [a, b] = larger_and_smaller(difference_pairs, 20);
        return add_numbers("difference", words_.difference, a, b, a - b);
      }
      case 2: {
        const auto [a, b] = larger_and_smaller(larger_pairs, 50);
        const bool swapped = dice_.chance(50);
        return add_numbers("larger", words_.larger, swapped ? b : a, swapped ? a : b, a);
      }
      case 3:
        return add_pair("capital", words_.capital, words_.countries);
      case 4:
        return add_pair("country", words_.country, words_.countries);
      case 5:
        return add_pair("opposite", words_.opposite, words_.opposites);
      default:
        return add_pair("colour", words_.colour, words_.colours);
    }
  }

  void add_favourite(std::string kind, const Template& turn, const Favourites& favourite) {
    values_["category"] = favourite.category;
    if (has(favourite.category)) values_["value"] = values_.at(std::string(favourite.category));
    add(std::move(kind), turn);
  }
  void add_pair(std::string kind, const Template& turn, std::span<const WordPair> pairs) {
    const WordPair& pair = dice_.pick(pairs);
    values_["first"] = pair.first;
    values_["second"] = pair.second;
    add(std::move(kind), turn);
  }
  void add_numbers(std::string kind, const Template& turn, int a, int b, int c) {
    set("a", a);
    set("b", b);
    set("c", c);
    add(std::move(kind), turn);
  }

  static constexpr std::uint64_t sum_pairs = 1, difference_pairs = 2, larger_pairs = 3, pet_pairs = 4;

  const DialogueWords& words_;
  StoryDice& dice_;
  DialoguePart part_;
  Dialogue dialogue_;
  std::map<std::string, std::string, std::less<>> values_;  // values of placeholders, and facts from earlier turns
  std::optional<int> count_;                                // number of the user's things
};

}  // namespace detail

/// Dialogue number `index` of a language: a pure function of its arguments, equal on all machines. It has three to
/// eight turns, often after a system line. Answers depend on the question (sums, opposites, capitals) and on earlier
/// turns (names, favourites, a running count).
inline Dialogue dialogue(StoryLanguage language, std::uint64_t seed, std::uint64_t index, DialoguePart part) {
  constexpr std::uint64_t not_a_story = 16;
  detail::StoryDice dice(
      seed, not_a_story + 2 * static_cast<std::uint64_t>(language) + static_cast<std::uint64_t>(part), index);
  const auto& words =
      language == StoryLanguage::english ? detail::english_dialogue::words : detail::japanese_dialogue::words;
  return detail::DialogueMaker(words, dice, part).make();
}

/// Formats a message of a chat with headers (tokenizer/chat_template.hpp).
inline std::string chat_message(std::string_view role, std::string_view text) {
  return fmt::format("{}{}{}\n\n{}{}", chat_start_token, role, chat_end_token, text, chat_eot_token);
}

/// Formats a dialogue with headers.
inline std::string dialogue_text(const Dialogue& dialogue) {
  std::string text = chat_begin_token;
  if (dialogue.system) text += chat_message("system", *dialogue.system);
  for (const DialogueTurn& turn : dialogue.turns)
    text += chat_message("user", turn.question) + chat_message("assistant", turn.answer);
  return text;
}

}  // namespace moderngpt2
