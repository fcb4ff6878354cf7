#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/nearest_name.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2::detail {

/// Maximum number of fields that the warning about a config file names.
inline constexpr std::size_t max_listed_fields = 40;

/// Warning about the fields of a launcher's config file that are not honoured.
std::string not_honoured_text(const std::string& where, const std::vector<std::string>& fields);

/// One object of a DeepSpeed config. Reads its fields and remembers which were read.
class DeepSpeedSection {
 public:
  /// `name`: path of the object in the file with a trailing dot; empty for the root.
  DeepSpeedSection(const Json& json, std::string name, const std::string& where);

  /// Marks `key` as known and returns its value; a null pointer if it is absent or null.
  const Json* find(const char* key);

  /// Marks `key` as known and returns its value; empty if it is absent or "auto". An integer may be written as 5e8.
  template <class T>
  std::optional<T> get(const char* key) {
    const Json* value = find(key);
    if (!value || *value == "auto") return std::nullopt;
    if constexpr (std::is_same_v<T, std::int64_t>) {
      if (value->is_number_float()) {
        const double number = value->get<double>();
        if (number == std::floor(number) && std::abs(number) < 1e15) return static_cast<T>(number);
      }
    }
    return json_as<T>(*value, name_ + key, where_);
  }
  /// Integer under `key`, as by get(). Throws an Error that names the field if it is less than 1.
  std::optional<std::int64_t> positive(const char* key);
  /// Integer under `key`, as by get(). Throws an Error that names the field if it is negative.
  std::optional<std::int64_t> count(const char* key);
  /// Number under `key`, as by get(). Throws an Error that names the field if it is negative.
  std::optional<double> not_negative(const char* key);

  /// Reads the members of a described config that belong to this object: positive integers and non-negative numbers.
  template <class Config>
  void read(Config& config) {
    describe(config, [&]<class T>(T& member, const Field& field, const auto& rules) {
      if (name_ != field.section || rules.own_format) return;
      if constexpr (std::is_same_v<T, std::optional<double>>)
        member = not_negative(field.name);
      else
        member = positive(field.name);
    });
  }

  void know(std::initializer_list<const char*> keys) { known_.insert(known_.end(), keys.begin(), keys.end()); }

  /// Marks keys as known but not honoured. Adds those that are enabled to `ignored`, with the hint `instead`.
  void decline(std::initializer_list<const char*> keys, const std::string& instead, std::vector<std::string>& ignored);

  /// Marks a number as known but not honoured. Adds it to `ignored` unless it has the value `off`, which requests
  /// nothing.
  void decline_unless(const char* key, std::int64_t off, std::vector<std::string>& ignored) {
    if (get<std::int64_t>(key).value_or(off) != off) ignored.push_back(name_ + key);
  }

  /// Marks a switch as known whose value is always `holds`. Adds it to `ignored` if the file has the other value.
  void fix(const char* key, bool holds, const std::string& instead, std::vector<std::string>& ignored) {
    if (get<bool>(key).value_or(holds) != holds) ignored.push_back(name_ + key + " (" + instead + ")");
  }

  /// Adds the fields that are not known to `ignored`, with the nearest known name.
  void name_unknown(std::vector<std::string>& ignored) const;

  /// Whether a value enables a feature. False, null, 0, "auto", "none" and objects without an enabled field do not.
  static bool asks(const Json& value);

 private:
  const Json& json_;
  std::string name_;
  const std::string& where_;
  std::vector<std::string> known_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string not_honoured_text(const std::string& where, const std::vector<std::string>& fields) {
  const std::size_t shown = std::min(fields.size(), max_listed_fields);
  const auto end = fields.begin() + std::ptrdiff_t(shown);
  return fmt::format("warning: {}: not honoured: {}{}", where, fmt::join(fields.begin(), end, ", "),
                     shown < fields.size() ? fmt::format(" and {} more", fields.size() - shown) : "");
}

MODERNGPT2_INLINE DeepSpeedSection::DeepSpeedSection(const Json& json, std::string name, const std::string& where)
    : json_(json), name_(std::move(name)), where_(where) {
  if (!json.is_object())
    throw Error("{}: {} must be an object, found {}", where,
                name_.empty() ? "the file" : name_.substr(0, name_.size() - 1), json_excerpt(json));
}

MODERNGPT2_INLINE const Json* DeepSpeedSection::find(const char* key) {
  known_.push_back(key);
  const Json* value = find_field(json_, key, where_);
  return value && !value->is_null() ? value : nullptr;
}

MODERNGPT2_INLINE std::optional<std::int64_t> DeepSpeedSection::positive(const char* key) {
  const auto value = get<std::int64_t>(key);
  if (value && *value < 1) throw Error("{}: {}{} is {}, it must be positive", where_, name_, key, *value);
  return value;
}

MODERNGPT2_INLINE std::optional<std::int64_t> DeepSpeedSection::count(const char* key) {
  const auto value = get<std::int64_t>(key);
  if (value && *value < 0) throw Error("{}: {}{} is {}, it must not be negative", where_, name_, key, *value);
  return value;
}

MODERNGPT2_INLINE std::optional<double> DeepSpeedSection::not_negative(const char* key) {
  const auto value = get<double>(key);
  if (value && *value < 0) throw Error("{}: {}{} is {}, it must not be negative", where_, name_, key, *value);
  return value;
}

MODERNGPT2_INLINE void DeepSpeedSection::decline(std::initializer_list<const char*> keys, const std::string& instead,
                                                 std::vector<std::string>& ignored) {
  for (const char* key : keys) {
    const Json* value = find(key);
    if (value && asks(*value)) ignored.push_back(name_ + key + (instead.empty() ? "" : " (" + instead + ")"));
  }
}

MODERNGPT2_INLINE void DeepSpeedSection::name_unknown(std::vector<std::string>& ignored) const {
  for (const auto& [key, value] : json_.items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string nearest = ignored.size() < max_listed_fields ? nearest_name(key, known_) : "";
    ignored.push_back(name_ + printable(key, 80) + (nearest.empty() ? "" : " (did you mean " + nearest + "?)"));
  }
}

MODERNGPT2_INLINE bool DeepSpeedSection::asks(const Json& value) {
  if (value.is_null() || value == false || value == "auto" || value == "none") return false;
  if (value.is_number()) return value.get<double>() != 0;
  if (!value.is_object()) return true;
  if (const auto enabled = value.find("enabled"); enabled != value.end()) return asks(*enabled);
  return std::any_of(value.begin(), value.end(), [](const Json& item) { return asks(item); });
}

}  // namespace moderngpt2::detail

#endif
