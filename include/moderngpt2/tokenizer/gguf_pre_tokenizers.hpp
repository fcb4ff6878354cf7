#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/split_patterns.hpp"

// Values of tokenizer.ggml.pre: the way in which llama.cpp splits text before byte-level BPE. Source: llama-vocab.cpp
// of llama.cpp.
namespace moderngpt2::detail {

/// Way to split text of byte-level BPE.
enum class GgufSplit : unsigned char { gpt2, llama3, qwen2, deepseek3, digits };

struct GgufPreTokenizer {
  std::string_view name;
  GgufSplit split;
  bool ignore_merges = false;
  bool adds_bos = false;  ///< default of tokenizer.ggml.add_bos_token
};

/// Known names. The first one with given properties is written. Splitters of llama.cpp that only approximate their
/// model's pattern (gpt-4o, tekken) are not among them.
inline constexpr std::array gguf_pre_tokenizers{
    GgufPreTokenizer{"gpt-2", GgufSplit::gpt2},
    GgufPreTokenizer{"llama-bpe", GgufSplit::llama3, true, true},
    GgufPreTokenizer{"dbrx", GgufSplit::llama3},
    GgufPreTokenizer{"qwen2", GgufSplit::qwen2},
    GgufPreTokenizer{"deepseek-v3", GgufSplit::deepseek3},
    GgufPreTokenizer{"smollm", GgufSplit::digits},
    GgufPreTokenizer{"phi-2", GgufSplit::gpt2},
    GgufPreTokenizer{"mpt", GgufSplit::gpt2},
    GgufPreTokenizer{"olmo", GgufSplit::gpt2},
    GgufPreTokenizer{"jais", GgufSplit::gpt2},
    GgufPreTokenizer{"trillion", GgufSplit::gpt2},
    GgufPreTokenizer{"exaone4", GgufSplit::gpt2},
    GgufPreTokenizer{"gigachat", GgufSplit::gpt2},
    GgufPreTokenizer{"modern-bert", GgufSplit::gpt2},
    GgufPreTokenizer{"llama3", GgufSplit::llama3, true, true},
    GgufPreTokenizer{"llama-v3", GgufSplit::llama3, true, true},
    GgufPreTokenizer{"falcon3", GgufSplit::llama3, true, true},
    GgufPreTokenizer{"pixtral", GgufSplit::llama3, true, true},
    GgufPreTokenizer{"lfm2", GgufSplit::llama3, true, true},
    GgufPreTokenizer{"smaug-bpe", GgufSplit::llama3},
    GgufPreTokenizer{"chatglm-bpe", GgufSplit::llama3},
    GgufPreTokenizer{"glm4", GgufSplit::llama3, true},
    GgufPreTokenizer{"deepseek-r1-qwen", GgufSplit::qwen2},
    GgufPreTokenizer{"stablelm2", GgufSplit::qwen2},
    GgufPreTokenizer{"hunyuan", GgufSplit::qwen2},
    GgufPreTokenizer{"megrez", GgufSplit::qwen2},
    GgufPreTokenizer{"hunyuan-dense", GgufSplit::deepseek3},
    GgufPreTokenizer{"starcoder", GgufSplit::digits},
    GgufPreTokenizer{"refact", GgufSplit::digits},
    GgufPreTokenizer{"command-r", GgufSplit::digits},
    GgufPreTokenizer{"codeshell", GgufSplit::digits},
    GgufPreTokenizer{"exaone", GgufSplit::digits},
    GgufPreTokenizer{"minerva-7b", GgufSplit::digits},
};

/// Names for messages: "gpt-2, llama-bpe, ...".
inline std::string gguf_pre_tokenizer_names() {
  std::string names;
  for (const GgufPreTokenizer& known : gguf_pre_tokenizers) names.append(names.empty() ? "" : ", ").append(known.name);
  return names;
}

inline const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name) {
  for (const GgufPreTokenizer& known : gguf_pre_tokenizers)
    if (known.name == name) return &known;
  return nullptr;
}

