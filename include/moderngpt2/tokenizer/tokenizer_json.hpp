#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2::detail {

/// Access to the components of a tokenizer.json. Each Error begins with `where`, usually the path of the file.
class TokenizerJson {
 public:
  explicit TokenizerJson(std::string where) : where_(std::move(where)) {}

 protected:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

  void expect_keys(const Json& object, std::string_view component, std::initializer_list<std::string_view> keys) const;

  const Json& field(const Json& object, std::string_view key, std::string_view component) const;

  void expect_null(const Json& object, std::string_view key) const;

  static std::string describe(const Json& component);

  static bool has_type(const Json& component, std::string_view type);

  const std::string& text(const Json& value, std::string_view component) const;

  /// Steps of a component: itself, or the items of a Sequence.
  std::vector<const Json*> steps(const Json& component, std::string_view name, std::string_view list) const;

  bool is_replace(const Json& step, std::string_view from, std::string_view to, std::string_view name) const;

  std::string where_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE void TokenizerJson::expect_keys(const Json& object, std::string_view component,
                                                  std::initializer_list<std::string_view> keys) const {
  if (!object.is_object()) fail("{} must be a JSON object, found {}", component, json_excerpt(object));
  for (const auto& [key, value] : object.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      fail("{} has the unknown field {}", component, excerpt(key));
}

MODERNGPT2_INLINE const Json& TokenizerJson::field(const Json& object, std::string_view key,
                                                   std::string_view component) const {
  const Json* value = find_field(object, key, where_);
  if (!value) fail("{} has no field {}", component, key);
  return *value;
}

MODERNGPT2_INLINE void TokenizerJson::expect_null(const Json& object, std::string_view key) const {
  const Json* value = find_field(object, key, where_);
  if (value && !value->is_null()) fail("{} is {}, which is not supported: only null is", key, describe(*value));
}

MODERNGPT2_INLINE std::string TokenizerJson::describe(const Json& component) {
  if (component.is_object()) {
    const auto type = component.find("type");
    if (type != component.end() && type->is_string()) return excerpt(type->get_ref<const std::string&>(), 40);
  }
  return json_excerpt(component);
}

MODERNGPT2_INLINE bool TokenizerJson::has_type(const Json& component, std::string_view type) {
  if (!component.is_object()) return false;
  const auto found = component.find("type");
  return found != component.end() && found->is_string() && found->get_ref<const std::string&>() == type;
}

MODERNGPT2_INLINE const std::string& TokenizerJson::text(const Json& value, std::string_view component) const {
  if (!value.is_string()) fail("{} must be a string, found {}", component, json_excerpt(value));
  return value.get_ref<const std::string&>();
}

MODERNGPT2_INLINE std::vector<const Json*> TokenizerJson::steps(const Json& component, std::string_view name,
                                                                std::string_view list) const {
  std::vector<const Json*> result;
  if (!has_type(component, "Sequence")) return {&component};
  expect_keys(component, name, {"type", list});
  const Json& items = field(component, list, name);
  if (!items.is_array()) fail("{}: {} must be a list", name, list);
  for (const Json& item : items) result.push_back(&item);
  return result;
}

MODERNGPT2_INLINE bool TokenizerJson::is_replace(const Json& step, std::string_view from, std::string_view to,
                                                 std::string_view name) const {
  if (!has_type(step, "Replace")) return false;
  expect_keys(step, name, {"type", "pattern", "content"});
  const Json& pattern = field(step, "pattern", name);
  const auto found = pattern.is_object() && pattern.size() == 1 ? pattern.find("String") : pattern.end();
  return found != pattern.end() && text(*found, name) == from && text(field(step, "content", name), name) == to;
}

}  // namespace moderngpt2::detail

#endif
