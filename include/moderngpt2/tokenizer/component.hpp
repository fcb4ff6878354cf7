#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2::detail {

/// Component of a tokenizer.json, such as a normalizer, and its place in the file, which begins errors:
/// "tokenizer.json: pre_tokenizer Sequence: step 2". Refers to the JSON value.
class Component {
 public:
  Component(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {}

  const Json& json() const { return *json_; }
  const std::string& where() const { return where_; }

  /// Value of the field "type"; empty if it is missing.
  std::string_view type() const {
    if (!json_->is_object()) return {};
    const auto found = json_->find("type");
    return found != json_->end() && found->is_string() ? found->get_ref<const std::string&>() : std::string_view();
  }

  /// Throws Error if the component has a field other than "type" and `keys`.
  void expect(std::initializer_list<std::string_view> keys) const {
    if (!json_->is_object()) fail("must be a JSON object, found {}", json_excerpt(*json_));
    for (const auto& [key, value] : json_->items())
      if (key != "type" && std::find(keys.begin(), keys.end(), key) == keys.end())
        fail("the field {} is unknown", excerpt(key, 40));
  }

  /// Field that must exist.
  const Json& field(std::string_view key) const {
    const Json* value = find_field(*json_, key, where_);
    if (!value) fail("the field {} is missing", key);
    return *value;
  }
  template <class T>
  T get(const char* key) const {
    return get_field<T>(*json_, key, where_);
  }
  /// Field, or `otherwise` if it is missing or null.
  template <class T>
  T get_or(const char* key, T otherwise) const {
    return get_optional_field<T>(*json_, key, where_).value_or(std::move(otherwise));
  }

  /// Component nested in this one. `name` is added to the place in errors.
  Component inner(const Json& json, std::string_view name) const { return {json, fmt::format("{}: {}", where_, name)}; }

  /// Steps of a Sequence, nested ones included, in order; the component itself if it is no Sequence; none for null.
  /// `list` is the field with the steps.
  std::vector<Component> steps(const char* list) const {
    std::vector<Component> result;
    if (!json_->is_null()) append_steps(list, 0, result);
    return result;
  }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  void append_steps(const char* list, int depth, std::vector<Component>& result) const {
    constexpr int deepest = 32;
    if (type() != "Sequence") return result.push_back(*this);
    if (depth == deepest) fail("Sequences are nested more than {} deep", deepest);
    expect({list});
    const Json& items = field(list);
    if (!items.is_array()) fail("{} must be a list, found {}", list, json_excerpt(items));
    for (std::size_t i = 0; i < items.size(); ++i)
      Component(items[i], fmt::format("{} Sequence: step {} of {}", where_, i + 1, items.size()))
          .append_steps(list, depth + 1, result);
  }

  const Json* json_;
  std::string where_;
};

/// Reads the alternative of a variant whose `type` the component names. Throws Error that lists all alternatives if
/// there is none. This is the only place that maps names to components: the variant is the table.
template <class... Steps>
std::variant<Steps...> read_step(const Component& component, std::type_identity<std::variant<Steps...>>) {
  std::optional<std::variant<Steps...>> result;
  const auto take = [&]<class Step>() {
    if (component.type() != Step::type) return false;
    result.emplace(Step(component));
    return true;
  };
  if ((take.template operator()<Steps>() || ...)) return *std::move(result);
  std::string names;
  ((names += (names.empty() ? "" : ", ") + std::string(Steps::type)), ...);
  const std::string found = component.type().empty() ? json_excerpt(component.json()) : excerpt(component.type(), 40);
  component.fail(
      "is {}, which is not supported. Supported: {}. Remove the step from the file, or tokenize elsewhere "
      "and train on the shards.",
      found, names);
}

}  // namespace moderngpt2::detail
