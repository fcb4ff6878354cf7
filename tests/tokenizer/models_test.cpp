#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/models.hpp"
#include "support/dice.hpp"
#include "support/naive_bpe.hpp"

using namespace moderngpt2;
using detail::utf8_length;
using test::Dice;

// WordPiece, WordLevel, Unigram and BPE with affixes, compared with their definitions.
namespace models_test {

const std::vector<std::string> letters = {"a", "b", "c", "#", "の", "日", "\xF0\x9F\x98\x80"};
using Ids = std::vector<int>;

template <class Model>
Ids encode(const Model& model, std::string_view piece) {
  const std::vector<char> exact(piece.begin(), piece.end());  // so that a sanitizer detects reads beyond the piece
  Ids ids;
  model.encode(std::string_view(exact.data(), exact.size()), ids);
  return ids;
}

std::string random_word(Dice& dice, std::size_t most, std::size_t kinds = letters.size()) {
  std::string word;
  for (std::size_t i = 1 + dice.below(most); i > 0; --i) word += letters[dice.below(kinds)];
  return word;
}

std::map<std::string, int> ids_of(const std::vector<std::string>& vocabulary) {
  std::map<std::string, int> ids;
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (!vocabulary[id].empty()) ids[vocabulary[id]] = static_cast<int>(id);
  return ids;
}

std::vector<std::string> characters(std::string_view word) {
  std::vector<std::string> result;
  for (std::size_t at = 0; at < word.size(); at += utf8_length(word[at]))
    result.emplace_back(word.substr(at, utf8_length(word[at])));
  return result;
}

// Longest match first, by trying every end from the last.
Ids word_piece(const std::vector<std::string>& vocabulary, const std::string& prefix, int unk, std::size_t most,
               const std::string& word) {
  const auto ids = ids_of(vocabulary);
  Ids result;
  const std::vector<std::string> text = characters(word);
  if (text.size() > most) return {unk};
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.size();
    for (; end > begin; --end) {
      std::string part = begin > 0 ? prefix : "";
      for (std::size_t i = begin; i < end; ++i) part += text[i];
      if (const auto found = ids.find(part); found != ids.end()) {
        result.push_back(found->second);
        break;
      }
    }
    if (end == begin) return {unk};
    begin = end;
  }
  return result;
}

// Viterbi over the whole text, backward pointers by byte.
Ids unigram(const std::vector<std::pair<std::string, double>>& vocabulary, int unk,
            const std::array<int, 256>& byte_ids, const std::string& text) {
  std::map<std::string, int> ids;
  double lowest = 1e300;
  std::size_t longest = 4;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    ids[vocabulary[id].first] = static_cast<int>(id);
    lowest = std::min(lowest, vocabulary[id].second);
    longest = std::max(longest, vocabulary[id].first.size());
  }
  struct Node {
    double score = 0;
    std::size_t begin = 0;
    int id = -1;
  };
  std::vector<Node> best(text.size() + 1);
  for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
    bool single = false;
    const auto offer = [&](std::size_t length, int id, double score) {
      Node& node = best[at + length];
      if (node.id < 0 || score + best[at].score > node.score) node = {score + best[at].score, at, id};
    };
    for (std::size_t length = 1; length <= std::min(longest, text.size() - at); ++length) {
      const auto found = ids.find(text.substr(at, length));
      if (found == ids.end()) continue;
      offer(length, found->second, vocabulary[static_cast<std::size_t>(found->second)].second);
      single |= length == utf8_length(text[at]);
    }
    if (!single) offer(utf8_length(text[at]), unk, lowest - 10);
  }
  std::vector<std::pair<std::string, int>> pieces;  // from the last
  for (std::size_t end = text.size(); end > 0; end = best[end].begin) {
    const std::string piece = text.substr(best[end].begin, end - best[end].begin);
    if (!pieces.empty() && best[end].id == unk && pieces.back().second == unk) {
      pieces.back().first = piece + pieces.back().first;
    } else {
      pieces.emplace_back(piece, best[end].id);
    }
  }
  Ids result;
  for (std::size_t i = pieces.size(); i-- > 0;) {
    const auto found = ids.find(pieces[i].first);
    Ids bytes;
    for (const char c : pieces[i].first) bytes.push_back(byte_ids[static_cast<unsigned char>(c)]);
    if (found != ids.end()) {
      result.push_back(found->second);
    } else if (std::find(bytes.begin(), bytes.end(), -1) == bytes.end()) {
      result.insert(result.end(), bytes.begin(), bytes.end());
    } else {
      result.push_back(unk);
    }
  }
  return result;
}

