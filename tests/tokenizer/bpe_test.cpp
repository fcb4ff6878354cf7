#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "moderngpt2/tokenizer/models/bpe.hpp"
#include "support/dice.hpp"
#include "support/naive_bpe.hpp"

using namespace moderngpt2;

// Compares the encoder with a naive one that follows the definition, character by character and merge by merge.
namespace {

using Model = test::NaiveBpe;

using test::Dice;

const std::vector<std::string> letters = {
    "a", "b", "c", "e", "t", "<", "0", "x", "4", "1", ">", "▁", " ", "の", "日", "本", "한", "\n", "\xF0\x9F\x98\x80"};
const std::vector<std::string> never_known = {"?", "\xC3\xA9", "語", "\xF0\x9F\x91\xA9", std::string(1, '\0')};

Model random_model(Dice& dice) {
  Model model;
  if (!dice.one_in(4)) model.options.unk_id = model.add(dice.one_in(6) ? "a" : "<unk>");
  model.options.fuse_unk = dice.one_in(2);
  model.options.ignore_merges = dice.one_in(4);
  model.options.marks_spaces = !dice.one_in(4);
  model.options.window = 4 + dice.below(40);
  const std::size_t bytes = dice.below(3);  // none, some, all
  for (int byte = 0; byte < 256 && bytes > 0; ++byte)
    if (bytes == 2 || !dice.one_in(3))
      model.options.byte_ids[static_cast<std::size_t>(byte)] = model.add(fmt::format("<0x{:02X}>", byte));
  std::vector<int> operands;
  const std::size_t known = 1 + dice.below(letters.size());
  for (std::size_t i = 0; i < known; ++i) operands.push_back(model.add(dice.pick(letters)));
  if (dice.one_in(3))  // merges of fallback tokens
    for (const char* token : {"<unk>", "<0xE8>", "<0xAA>", "<0x9E>", "<0x3F>", "<0x00>"})
      if (const auto found = model.ids.find(token); found != model.ids.end()) operands.push_back(found->second);
  const std::size_t count = dice.below(40);
  for (std::size_t i = 0; i < count; ++i) {
    const int left = dice.pick(operands), right = dice.one_in(4) ? left : dice.pick(operands);
    if (model.tokens[static_cast<std::size_t>(left)].size() + model.tokens[static_cast<std::size_t>(right)].size() > 60)
      continue;
    model.add_merge(left, right);
    operands.push_back(model.merges.back().result);
  }
  if (!dice.one_in(3))
    for (std::size_t i = model.merges.size(); i > 1; --i) std::swap(model.merges[i - 1], model.merges[dice.below(i)]);
  for (detail::BpeMerge& merge : model.merges)  // equal ranks, and others than the order of the list
    if (dice.one_in(4)) merge.rank = static_cast<std::uint32_t>(dice.below(count));
  return model;
}

std::string random_text(Dice& dice, const Model& model) {
  std::string text;
  const std::size_t pieces = dice.one_in(8) ? 60 + dice.below(300) : dice.below(25);
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t kind = dice.below(12);
    if (kind < 5) {
      text += dice.pick(letters);
    } else if (kind < 9) {
      text += dice.pick(model.tokens);
    } else if (kind < 11) {
      const std::string& letter = dice.pick(letters);
      for (std::size_t n = dice.below(20); n > 0; --n) text += letter;
    } else {
      text += dice.pick(never_known);
    }
  }
  return text;
}

std::vector<int> encode(const detail::BpeModel& model, std::string_view text) {
  const std::vector<char> exact(text.begin(), text.end());  // so that a sanitizer detects reads beyond the text
  std::vector<int> ids;
  model.encode(std::string_view(exact.data(), exact.size()), ids);
  return ids;
}

}  // namespace

TEST_CASE("random small models encode as the definition says") {
  Dice dice(2026);
  for (int round = 0; round < 1500; ++round) {
    const Model model = random_model(dice);
    const detail::BpeModel fast(model.tokens, model.merges, model.options);
    for (int i = 0; i < 12; ++i) {
      const std::string text = random_text(dice, model);
      CAPTURE(round);
      CAPTURE(text);
      const std::vector<int> expected = model.encode(text);
      REQUIRE(encode(fast, text) == expected);
      REQUIRE(encode(fast, text) == expected);  // this time from the cache
    }
  }
}

