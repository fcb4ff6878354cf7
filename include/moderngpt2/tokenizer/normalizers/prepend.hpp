#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/component.hpp"

namespace moderngpt2::detail {

/// Normalizer Prepend: adds a text before every text that is not empty.
struct PrependNormalizer {
  static constexpr std::string_view type = "Prepend";

  explicit PrependNormalizer(const Component& component) {
    component.expect({"prepend"});
    prefix_ = component.get<std::string>("prepend");
  }

  const std::string& prefix() const { return prefix_; }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    if (text.empty() || prefix_.empty()) return text;
    storage.clear();
    storage.reserve(prefix_.size() + text.size());
    storage.append(prefix_).append(text);
    return storage;
  }

 private:
  std::string prefix_;
};

}  // namespace moderngpt2::detail
