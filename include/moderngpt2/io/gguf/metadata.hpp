#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

// Metadata of a GGUF file: keys with typed values. Format: docs/gguf.md of ggml.
namespace moderngpt2 {

/// Type of a metadata value, by its number in the file.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// Name of a type in messages, such as "uint32".
constexpr std::string_view gguf_type_name(GgufType type) {
  constexpr std::array<std::string_view, 13> names{"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                                   "bool",  "string", "array",  "uint64", "int64",  "float64"};
  return names[static_cast<std::size_t>(type)];
}

/// Bytes of a number; 0 for strings and arrays.
constexpr std::size_t gguf_type_bytes(GgufType type) {
  constexpr std::array<std::size_t, 13> sizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return sizes[static_cast<std::size_t>(type)];
}

/// Value of a metadata key: a number, a string, or an array of either.
struct GgufValue {
  GgufType type = GgufType::u32;  ///< type of the value, or of the elements
  bool is_array = false;
  std::string bytes{};                 ///< numbers, little-endian, or the text of a string
  std::vector<std::string> strings{};  ///< elements of an array of strings

  /// Number of elements; 1 unless an array.
  std::size_t size() const {
    if (!is_array) return 1;
    return type == GgufType::string ? strings.size() : bytes.size() / gguf_type_bytes(type);
  }

  static GgufValue text(std::string value) { return {GgufType::string, false, std::move(value), {}}; }
  static GgufValue texts(std::vector<std::string> values) { return {GgufType::string, true, {}, std::move(values)}; }
  static GgufValue boolean(bool value) { return {GgufType::boolean, false, std::string(1, value ? '\1' : '\0'), {}}; }
  static GgufValue number(std::uint32_t value) { return {GgufType::u32, false, bytes_of(&value, 1), {}}; }
  static GgufValue number(float value) { return {GgufType::f32, false, bytes_of(&value, 1), {}}; }
  static GgufValue numbers(const std::vector<float>& list) {
    return {GgufType::f32, true, bytes_of(list.data(), list.size()), {}};
  }
  static GgufValue numbers(const std::vector<std::int32_t>& list) {
    return {GgufType::i32, true, bytes_of(list.data(), list.size()), {}};
  }
  static GgufValue numbers(const std::vector<std::uint64_t>& list) {
    return {GgufType::u64, true, bytes_of(list.data(), list.size()), {}};
  }
  static GgufValue booleans(const std::vector<bool>& list) {
    GgufValue value{GgufType::boolean, true, {}, {}};
    for (const bool b : list) value.bytes += b ? '\1' : '\0';
    return value;
  }

  template <class T>
  static std::string bytes_of(const T* data, std::size_t count) {
    static_assert(std::endian::native == std::endian::little);
    return {reinterpret_cast<const char*>(data), count * sizeof(T)};
  }
};

/// Keys and values of a GGUF file, in the order of the file. Errors begin with `where`, usually the file's name.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string where = {}) : where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }

  /// Adds a key. Throws Error if it exists.
  void add(std::string key, GgufValue value);
  /// Adds all keys of `other`.
  void add(const GgufMetadata& other) {
    for (const auto& [key, value] : other.entries_) add(key, value);
  }

  const GgufValue* find(std::string_view key) const;

  /// Value of a key; nullopt if it does not exist. T: bool, std::string, double, or an integer type, which reads every
  /// integer type that can represent the value. A float32 is read as the double of its shortest decimal form, so that
  /// 1e-6 is 1e-6. Throws Error for another type.
  template <class T>
  std::optional<T> get(std::string_view key) const {
    const GgufValue* value = find(key);
    if (!value) return std::nullopt;
    if (value->is_array) fail(key, *value, "a single value");
    if constexpr (std::is_same_v<T, std::string>) {
      if (value->type != GgufType::string) fail(key, *value, "a string");
      return value->bytes;
    } else if constexpr (std::is_same_v<T, bool>) {
      if (value->type != GgufType::boolean) fail(key, *value, "a bool");
      return value->bytes[0] != 0;
    } else {
      return number<T>(key, *value, 0);
    }
  }
  /// Value of a key that must exist.
  template <class T>
  T require(std::string_view key) const {
    if (std::optional<T> value = get<T>(key)) return *std::move(value);
    throw Error("{}: the key {} is missing", where_, key);
  }

  /// Elements of an array of numbers; empty if the key does not exist. Throws Error for another type.
  template <class T>
  std::vector<T> get_numbers(std::string_view key) const {
    std::vector<T> list;
    const GgufValue* value = find(key);
    if (!value) return list;
    if (!value->is_array || value->type == GgufType::string) fail(key, *value, "an array of numbers");
    list.reserve(value->size());
    for (std::size_t i = 0; i < value->size(); ++i) list.push_back(number<T>(key, *value, i));
    return list;
  }

  /// Elements of an array of strings; nullptr if the key does not exist. Throws Error for another type.
  const std::vector<std::string>* get_texts(std::string_view key) const;

 private:
  [[noreturn]] void fail(std::string_view key, const GgufValue& value, std::string_view wanted) const;

  template <class T>
  T number(std::string_view key, const GgufValue& value, std::size_t index) const {
    const char* const from = value.bytes.data() + index * gguf_type_bytes(value.type);
    std::optional<T> result;
    const auto take = [&]<class From>(From x) {
      std::memcpy(&x, from, sizeof(x));
      if constexpr (std::is_same_v<T, float>)
        result = static_cast<float>(x);
      else if constexpr (std::is_same_v<T, double>)
        result = std::is_same_v<From, float> ? shortest_decimal(static_cast<float>(x)) : static_cast<double>(x);
      else if constexpr (std::integral<From>)
        if (std::in_range<T>(x)) result = static_cast<T>(x);
    };
    switch (value.type) {
      case GgufType::u8:
        take(std::uint8_t{});
        break;
      case GgufType::i8:
        take(std::int8_t{});
        break;
      case GgufType::u16:
        take(std::uint16_t{});
        break;
      case GgufType::i16:
        take(std::int16_t{});
        break;
      case GgufType::u32:
        take(std::uint32_t{});
        break;
      case GgufType::i32:
        take(std::int32_t{});
        break;
      case GgufType::u64:
        take(std::uint64_t{});
        break;
      case GgufType::i64:
        take(std::int64_t{});
        break;
      case GgufType::f32:
        take(float{});
        break;
      case GgufType::f64:
        take(double{});
        break;
      default:
        break;
    }
    if (value.type == GgufType::boolean && value.is_array && std::integral<T>) result = static_cast<T>(*from != 0);
    if (!result) fail(key, value, std::integral<T> ? "an integer in range" : "a number");
    return *result;
  }

  static double shortest_decimal(float value);

  std::string where_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE void GgufMetadata::add(std::string key, GgufValue value) {
  if (!index_.emplace(key, entries_.size()).second)
    throw Error("{}: the key {} occurs twice", where_, excerpt(key, 80));
  entries_.emplace_back(std::move(key), std::move(value));
}

MODERNGPT2_INLINE const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = index_.find(std::string(key));
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

MODERNGPT2_INLINE const std::vector<std::string>* GgufMetadata::get_texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return nullptr;
  if (!value->is_array || value->type != GgufType::string) fail(key, *value, "an array of strings");
  return &value->strings;
}

MODERNGPT2_INLINE void GgufMetadata::fail(std::string_view key, const GgufValue& value, std::string_view wanted) const {
  throw Error("{}: the key {} must be {}, found {}{}", where_, key, wanted, value.is_array ? "an array of " : "",
              gguf_type_name(value.type));
}

MODERNGPT2_INLINE double GgufMetadata::shortest_decimal(float value) {
  std::array<char, 64> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  double result = static_cast<double>(value);
  if (error == std::errc()) (void)std::from_chars(text.data(), end, result);
  return result;
}

}  // namespace moderngpt2

#endif
