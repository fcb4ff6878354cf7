#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace moderngpt2 {

/// Format of a model on the disk.
enum class ModelFormat : unsigned char {
  moderngpt2,  ///< folder of this library and of the Python original
  gemma2,      ///< folder of stock Transformers and vLLM: Gemma2ForCausalLM and its classifiers
  gguf,        ///< one file of llama.cpp
};

/// Words of the values on a command line.
constexpr auto words_of(ModelFormat) {
  using Word = std::pair<std::string_view, ModelFormat>;
  return std::array{Word("moderngpt2", ModelFormat::moderngpt2), Word("gemma2", ModelFormat::gemma2),
                    Word("gguf", ModelFormat::gguf)};
}

/// Word of a format.
constexpr std::string_view format_name(ModelFormat format) {
  for (const auto& [word, value] : words_of(format))
    if (value == format) return word;
  return {};
}

/// Formats of the final model that training writes.
enum class SaveFormat : unsigned char {
  moderngpt2,
  gemma2,  ///< instead of moderngpt2
  both,    ///< moderngpt2, and gemma2 in the subfolder "gemma2"
};

/// Words of the values on a command line.
constexpr auto words_of(SaveFormat) {
  using Word = std::pair<std::string_view, SaveFormat>;
  return std::array{Word("moderngpt2", SaveFormat::moderngpt2), Word("gemma2", SaveFormat::gemma2),
                    Word("both", SaveFormat::both)};
}

}  // namespace moderngpt2
