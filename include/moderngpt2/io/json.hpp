#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#if !__has_include(<nlohmann/json.hpp>)
#error "moderngpt2: <nlohmann/json.hpp> not found: link moderngpt2::moderngpt2"
#endif
#include <nlohmann/json.hpp>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"

#if defined(MODERNGPT2_SEPARATE_COMPILATION) && NLOHMANN_JSON_VERSION_MAJOR == 3 && NLOHMANN_JSON_VERSION_MINOR <= 11
// nlohmann's operator""_json would instantiate this parser in every source file. cmake/compiled/files.cpp defines it.
extern template nlohmann::json nlohmann::json::parse<const char*>(const char*, const char*, parser_callback_t, bool,
                                                                  bool);
#endif

namespace moderngpt2 {

/// JSON value whose objects keep the order of their keys. Lookup by key is linear: iterate over large objects.
using Json = nlohmann::ordered_json;

/// Maximum nesting depth.
inline constexpr int max_json_depth = 100;
/// Maximum length of a number in characters.
inline constexpr std::size_t max_json_number = 1000;
/// Maximum number of values in a file. A value can take ten times the memory of its text.
inline constexpr std::size_t max_json_values = 10'000'000;

namespace detail {

[[noreturn]] void throw_json_error(std::string_view text, const char* at, const std::string& where,
                                   std::string_view what);

}  // namespace detail

/// Parses strict JSON (RFC 8259). Throws Error for invalid syntax, duplicate keys, more than 100 levels or ten million
/// values, numbers beyond a double, comments, a byte-order mark, invalid UTF-8 and trailing text. Messages begin with
/// `where`, usually a file name.
Json parse_json(std::string_view text, const std::string& where);

/// Reads a JSON file of at most `limit` bytes.
Json read_json_file(const std::filesystem::path& path, std::size_t limit = 100'000'000);

/// Serializes JSON with an indentation of two spaces and a final newline.
std::string json_text(const Json& value, const std::string& where);

/// Replaces a JSON file atomically.
FileRecord write_json_file(const std::filesystem::path& path, const Json& value);

namespace detail {

/// Short, one-line form of a value for error messages.
std::string json_excerpt(const Json& value);

template <class T>
constexpr std::string_view json_type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return "an integer";
  else if constexpr (std::is_floating_point_v<T>)
    return "a number";
  else
    return "a string";
}

}  // namespace detail