inline Json gguf_byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

/// Component pre_tokenizer of a tokenizer.json.
inline Json gguf_pre_tokenizer_json(GgufSplit split) {
  Json steps = Json::array();
  const auto add = [&](std::initializer_list<std::string_view> patterns) {
    for (const std::string_view pattern : patterns)
      steps.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  };
  switch (split) {
    case GgufSplit::gpt2:
      break;
    case GgufSplit::llama3:
      add({split_patterns::llama3});
      break;
    case GgufSplit::qwen2:
      add({split_patterns::qwen2});
      break;
    case GgufSplit::deepseek3:
      add({split_patterns::deepseek_digits, split_patterns::deepseek_cjk, split_patterns::deepseek_words});
      break;
    case GgufSplit::digits:
      steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
      break;
  }
  steps.push_back(gguf_byte_level(split == GgufSplit::gpt2 || split == GgufSplit::digits));
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

/// Name of a tokenizer.json's pre_tokenizer. Throws Error for one that llama.cpp does not have.
inline const GgufPreTokenizer& gguf_pre_tokenizer_of(const Component& component, bool ignore_merges) {
  const auto text_of = [&](const Component& step) -> std::string {
    if (step.type() == "ByteLevel") {
      if (step.get_or<bool>("add_prefix_space", true))
        component.fail("add_prefix_space is true, which llama.cpp lacks");
      return step.get_or<bool>("use_regex", true) ? std::string(split_patterns::gpt2) : "";
    }
    if (step.type() == "Digits") return step.get_or<bool>("individual_digits", false) ? "digits" : "groups of digits";
    if (step.type() != "Split") return "the step " + std::string(step.type());
    const Json& pattern = step.field("pattern");
    const bool is_plain = step.get_or<std::string>("behavior", "") == "Isolated" &&
                          !step.get_or<bool>("invert", false) && pattern.is_object() && pattern.contains("Regex") &&
                          pattern["Regex"].is_string();
    if (!is_plain) return "another kind of Split";
    std::string expression = pattern["Regex"].get<std::string>();
    if (expression == split_patterns::r50k) return std::string(split_patterns::gpt2);
    if (expression == split_patterns::deepseek_words_escaped) return std::string(split_patterns::deepseek_words);
    return expression;
  };
  std::vector<std::string> given;
  for (const Component& step : component.steps("pretokenizers"))
    if (std::string text = text_of(step); !text.empty()) given.push_back(std::move(text));
  using namespace split_patterns;
  const auto is = [&](std::initializer_list<std::string_view> list) {
    return std::equal(given.begin(), given.end(), list.begin(), list.end());
  };
  const auto with = [&](GgufSplit split) -> const GgufPreTokenizer& {
    for (const GgufPreTokenizer& known : gguf_pre_tokenizers)
      if (known.split == split && known.ignore_merges == ignore_merges) return known;
    component.fail("is one that llama.cpp has only with ignore_merges {}", !ignore_merges);
  };
  if (is({gpt2})) return with(GgufSplit::gpt2);
  if (is({llama3})) return with(GgufSplit::llama3);
  if (is({qwen2})) return with(GgufSplit::qwen2);
  if (is({deepseek_digits, deepseek_cjk, deepseek_words})) return with(GgufSplit::deepseek3);
  if (is({"digits", gpt2})) return with(GgufSplit::digits);
  std::string list;
  for (const std::string& text : given) list.append(list.empty() ? "" : ", then ").append(excerpt(text, 120));
  component.fail(
      "splits text by {}, which no pre-tokenizer of llama.cpp equals. It has the patterns of gpt2, llama3, qwen2, "
      "deepseek-v3 and smollm.",
      list.empty() ? "nothing" : list);
}

}  // namespace moderngpt2::detail
