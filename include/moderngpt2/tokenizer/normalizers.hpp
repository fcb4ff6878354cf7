#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/bert.hpp"
#include "moderngpt2/tokenizer/normalizers/byte_level.hpp"
#include "moderngpt2/tokenizer/normalizers/growth.hpp"
#include "moderngpt2/tokenizer/normalizers/lowercase.hpp"
#include "moderngpt2/tokenizer/normalizers/nmt.hpp"
#include "moderngpt2/tokenizer/normalizers/normal_forms.hpp"
#include "moderngpt2/tokenizer/normalizers/precompiled.hpp"
#include "moderngpt2/tokenizer/normalizers/prepend.hpp"
#include "moderngpt2/tokenizer/normalizers/replace.hpp"
#include "moderngpt2/tokenizer/normalizers/strip.hpp"

namespace moderngpt2::detail {

/// Table of the normalizers of a tokenizer.json, besides Sequence (see read_step).
using AnyNormalizer = std::variant<BertNormalizer, ByteLevelNormalizer, LowercaseNormalizer, NfcNormalizer,
                                   NfdNormalizer, NfkcNormalizer, NfkdNormalizer, NmtNormalizer, PrecompiledNormalizer,
                                   PrependNormalizer, ReplaceNormalizer, StripNormalizer, StripAccentsNormalizer>;

/// Normalizers of a tokenizer.json, applied in order.
class Normalizers {
 public:
  Normalizers() = default;
  /// `component` is the field "normalizer"; none or null: no normalizers. Throws Error for one that is not supported.
  explicit Normalizers(const std::optional<Component>& component) {
    if (!component) return;
    for (const Component& step : component->steps("normalizers"))
      steps_.push_back(read_step(step, std::type_identity<AnyNormalizer>()));
  }
  explicit Normalizers(std::vector<AnyNormalizer> steps) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }
  const std::vector<AnyNormalizer>& steps() const { return steps_; }

  /// Normalizes valid UTF-8. Returns `text` itself if nothing changes, else `storage`.
  std::string_view operator()(std::string_view text, std::string& storage) const {
    std::string other;
    std::string *free = &storage, *used = &other;
    std::string_view result = text;
    for (const AnyNormalizer& step : steps_) {
      const std::string_view next = std::visit([&](const auto& normalizer) { return normalizer(result, *free); }, step);
      if (next.data() == result.data()) continue;
      check_growth(next.size(), text.size());
      result = next;
      std::swap(free, used);
    }
    if (result.data() == text.data()) return text;
    if (used != &storage) storage.swap(other);
    return storage;
  }

 private:
  std::vector<AnyNormalizer> steps_;
};

}  // namespace moderngpt2::detail
