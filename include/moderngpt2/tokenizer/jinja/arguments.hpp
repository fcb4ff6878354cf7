#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/value.hpp"

namespace moderngpt2::detail {

/// Arguments of a call of a function, method, filter or test.
struct JinjaArguments {
  std::string_view where;  ///< name of what is called, for errors
  std::vector<JinjaValue> positional;
  std::vector<std::pair<std::string, JinjaValue>> named;

  /// Argument by position or name; nullptr if it is missing.
  const JinjaValue* find(std::size_t position, std::string_view name) const {
    if (position < positional.size()) return &positional[position];
    for (const auto& [key, value] : named)
      if (key == name) return &value;
    return nullptr;
  }
  const JinjaValue& get(std::size_t position, std::string_view name = {}) const {
    if (const JinjaValue* value = find(position, name)) return *value;
    throw Error("{} needs {} arguments", where, position + 1);
  }
  const std::string& string(std::size_t position, std::string_view name = {}) const {
    const JinjaValue& value = get(position, name);
    if (!value.is_string()) throw Error("{} needs a text, found {}", where, value.type());
    return value.string();
  }
  std::int64_t integer_or(std::size_t position, std::string_view name, std::int64_t otherwise) const {
    const JinjaValue* value = find(position, name);
    if (!value || value->is_none()) return otherwise;
    if (!value->is_integer()) throw Error("{} needs an integer, found {}", where, value->type());
    return value->integer();
  }
  bool truth_or(std::size_t position, std::string_view name, bool otherwise) const {
    const JinjaValue* value = find(position, name);
    return value ? value->truth() : otherwise;
  }
  /// Throws if there are more arguments, or one with another name.
  void expect(std::size_t most, std::initializer_list<std::string_view> names = {}) const {
    if (positional.size() > most) throw Error("{} has at most {} arguments", where, most);
    for (const auto& [key, value] : named)
      if (std::find(names.begin(), names.end(), key) == names.end())
        throw Error("{} has no argument named {}", where, excerpt(key, 40));
  }
};

}  // namespace moderngpt2::detail
