#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/component.hpp"

namespace moderngpt2::detail {

/// Ids that a post-processor adds before and after a single text.
struct AddedIds {
  std::vector<int> prefix, suffix;
};

/// Post-processor ByteLevel: adds no ids. It trims offsets, which this library does not have.
struct ByteLevelProcessor : AddedIds {
  static constexpr std::string_view type = "ByteLevel";
  explicit ByteLevelProcessor(const Component& component) {
    component.expect({"add_prefix_space", "trim_offsets", "use_regex"});
  }
};

/// Post-processor BertProcessing: [CLS] text [SEP].
struct BertProcessor : AddedIds {
  static constexpr std::string_view type = "BertProcessing";
  explicit BertProcessor(const Component& component) {
    component.expect({"cls", "sep"});
    read(component);
  }

 protected:
  BertProcessor() = default;
  void read(const Component& component) {
    prefix = {id_of(component, "cls")};
    suffix = {id_of(component, "sep")};
  }

 private:
  static int id_of(const Component& component, const char* key) {
    const Json& token = component.field(key);
    if (!token.is_array() || token.size() != 2)
      component.fail("{} must be [token, id], found {}", key, json_excerpt(token));
    return json_as<int>(token[1], key, component.where());
  }
};

/// Post-processor RobertaProcessing: <s> text </s>.
struct RobertaProcessor : BertProcessor {
  static constexpr std::string_view type = "RobertaProcessing";
  explicit RobertaProcessor(const Component& component) {
    component.expect({"cls", "sep", "trim_offsets", "add_prefix_space"});
    read(component);
  }
};

/// Post-processor TemplateProcessing: lists of tokens before and after the text. Type ids are ignored.
struct TemplateProcessor : AddedIds {
  static constexpr std::string_view type = "TemplateProcessing";
  explicit TemplateProcessor(const Component& component);
};

/// Table of the post-processors of a tokenizer.json, besides Sequence (see read_step).
using AnyPostProcessor = std::variant<TemplateProcessor, ByteLevelProcessor, BertProcessor, RobertaProcessor>;

/// Ids that all post-processors together add to a single text. `processor` may be null. Throws Error for an id that is
/// negative.
AddedIds read_post_processors(const Component& processor);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE TemplateProcessor::TemplateProcessor(const Component& component) {
  component.expect({"single", "pair", "special_tokens"});
  const Json& single = component.field("single");
  const Component tokens = component.inner(component.field("special_tokens"), "special_tokens");
  if (!single.is_array()) component.fail("single must be a list, found {}", json_excerpt(single));
  bool after_text = false;
  for (const Json& item : single) {
    const bool one = item.is_object() && item.size() == 1;
    if (one && item.begin().key() == "Sequence" && !after_text) {
      const Component sequence = component.inner(item.begin().value(), "Sequence");
      if (sequence.get_or<std::string>("id", "A") != "A") sequence.fail("a single text has no second part B");
      after_text = true;
    } else if (one && item.begin().key() == "SpecialToken") {
      const auto name = component.inner(item.begin().value(), "SpecialToken").get<std::string>("id");
      const Component token = tokens.inner(tokens.field(name), excerpt(name, 40));
      const Json& ids = token.field("ids");
      if (!ids.is_array()) token.fail("ids must be a list, found {}", json_excerpt(ids));
      for (const Json& id : ids) (after_text ? suffix : prefix).push_back(json_as<int>(id, "ids", token.where()));
    } else {
      component.fail("single contains {}, expected SpecialTokens and one Sequence", json_excerpt(item));
    }
  }
  if (!after_text) component.fail("single does not contain the text");
}

MODERNGPT2_INLINE AddedIds read_post_processors(const Component& processor) {
  AddedIds all;
  for (const Component& step : processor.steps("processors")) {
    const auto one = read_step(step, std::type_identity<AnyPostProcessor>());
    const AddedIds& added = std::visit([](const auto& p) -> const AddedIds& { return p; }, one);
    for (const auto* ids : {&added.prefix, &added.suffix})
      for (const int id : *ids)
        if (id < 0) step.fail("the id {} is negative", id);
    all.prefix.insert(all.prefix.begin(), added.prefix.begin(), added.prefix.end());
    all.suffix.insert(all.suffix.end(), added.suffix.begin(), added.suffix.end());
  }
  return all;
}

}  // namespace moderngpt2::detail

#endif