TEST_CASE("a stretch without a cut is the same in windows as in one piece") {
  Dice dice(7);
  for (int round = 0; round < 300; ++round) {
    Model model;
    std::vector<int> operands{model.add("a"), model.add("b")};
    if (dice.one_in(2)) operands.push_back(model.add("の"));
    for (std::size_t i = 2 + dice.below(40); i > 0; --i) {
      model.add_merge(dice.pick(operands), dice.pick(operands));
      operands.push_back(model.merges.back().result);
    }
    for (std::size_t i = model.merges.size(); i > 1; --i) std::swap(model.merges[i - 1], model.merges[dice.below(i)]);
    std::string text;
    const bool repeated = dice.one_in(3);
    for (std::size_t i = 50 + dice.below(600); i > 0; --i)
      text += model.tokens[repeated ? 0 : dice.below(operands.size() > 2 && model.tokens[2] == "の" ? 3 : 2)];
    const std::vector<int> expected = model.encode(text);
    for (const std::size_t window : {std::size_t{3}, std::size_t{33}, std::size_t{100}, std::size_t{4096}}) {
      model.options.window = window;
      CAPTURE(round);
      CAPTURE(window);
      REQUIRE(encode(detail::BpeModel(model.tokens, model.merges, model.options), text) == expected);
    }
  }
}

TEST_CASE("a merge that waits for the end of the text is found, however far the end is") {
  // Pairs merge from the left, but "ab" first: one b at the end affects every pair before it.
  Model model;
  const int a = model.add("a"), b = model.add("b");
  model.add_merge(a, b);
  const int ab = model.merges.back().result;
  for (int left = a, right = ab, i = 0; i < 12; ++i) {
    model.add_merge(left, right);
    right = model.merges.back().result;
  }
  model.add_merge(a, a);
  model.options.window = 16;
  const detail::BpeModel fast(model.tokens, model.merges, model.options);
  for (const std::size_t length : {std::size_t{40}, std::size_t{401}, std::size_t{1000}}) {
    const std::string text = std::string(length, 'a') + "b";
    CHECK(encode(fast, text) == model.encode(text));
    CHECK(encode(fast, text + "aaa") == model.encode(text + "aaa"));
  }
}

TEST_CASE("segments of every length around the limits of the cache, and more than it holds") {
  Model model;
  const int a = model.add("a"), b = model.add("b"), c = model.add("c");
  model.add(std::string(space_mark));
  for (const int left : {a, b, c})
    for (const int right : {a, b, c}) model.add_merge(left, right);
  model.options.marks_spaces = true;
  const detail::BpeModel fast(model.tokens, model.merges, model.options);
  Dice dice(3);
  for (std::size_t length = 1; length < 80; ++length) {
    std::string word;
    for (std::size_t i = 0; i < length; ++i) word += "abc"[dice.below(3)];
    for (const std::string& text : {word, word + " ", " " + word, word + " " + word}) {
      CAPTURE(text);
      CHECK(encode(fast, text) == model.encode(text));
      CHECK(encode(fast, text) == model.encode(text));
    }
  }
  std::vector<std::pair<std::string, std::vector<int>>> words;
  for (int i = 0; i < 60'000; ++i) {
    std::string word;
    for (std::size_t n = 4 + dice.below(12); n > 0; --n) word += "abc"[dice.below(3)];
    words.emplace_back(word, encode(fast, word));
  }
  int differ = 0;
  for (int round = 0; round < 2; ++round)
    for (const auto& [word, ids] : words) differ += encode(fast, word) != ids;
  CHECK(differ == 0);
  for (std::size_t i = 0; i < words.size(); i += 50) differ += model.encode(words[i].first) != words[i].second;
  CHECK(differ == 0);
}

TEST_CASE("models that share a thread do not see each other's segments") {
  Dice dice(11);
  std::vector<Model> models;
  std::vector<detail::BpeModel> fast;
  for (int i = 0; i < 8; ++i) {
    models.push_back(random_model(dice));
    fast.emplace_back(models.back().tokens, models.back().merges, models.back().options);
  }
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_text(dice, models[0]);
    for (std::size_t m = 0; m < models.size(); ++m) REQUIRE(encode(fast[m], text) == models[m].encode(text));
  }
}

TEST_CASE("many threads encode with one model") {
  Dice dice(5);
  const Model model = random_model(dice);
  const detail::BpeModel fast(model.tokens, model.merges, model.options);
  std::vector<std::pair<std::string, std::vector<int>>> texts;
  for (int i = 0; i < 50; ++i) {
    const std::string text = random_text(dice, model);
    texts.emplace_back(text, model.encode(text));
  }
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong)
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round)
        for (const auto& [text, ids] : texts) count += encode(fast, text) != ids;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(std::count(wrong.begin(), wrong.end(), 0) == 4);
}
