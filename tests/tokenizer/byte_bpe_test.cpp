#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/tokenizer/models/byte_bpe.hpp"
#include "support/dice.hpp"
#include "support/naive_bpe.hpp"

using namespace moderngpt2;

// Byte-level BPE compared with a naive encoder that follows the definition.
namespace byte_bpe_test {

using test::Dice;

struct TestedModel {
  test::NaiveBpe naive;  // tokens are bytes
  detail::ByteBpeOptions options;

  std::vector<int> encode(std::string_view piece) const {
    if (piece.empty()) return {};
    if (const auto whole = naive.ids.find(std::string(piece)); options.ignore_merges && whole != naive.ids.end())
      return {whole->second};
    std::vector<int> symbols;
    bool run_of_unk = false;
    for (const char c : piece) {
      const auto found = naive.ids.find(std::string(1, c));
      const bool known = found != naive.ids.end();
      if (known) {
        symbols.push_back(found->second);
      } else if (options.unk_id >= 0 && !(options.fuse_unk && run_of_unk)) {
        symbols.push_back(options.unk_id);
      }
      run_of_unk = !known;
    }
    return naive.merged(std::move(symbols));
  }

  detail::ByteBpeModel fast() const { return detail::ByteBpeModel(naive.tokens, naive.merges, options); }
};

const std::vector<std::string> alphabet = {"a", "b", "c", " ", "\xE3", "\x81", "\xAE", "\xE6", "\x97", "\xA5", "\x80"};

enum class Ranks { in_order, shuffled, of_result };

TestedModel random_model(Dice& dice, Ranks ranks, bool all_bytes) {
  TestedModel model;
  model.options.window = 4 + dice.below(40);
  model.options.ignore_merges = dice.one_in(4);
  model.options.fuse_unk = dice.one_in(2);
  if (!dice.one_in(3)) model.options.unk_id = model.naive.add(dice.one_in(3) ? "a" : "unk");
  std::vector<int> operands;
  const std::size_t known = all_bytes ? alphabet.size() : 1 + dice.below(alphabet.size());
  for (std::size_t i = 0; i < known; ++i) operands.push_back(model.naive.add(alphabet[i]));
  if (all_bytes)
    for (int byte = 0; byte < 256; ++byte) model.naive.add(std::string(1, static_cast<char>(byte)));
  if (!all_bytes && model.options.unk_id >= 0 && dice.one_in(3)) operands.push_back(model.options.unk_id);
  for (std::size_t i = dice.below(60); i > 0; --i) {
    const int left = dice.pick(operands), right = dice.one_in(5) ? left : dice.pick(operands);
    const auto size = [&](int id) { return model.naive.tokens[static_cast<std::size_t>(id)].size(); };
    if (size(left) + size(right) > 40) continue;
    model.naive.add_merge(left, right);
    operands.push_back(model.naive.merges.back().result);
  }
  std::vector<detail::BpeMerge>& merges = model.naive.merges;
  if (ranks == Ranks::shuffled) {
    for (std::size_t i = merges.size(); i > 1; --i) std::swap(merges[i - 1].rank, merges[dice.below(i)].rank);
    for (detail::BpeMerge& merge : merges)
      if (dice.one_in(6)) merge.rank = static_cast<std::uint32_t>(dice.below(30));
  } else if (ranks == Ranks::of_result) {
    for (detail::BpeMerge& merge : merges) merge.rank = static_cast<std::uint32_t>(merge.result);
  }
  return model;
}

std::string random_piece(Dice& dice, const TestedModel& model) {
  std::string piece;
  for (std::size_t i = dice.one_in(8) ? 60 + dice.below(300) : dice.below(20); i > 0; --i) {
    const std::size_t kind = dice.below(10);
    if (kind < 4) {
      piece += dice.pick(alphabet);
    } else if (kind < 8) {
      piece += dice.pick(model.naive.tokens);
    } else if (kind < 9) {
      piece += std::string(dice.below(20), dice.pick(alphabet)[0]);
    } else {
      piece += static_cast<char>(dice.below(256));
    }
  }
  return piece;
}

std::vector<int> encode(const detail::ByteBpeModel& model, std::string_view piece) {
  const std::vector<char> exact(piece.begin(), piece.end());  // so that a sanitizer detects reads beyond the piece
  std::vector<int> ids;
  model.encode(std::string_view(exact.data(), exact.size()), ids);
  return ids;
}

void compare(Ranks ranks, bool all_bytes, unsigned seed) {
  Dice dice(seed);
  for (int round = 0; round < 250; ++round) {
    const TestedModel model = random_model(dice, ranks, all_bytes);
    const detail::ByteBpeModel fast = model.fast();
    for (int i = 0; i < 12; ++i) {
      const std::string piece = random_piece(dice, model);
      CAPTURE(round);
      CAPTURE(piece);
      const std::vector<int> expected = model.encode(piece);
      REQUIRE(encode(fast, piece) == expected);
      REQUIRE(encode(fast, piece) == expected);  // this time from the cache
    }
  }
}

TEST_CASE("byte-level BPE equals its definition: merges in order") { compare(Ranks::in_order, true, 1); }
TEST_CASE("byte-level BPE equals its definition: merges in any order, equal ranks") {
  compare(Ranks::shuffled, true, 2);
}
TEST_CASE("byte-level BPE equals its definition: the rank is that of the result, as in tiktoken") {
  compare(Ranks::of_result, true, 3);
}
TEST_CASE("byte-level BPE equals its definition: bytes without a token") {
  compare(Ranks::in_order, false, 4);
  compare(Ranks::shuffled, false, 5);
}

TEST_CASE("a long piece of bytes is the same in windows as in one piece") {
  Dice dice(7);
  for (int round = 0; round < 100; ++round) {
    TestedModel model = random_model(dice, dice.one_in(2) ? Ranks::in_order : Ranks::shuffled, true);
    std::string piece;
    while (piece.size() < 700) piece += dice.one_in(3) ? dice.pick(alphabet) : dice.pick(model.naive.tokens);
    model.options.ignore_merges = false;
    const std::vector<int> expected = model.encode(piece);
    for (const std::size_t window : {std::size_t{3}, std::size_t{33}, std::size_t{4096}}) {
      model.options.window = window;
      CAPTURE(round);
      CAPTURE(window);
      REQUIRE(encode(model.fast(), piece) == expected);
    }
  }
}

TEST_CASE("BPE-dropout: 0 merges all, 1 nothing, and any ids spell the text") {
  Dice dice(9);
  detail::Rng random(1);
  double merged = 0, rounds = 0;
  for (int round = 0; round < 300; ++round) {
    TestedModel model = random_model(dice, Ranks::in_order, true);
    model.options.ignore_merges = false;
    const detail::ByteBpeModel fast = model.fast();
    const std::string piece = random_piece(dice, model);
    std::vector<int> none, all, some;
    fast.encode_with_dropout(piece, none, 0, random);
    CHECK(none == encode(fast, piece));
    fast.encode_with_dropout(piece, all, 1, random);
    CHECK(all.size() == piece.size());
    fast.encode_with_dropout(piece, some, 0.3, random);
    std::string spelled;
    for (const int id : some) spelled += model.naive.tokens[static_cast<std::size_t>(id)];
    CHECK(spelled == piece);
    if (all.size() == none.size()) continue;
    merged += static_cast<double>(all.size() - some.size()) / static_cast<double>(all.size() - none.size());
    ++rounds;
  }
  CHECK(merged / rounds > 0.5);  // expected: about 0.7 of the merges
  CHECK(merged / rounds < 0.95);
}

TEST_CASE("BPE-dropout: a lone merge is skipped as often as asked") {
  TestedModel model;
  for (int byte = 0; byte < 256; ++byte) model.naive.add(std::string(1, static_cast<char>(byte)));
  model.naive.add_merge('a', 'b');
  const detail::ByteBpeModel fast = model.fast();
  detail::Rng random(5);
  int skipped = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<int> ids;
    fast.encode_with_dropout("ab", ids, 0.25, random);
    skipped += ids.size() == 2;
  }
  CHECK(skipped > 850);
  CHECK(skipped < 1150);
}

}  // namespace byte_bpe_test