TEST_CASE("WordPiece takes the longest token first") {
  Dice dice(1);
  for (int round = 0; round < 300; ++round) {
    const std::string prefix = dice.one_in(3) ? "" : dice.one_in(3) ? "#" : "##";
    std::vector<std::string> vocabulary{"[UNK]"};
    for (std::size_t i = dice.below(40); i > 0; --i)
      vocabulary.push_back((dice.one_in(2) ? prefix : "") + random_word(dice, 4));
    if (dice.one_in(2)) vocabulary.push_back("");
    const std::size_t most = dice.one_in(3) ? 5 : 100;
    const detail::WordPieceModel model(vocabulary, prefix, 0, most);
    for (int i = 0; i < 20; ++i) {
      const std::string word = random_word(dice, 20);
      CAPTURE(word);
      const Ids expected = word_piece(vocabulary, prefix, 0, most, word);
      REQUIRE(encode(model, word) == expected);
      REQUIRE(encode(model, word) == expected);  // from the cache
    }
  }
  CHECK(encode(detail::WordPieceModel(std::vector<std::string>{"a"}, "##", -1, 100), "").empty());
  CHECK_THROWS_WITH_AS(encode(detail::WordPieceModel(std::vector<std::string>{"a"}, "##", -1, 100), "ab"),
                       doctest::Contains("unknown token"), Error);
}

TEST_CASE("WordLevel: a token, or the unknown token") {
  const std::vector<std::string> vocabulary{"<unk>", "the", "", "の"};
  const detail::WordLevelModel model(vocabulary, 0);
  CHECK(encode(model, "the") == Ids{1});
  CHECK(encode(model, "の") == Ids{3});
  CHECK(encode(model, "them") == Ids{0});
  CHECK(encode(model, "").empty());
  CHECK_THROWS_WITH_AS(encode(detail::WordLevelModel(vocabulary, -1), "cat"), doctest::Contains("unknown token"),
                       Error);
}

TEST_CASE("Unigram equals a Viterbi search of the whole text, for any window") {
  Dice dice(2);
  for (int round = 0; round < 400; ++round) {
    std::vector<std::pair<std::string, double>> vocabulary{{"<unk>", 0}};
    for (std::size_t i = dice.below(50); i > 0; --i)
      vocabulary.emplace_back(random_word(dice, 5), -static_cast<double>(dice.below(12)));  // many equal sums
    std::array<int, 256> byte_ids;
    byte_ids.fill(-1);
    const bool bytes = dice.one_in(2);
    for (std::size_t byte = 0; bytes && byte < 256; ++byte) {
      byte_ids[byte] = static_cast<int>(vocabulary.size());
      vocabulary.emplace_back("byte " + std::to_string(byte), -20);
    }
    const std::size_t window = dice.one_in(3) ? 1 << 16 : 1 + dice.below(30);
    const detail::UnigramModel model(vocabulary, 0, byte_ids, window);
    for (int i = 0; i < 12; ++i) {
      std::string text = random_word(dice, dice.one_in(4) ? 300 : 20);
      if (dice.one_in(4)) text += "<unk>?" + random_word(dice, 10);
      CAPTURE(round);
      CAPTURE(text);
      CAPTURE(window);
      const Ids expected = unigram(vocabulary, 0, byte_ids, text);
      REQUIRE(encode(model, text) == expected);
      REQUIRE(encode(model, text) == expected);
    }
  }
}

