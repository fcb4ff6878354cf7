#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

namespace detail::split_patterns {

/// Pattern of GPT-2 (OpenAI's gpt-2/src/encoder.py); also built into the pre-tokenizer ByteLevel.
inline constexpr std::string_view gpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// tiktoken's form of the GPT-2 pattern (tiktoken_ext/openai_public.py), with equal matches.
inline constexpr std::string_view r50k =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";

/// Pattern of Llama 3, from its tokenizer.json.
inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Pattern of tiktoken's cl100k_base. White space at the end of the text is one piece, which differs from `llama3`
/// where it contains a line break. `{1,3}+` is possessive in tiktoken, a nested repetition in Oniguruma
/// (tokenizer.json).
inline constexpr std::string_view cl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";

/// Pattern of Qwen2 to Qwen3, from their tokenizer.json.
inline constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Pattern of tiktoken's o200k_base and of Llama 4.
inline constexpr std::string_view o200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Pattern of Mistral's tekken.json, versions 240718 and 240911.
inline constexpr std::string_view tekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Patterns of the three steps of DeepSeek-V3: digits, Chinese and Japanese, other text. deepseek_words has raw line
/// breaks, deepseek_words_escaped escaped ones; both occur in files.
inline constexpr std::string_view deepseek_digits = R"(\p{N}{1,3})";
inline constexpr std::string_view deepseek_cjk = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
inline constexpr std::string_view deepseek_words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|)"
    "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
inline constexpr std::string_view deepseek_words_escaped =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|)"
    R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 8> table{{
    {"gpt2", gpt2},
    {"r50k", r50k},
    {"p50k", r50k},
    {"cl100k", cl100k},
    {"o200k", o200k},
    {"llama3", llama3},
    {"qwen2", qwen2},
    {"tekken", tekken},
}};

}  // namespace detail::split_patterns

/// Returns the splitting pattern named gpt2, r50k, p50k, cl100k, o200k, llama3, qwen2 or tekken. Throws Error for other
/// names.
inline std::string_view split_pattern(std::string_view name) {
  for (const auto& [known, pattern] : detail::split_patterns::table)
    if (known == name) return pattern;
  std::string names;
  for (const auto& entry : detail::split_patterns::table) names.append(names.empty() ? "" : ", ").append(entry.first);
  throw Error("split pattern: {} is unknown. Names: {}.", excerpt(name, 40), names);
}

}  // namespace moderngpt2
