#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Repository of a data set on the Hugging Face Hub, and its subset for one language.
struct StreamedDataset {
  std::string repository, subset;
};

/// Returns repository and subset for a language. `dataset`: "c4" or "fineweb2". Throws UsageError for another data set
/// and, with a list of the supported languages, for another language.
StreamedDataset streamed_dataset(std::string_view dataset, std::string_view language);

/// Flags that choose a program's text: files, or a data set on the Hub.
struct TextFlags {
  std::vector<std::string> inputs;                 ///< --input
  std::string dataset;                             ///< --dataset
  std::vector<std::string> languages;              ///< --c4_langs or --langs
  std::vector<std::string> typed_streaming_flags;  ///< names of the given flags of dataset and languages
};

/// Whether the flags name files. Throws UsageError if they also name a data set to stream, or an unsupported language.
bool names_files(const TextFlags& flags);

/// Error message for a command line with a streamed data set, which is not supported yet. `wanted`: the flags that name
/// files instead.
std::string streaming_error(const TextFlags& flags, const std::string& wanted = "--input");

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_INLINE StreamedDataset streamed_dataset(std::string_view dataset, std::string_view language) {
  struct Entry {
    std::string_view language, subset;
  };
  static constexpr Entry c4[]{{"en", "en"}, {"ja", "ja"}, {"ko", "ko"}, {"zh", "zh"}};
  static constexpr Entry fineweb2[]{
      {"ja", "jpn_Jpan"}, {"ko", "kor_Hang"}, {"zh", "cmn_Hani"}, {"cn", "cmn_Hani"}, {"tw", "yue_Hani"}};
  if (dataset != "c4" && dataset != "fineweb2") throw UsageError("unknown data set '{}': use c4 or fineweb2", dataset);
  if (dataset == "fineweb2" && language == "en") return {"allenai/c4", "en"};
  std::string known = dataset == "c4" ? "" : "en";
  const auto find = [&](const Entry* begin, const Entry* end) {
    for (const Entry* entry = begin; entry != end; ++entry) {
      if (entry->language == language) return entry;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", entry->language);
    }
    return end;
  };
  const bool is_c4 = dataset == "c4";
  const Entry* const end = is_c4 ? std::end(c4) : std::end(fineweb2);
  const Entry* const found = find(is_c4 ? std::begin(c4) : std::begin(fineweb2), end);
  if (found == end)
    throw UsageError("{} has no data set for the language '{}'; supported: {}", dataset, language, known);
  return {is_c4 ? "allenai/c4" : "HuggingFaceFW/fineweb-2", std::string(found->subset)};
}

MODERNGPT2_INLINE bool names_files(const TextFlags& flags) {
  if (!flags.inputs.empty() && !flags.typed_streaming_flags.empty())
    throw UsageError("--{} selects a data set to stream, and --input names files: give one of them",
                     flags.typed_streaming_flags.front());
  if (!flags.inputs.empty()) return true;
  for (const std::string& language : flags.languages) streamed_dataset(flags.dataset, language);
  return false;
}

MODERNGPT2_INLINE std::string streaming_error(const TextFlags& flags, const std::string& wanted) {
  return fmt::format("{} is needed: streaming {} ({}) from the Hub is not supported yet", wanted, flags.dataset,
                     fmt::join(flags.languages, ", "));
}

}  // namespace moderngpt2

#endif
