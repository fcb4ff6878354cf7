#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/random.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Result of comparing the ids of two tokenizers.
struct TokenizerComparison {
  std::size_t texts = 0, different = 0;
  std::size_t ties = 0;  ///< texts with different ids of the same score, which are not counted as different
  std::string example;   ///< first text with different ids
};

namespace detail {

/// Texts that tell tokenizers apart: several scripts, white space at both ends and in runs, characters that
/// normalizations change, combining marks, emoji, control characters, and random mixtures of these.
inline std::vector<std::string> stress_texts() {
  std::vector<std::string> texts{"The quick brown fox jumps over the lazy dog.",
                                 "  two  spaces   three ",
                                 "",
                                 " ",
                                 "\t\n\r\n",
                                 "a\u2581b \u2581",
                                 "a\u2581 \u2581",
                                 "\u2581\u2581\u2581a",
                                 "1234567890 3.14 -7",
                                 "日本語のテキスト、漢字とかな。",
                                 "한국어 텍스트입니다.",
                                 "中文文本，标点。",
                                 "été naïve Zürich",
                                 "e\u0301 \u1100\u1161",
                                 "😀 👩‍👩‍👧 \U0001F1EF\U0001F1F5",
                                 "العربية עברית",
                                 "<0x41> <s> </s>",
                                 "aaaaaaaaaaaaaaaaaaaaaaaa",
                                 "x1。 foo bar",
                                 "\u00a0\u3000\u200b\ufeff",
                                 "①㈱ﬁ ＡＢＣ \u00a8 a \u00a8",
                                 "I'm you'RE it's don't",
                                 "CamelCase snake_case kebab-case x=y+1; // code\n\treturn 0;\n",
                                 "ÀÉÎ àéî İıŞß Ǆǅ ΣΑΣ"};
  for (std::size_t length = 1; length <= 40; ++length) texts.push_back("a" + std::string(length, ' ') + "b");
  for (std::size_t length = 1; length <= 40; ++length) texts.emplace_back(length, ' ');
  static constexpr const char* parts[]{" ",  "  ", "\u2581", "a",   "b",      "A",      "1",  "23", ".", ",",
                                       "\n", "\t", "\r\n",   "é",   "日",     "本",     "한", "글", "①", "ﬁ",
                                       "'s", "!",  "\u0301", "the", "\u3000", "\u00a0", "e",  "😀", "_", "-"};
  constexpr std::size_t count = sizeof(parts) / sizeof(parts[0]);
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t below) { return static_cast<std::size_t>((state = mix64(state)) % below); };
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (std::size_t length = 1 + draw(30); length > 0; --length) text += parts[draw(count)];
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace detail

/// Compares the ids of two tokenizers on stress texts and on texts made of the first one's tokens.
inline TokenizerComparison compare_tokenizers(const Tokenizer& a, const Tokenizer& b) {
  TokenizerComparison result;
  const auto compare = [&](const std::string& text) {
    ++result.texts;
    if (a.encode(text) == b.encode(text)) return;
    if (++result.different == 1) result.example = text;
  };
  for (const std::string& text : detail::stress_texts()) compare(text);
  constexpr int most_tokens = 20'000;
  std::string before;
  for (int id = 0; id < a.vocab_size(); id += a.vocab_size() / most_tokens + 1) {
    if (!a.has(id)) continue;
    const std::string text = a.token_text(id);
    compare(before + text);  // also what the model makes of the two tokens' border
    before = text;
  }
  return result;
}

}  // namespace moderngpt2
