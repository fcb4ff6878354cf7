#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include "make_dialogues/dialogue_files.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

constexpr StoryLanguage both[] = {StoryLanguage::english, StoryLanguage::japanese};
constexpr DialoguePart parts[] = {DialoguePart::training, DialoguePart::held_out};

/// Numbers in a text, in order.
std::vector<int> numbers(const std::string& text) {
  std::vector<int> list;
  const std::regex digits("[0-9]+");
  for (std::sregex_iterator i(text.begin(), text.end(), digits), end; i != end; ++i)
    list.push_back(std::stoi(i->str()));
  return list;
}

/// Recomputes sums, differences and comparisons, with the smaller number first.
using Pair = std::tuple<std::string, int, int>;
std::set<Pair> pairs(const Dialogue& dialogue) {
  std::set<Pair> found;
  for (const DialogueTurn& turn : dialogue.turns) {
    if (turn.kind != "sum" && turn.kind != "difference" && turn.kind != "larger") continue;
    const std::vector<int> asked = numbers(turn.question);
    REQUIRE(asked.size() == 2);
    found.emplace(turn.kind, std::min(asked[0], asked[1]), std::max(asked[0], asked[1]));
  }
  return found;
}

}  // namespace

TEST_CASE("a dialogue is a pure function of its arguments, and has no placeholder left") {
  for (const StoryLanguage language : both) {
    CHECK(dialogue_text(dialogue(language, 1, 5, parts[0])) == dialogue_text(dialogue(language, 1, 5, parts[0])));
    std::set<std::string> seen;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const Dialogue made = dialogue(language, 1, i, parts[i % 2]);
      const std::string text = dialogue_text(made);
      CAPTURE(text);
      seen.insert(text);
      REQUIRE(made.turns.size() >= 3);
      REQUIRE(made.turns.size() <= 8);
      REQUIRE(text.find_first_of("{}[]") == std::string::npos);
      for (const DialogueTurn& turn : made.turns) {
        REQUIRE(!turn.question.empty());
        REQUIRE(turn.answer.find('\n') == std::string::npos);
        REQUIRE(!std::isdigit(static_cast<unsigned char>(turn.answer[0])));  // see docs: the border after a header
      }
    }
    CHECK(seen.size() > 1990);
  }
}

TEST_CASE("sums, differences, comparisons and counts are right") {
  std::map<std::string, int> checked;
  for (const StoryLanguage language : both)
    for (std::uint64_t i = 0; i < 2000; ++i) {
      int count = 0;
      for (const DialogueTurn& turn : dialogue(language, 2, i, parts[i % 2]).turns) {
        CAPTURE(turn.question);
        CAPTURE(turn.answer);
        const std::vector<int> asked = numbers(turn.question), told = numbers(turn.answer);
        ++checked[turn.kind];
        if (turn.kind == "sum") REQUIRE(told.back() == asked[0] + asked[1]);
        if (turn.kind == "difference")
          REQUIRE(told.back() == std::max(asked[0], asked[1]) - std::min(asked[0], asked[1]));
        if (turn.kind == "larger") REQUIRE(told.back() == std::max(asked[0], asked[1]));
        if (turn.kind == "have") count = asked[0];
        if (turn.kind == "more") count += asked[0];
        if (turn.kind == "fewer") count -= asked[0];
        for (const char* kind : {"have", "more", "fewer", "how_many"})
          if (turn.kind == kind) REQUIRE(told.back() == count);
      }
    }
  for (const char* kind : {"sum", "difference", "larger", "more", "fewer", "how_many", "no_name", "ask_pet", "helper",
                           "thanks_by_name", "no_favourite", "capital", "country", "opposite", "colour"})
    CHECK_MESSAGE(checked[kind] > 20, std::string(kind));
}

TEST_CASE("answers repeat earlier facts") {
  for (const StoryLanguage language : both)
    for (std::uint64_t i = 0; i < 1000; ++i) {
      std::string before;
      for (const DialogueTurn& turn : dialogue(language, 3, i, DialoguePart::training).turns) {
        CAPTURE(before);
        CAPTURE(turn.answer);
        if (turn.kind == "ask_name" || turn.kind == "ask_pet" || turn.kind == "ask_favourite") {
          const std::string_view answer = turn.answer;
          const bool english = language == StoryLanguage::english;
          const std::size_t from = english ? answer.rfind(' ') + 1 : answer.rfind("は") + 3;
          const std::size_t end = english ? answer.size() - 1 : answer.rfind("です");
          REQUIRE(before.find(answer.substr(from, end - from)) != std::string::npos);
        }
        before += turn.question;
      }
    }
}

TEST_CASE("pairs that are held out occur in no dialogue for training") {
  std::set<Pair> training, held_out;
  for (const StoryLanguage language : both)
    for (std::uint64_t i = 0; i < 4000; ++i) {
      training.merge(pairs(dialogue(language, 1, i, DialoguePart::training)));
      held_out.merge(pairs(dialogue(language, 9, i, DialoguePart::held_out)));
    }
  CHECK(training.size() > 500);
  CHECK(held_out.size() > 60);
  for (const Pair& pair : held_out) CHECK(!training.contains(pair));
}

TEST_CASE("a file of dialogues has text and messages that say the same") {
  const test::TemporaryFolder folder;
  const auto path = folder / "dialogues.jsonl";
  const std::uint64_t bytes = write_dialogue_file(path, StoryLanguage::japanese, 1, 10, 30, DialoguePart::held_out);
  const std::string content = read_file(path);
  std::uint64_t lines = 0, seen = 0;
  for (std::size_t begin = 0; begin < content.size(); ++lines) {
    const std::size_t end = content.find('\n', begin);
    const Json line = parse_json(content.substr(begin, end - begin), "line");
    std::string text = "<|begin_of_text|>";
    for (const Json& message : line.at("messages"))
      text += "<|start_header_id|>" + message.at("role").get<std::string>() + "<|end_header_id|>\n\n" +
              message.at("content").get<std::string>() + "<|eot_id|>";
    REQUIRE(line.at("text") == text);
    REQUIRE(line.at("kinds").size() == line.at("messages").size() / 2);
    seen += text.size();
    begin = end + 1;
  }
  CHECK(lines == 30);
  CHECK(seen == bytes);
}