/// Converts a value to bool, an integer type, a floating type or std::string without loss: an integer must be written
/// as one and be in range. Throws Error that begins with `where` and `field`.
template <class T>
T json_as(const Json& value, std::string_view field, const std::string& where) {
  if constexpr (std::is_same_v<T, bool>) {
    if (value.is_boolean()) return value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    if (value.is_number_unsigned()) {
      const auto n = value.get<std::uint64_t>();
      if (std::in_range<T>(n)) return static_cast<T>(n);
    } else if (value.is_number_integer()) {
      const auto n = value.get<std::int64_t>();
      if (std::in_range<T>(n)) return static_cast<T>(n);
    }
    if (value.is_number_integer())
      throw Error("{}: {} is {}, which is out of range ({} to {})", where, field, value.dump(),
                  std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (value.is_number()) return value.get<T>();
  } else {
    static_assert(std::is_same_v<T, std::string>, "bool, a number type or std::string");
    if (value.is_string()) return value.get<std::string>();
  }
  throw Error("{}: {} must be {}, found {}", where, field, detail::json_type_name<T>(), detail::json_excerpt(value));
}

/// Returns the value under `key`, or nullptr. Throws Error if `object` is not an object.
inline const Json* find_field(const Json& object, std::string_view key, const std::string& where) {
  if (!object.is_object()) throw Error("{}: an object is needed, found {}", where, detail::json_excerpt(object));
  const auto found = object.find(std::string(key));
  return found == object.end() ? nullptr : &*found;
}

/// Returns a required field. Throws Error if it is missing.
template <class T>
T get_field(const Json& object, std::string_view key, const std::string& where) {
  const Json* value = find_field(object, key, where);
  if (!value) throw Error("{}: {} is missing", where, key);
  return json_as<T>(*value, key, where);
}

/// Returns an optional field; nullopt if missing or null.
template <class T>
std::optional<T> get_optional_field(const Json& object, std::string_view key, const std::string& where) {
  const Json* value = find_field(object, key, where);
  if (!value || value->is_null()) return std::nullopt;
  return json_as<T>(*value, key, where);
}

/// Returns a field, or `otherwise` if it is missing. Throws Error for null.
template <class T>
T get_field_or(const Json& object, std::string_view key, T otherwise, const std::string& where) {
  const Json* value = find_field(object, key, where);
  return value ? json_as<T>(*value, key, where) : otherwise;
}

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Iterator over the text for nlohmann's parser. Reports its position through `seen`.
struct JsonCursor {
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char** seen = nullptr;

  reference operator*() const { return *at; }
  JsonCursor& operator++() {
    *seen = ++at;
    return *this;
  }
  JsonCursor operator++(int) {
    JsonCursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const JsonCursor& other) const { return at == other.at; }
};

/// SAX handler that builds the value. Refuses input that nlohmann's own handler accepts: duplicate keys, deep nesting,
/// long numbers.
class JsonBuilder {
 public:
  JsonBuilder(std::string_view text, const std::string& where) : text_(text), seen_(text.data()), where_(where) {}

  JsonCursor begin() { return {text_.data(), &seen_}; }
  JsonCursor end() { return {text_.data() + text_.size(), &seen_}; }
  Json& result() { return root_; }

  bool null() { return place(nullptr); }
  bool boolean(bool value) { return place(value); }
  bool number_integer(Json::number_integer_t value) { return place(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return place(value); }
  bool number_float(Json::number_float_t value, const std::string& digits) {
    if (digits.size() > max_json_number) fail(fmt::format("a number of {} characters", digits.size()));
    return place(value);
  }
  bool string(std::string& value) { return place(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) fail(fmt::format("the key {} occurs twice in one object", excerpt(name)));
    level.key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) {
    fail(reason(error.what()));
  }

 private:
  struct Level {
    Json* value;
    std::unordered_set<std::string> keys;
    std::string key;
  };

  [[noreturn]] void fail(std::string_view what) const { throw_json_error(text_, seen_, where_, what); }

  /// nlohmann's message without its number, position and copy of the input, which has no length limit.
  static std::string reason(std::string_view what) {
    if (what.starts_with("[json.exception.out_of_range.406]")) return "a number is too large for a double";
    const std::size_t position = what.find("column ");
    if (const std::size_t colon = what.find(": ", position); position != what.npos && colon != what.npos)
      what.remove_prefix(colon + 2);
    std::string out(what.substr(0, 4000));
    if (const std::size_t read = out.find("; last read"); read != out.npos) {
      const std::size_t expected = out.rfind("; expected ");
      out = out.substr(0, read) + (expected != out.npos && expected > read ? out.substr(expected) : "");
    }
    return out.substr(0, 200);
  }

  template <class T>
  bool place(T&& value) {
    insert(std::forward<T>(value));
    return true;
  }
  template <class T>
  Json* insert(T&& value) {
    if (++values_ > max_json_values) fail(fmt::format("more than {} values", max_json_values));
    if (levels_.empty()) {
      root_ = Json(std::forward<T>(value));
      return &root_;
    }
    Level& level = levels_.back();
    if (auto* array = level.value->get_ptr<Json::array_t*>()) return &array->emplace_back(std::forward<T>(value));
    // push_back on the underlying vector: the map's insertion would compare all keys again.
    auto* object = level.value->get_ptr<Json::object_t*>();
    return &object->emplace_back(std::move(level.key), Json(std::forward<T>(value))).second;
  }
  bool open(Json empty) {
    if (levels_.size() == max_json_depth) fail(fmt::format("nested more than {} levels deep", max_json_depth));
    Json* value = insert(std::move(empty));
    levels_.push_back({value, {}, {}});
    return true;
  }
  bool close() {
    levels_.pop_back();
    return true;
  }

  std::string_view text_;
  const char* seen_;
  const std::string& where_;
  Json root_;
  std::size_t values_ = 0;
  std::vector<Level> levels_;
};

}  // namespace moderngpt2::detail

namespace moderngpt2::detail {

MODERNGPT2_INLINE void throw_json_error(std::string_view text, const char* at, const std::string& where,
                                        std::string_view what) {
  const auto offset = std::min<std::size_t>(text.size(), static_cast<std::size_t>(at - text.data()));
  const std::string_view before = text.substr(0, offset);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  throw Error("{}: line {}, column {}: {}", where, lines + 1, std::max<std::size_t>(offset - line_start, 1), what);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE Json parse_json(std::string_view text, const std::string& where) {
  if (text.starts_with("\xef\xbb\xbf"))
    throw Error("{}: line 1, column 1: a byte-order mark, save the file as UTF-8 without one", where);
  if (text.find_first_not_of(" \t\r\n") == text.npos)
    detail::throw_json_error(text, text.data() + text.size(), where, "empty, where JSON is expected");
  // nlohmann's lexer treats a zero byte as the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != text.npos)
    detail::throw_json_error(text, text.data() + zero + 1, where, "a zero byte");
  detail::JsonBuilder builder(text, where);
  Json::sax_parse(builder.begin(), builder.end(), &builder);
  return std::move(builder.result());
}

MODERNGPT2_INLINE Json read_json_file(const std::filesystem::path& path, std::size_t limit) {
  return parse_json(read_file(path, limit), path.string());
}

MODERNGPT2_INLINE std::string json_text(const Json& value, const std::string& where) {
  try {
    return value.dump(2) + "\n";
  } catch (const nlohmann::json::exception&) {
    throw Error("{}: a string to be written as JSON is not valid UTF-8", where);
  }
}

MODERNGPT2_INLINE FileRecord write_json_file(const std::filesystem::path& path, const Json& value) {
  return write_file(path, json_text(value, path.string()));
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string json_excerpt(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return excerpt(value.get_ref<const std::string&>(), 40);
  return value.dump();
}

}  // namespace moderngpt2::detail

#endif