TEST_CASE("Unigram: of equal tokens the last one counts, and an unknown character needs the unknown token") {
  std::array<int, 256> byte_ids;
  byte_ids.fill(-1);
  const detail::UnigramModel model({{"a", -1}, {"b", -1}, {"a", -2}}, -1, byte_ids);
  CHECK(encode(model, "ab") == Ids{2, 1});
  CHECK_THROWS_WITH_AS(encode(model, "abc"), doctest::Contains("unknown token"), Error);
}

TEST_CASE("BPE with affixes equals its definition") {
  Dice dice(3);
  for (int round = 0; round < 400; ++round) {
    test::NaiveBpe naive;
    detail::BpeOptions& options = naive.options;
    if (!dice.one_in(3)) options.unk_id = naive.add("<unk>");
    options.fuse_unk = dice.one_in(2);
    options.ignore_merges = dice.one_in(4);
    if (dice.one_in(2)) options.continuing_subword_prefix = "##";
    if (dice.one_in(2)) options.end_of_word_suffix = dice.one_in(2) ? "</w>" : "a";
    if (dice.one_in(3))
      for (const char c : std::string_view("abc#</w>"))
        options.byte_ids[static_cast<unsigned char>(c)] = naive.add(std::string("byte ") + c);
    Ids operands;
    for (std::size_t i = 2 + dice.below(20); i > 0; --i) {
      std::string token = dice.one_in(2) ? options.continuing_subword_prefix : "";
      token += dice.pick(letters);
      if (dice.one_in(3)) token += options.end_of_word_suffix;
      operands.push_back(naive.add(token));
    }
    for (std::size_t i = dice.below(30); i > 0; --i) {
      const int left = dice.pick(operands), right = dice.pick(operands);
      std::string end = naive.tokens[static_cast<std::size_t>(right)];
      if (!end.starts_with(options.continuing_subword_prefix)) continue;
      end.erase(0, options.continuing_subword_prefix.size());
      const auto rank = static_cast<std::uint32_t>(naive.merges.size());
      naive.merges.push_back({left, right, naive.add(naive.tokens[static_cast<std::size_t>(left)] + end), rank});
      operands.push_back(naive.merges.back().result);
    }
    const detail::AffixBpeModel model(naive.tokens, naive.merges, options);
    detail::Rng random(1);
    for (int i = 0; i < 12; ++i) {
      const std::string word = random_word(dice, dice.one_in(6) ? 80 : 12);
      CAPTURE(round);
      CAPTURE(word);
      const Ids expected = naive.encode(word);
      REQUIRE(encode(model, word) == expected);
      REQUIRE(encode(model, word) == expected);
      Ids ids;
      model.encode_with_dropout(word, ids, 0, random);
      REQUIRE(ids == expected);
    }
  }
}

TEST_CASE("a vocabulary of many tokens: each is found, and nothing else") {
  Dice dice(4);
  std::vector<std::string> tokens;
  for (int i = 0; i < 20'000; ++i) {
    std::string token;
    for (std::size_t n = 1 + dice.below(8); n > 0; --n)
      token += static_cast<char>(dice.below(dice.one_in(3) ? 256 : 7));
    tokens.push_back(token);
  }
  const auto expected = ids_of(tokens);
  const detail::DoubleArray trie(tokens);
  const detail::TokenIds ids(tokens);
  int differ = 0;
  for (int i = 0; i < 40'000; ++i) {
    const std::string text = i < 20'000 ? tokens[static_cast<std::size_t>(i)] : dice.pick(tokens) + dice.pick(tokens);
    const auto found = expected.find(text);
    const int id = found == expected.end() ? -1 : found->second;
    differ += trie.find(text) != id || ids.find(text) != id;
    int prefix = -1;
    for (std::size_t n = 1; n <= text.size(); ++n)
      if (const auto token = expected.find(text.substr(0, n)); token != expected.end()) prefix = token->second;
    int longest = -1;
    trie.for_each_prefix(text, [&](std::size_t, int token) { longest = token; });
    differ += longest != prefix;
  }
  CHECK(differ == 0);
}

}  // namespace models_test
