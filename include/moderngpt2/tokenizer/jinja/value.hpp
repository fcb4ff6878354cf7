#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2::detail {

struct JinjaMacro;

[[noreturn]] inline void jinja_unsupported(const std::string& what) {
  throw Error("{} is not supported", excerpt(what));
}

/// Value of an expression in a template, with the semantics of Python. Lists and dictionaries are immutable and shared.
class JinjaValue {
 public:
  using List = std::vector<JinjaValue>;
  using Dict = std::vector<std::pair<JinjaValue, JinjaValue>>;  // in order of insertion
  struct Undefined {};
  struct None {};
  /// List or tuple. They differ only when written as text.
  struct Sequence {
    std::shared_ptr<const List> items;
    bool is_tuple = false;
  };
  /// Result of namespace(): the only value that a template can change.
  struct Namespace {
    std::shared_ptr<Dict> fields;
  };
  /// Function of the interpreter, method of a value, or macro.
  struct Callable {
    std::string name;
    std::shared_ptr<const JinjaValue> self;
    std::shared_ptr<const JinjaMacro> macro;
  };

  JinjaValue() = default;  // undefined
  JinjaValue(None none) : value_(none) {}
  JinjaValue(bool b) : value_(b) {}
  JinjaValue(std::int64_t i) : value_(i) {}
  JinjaValue(double d) : value_(d) {}
  JinjaValue(std::string s)
      : value_(std::make_shared<const std::string>(std::move(s))), weight_(1 + string().size() / 16) {}
  JinjaValue(std::string_view s) : JinjaValue(std::string(s)) {}
  JinjaValue(const char* s) : JinjaValue(std::string(s)) {}
  JinjaValue(List items, bool is_tuple = false) {
    for (const JinjaValue& item : items) contain(item);
    value_ = Sequence{std::make_shared<const List>(std::move(items)), is_tuple};
  }
  JinjaValue(Dict fields) {
    for (const auto& [key, item] : fields) contain(key), contain(item);
    value_ = std::make_shared<const Dict>(std::move(fields));
  }
  JinjaValue(Namespace fields) : value_(std::move(fields)) {}
  JinjaValue(Callable callable) : value_(std::move(callable)) {}
  explicit JinjaValue(const Json& json) {
    if (json.is_null()) {
      value_ = None{};
    } else if (json.is_boolean()) {
      value_ = json.get<bool>();
    } else if (json.is_number_integer()) {
      value_ = json.get<std::int64_t>();
    } else if (json.is_number()) {
      value_ = json.get<double>();
    } else if (json.is_string()) {
      *this = JinjaValue(json.get<std::string>());
    } else if (json.is_array()) {
      List list;
      for (const Json& item : json) list.emplace_back(item);
      *this = JinjaValue(std::move(list));
    } else {
      Dict dict;
      for (const auto& [key, item] : json.items()) dict.emplace_back(JinjaValue(key), JinjaValue(item));
      *this = JinjaValue(std::move(dict));
    }
  }

  bool is_undefined() const { return std::holds_alternative<Undefined>(value_); }
  bool is_none() const { return std::holds_alternative<None>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  /// Whether the value is an int; true for a bool, as in Python.
  bool is_integer() const { return is_bool() || std::holds_alternative<std::int64_t>(value_); }
  bool is_float() const { return std::holds_alternative<double>(value_); }
  bool is_number() const { return is_integer() || is_float(); }
  bool is_string() const { return std::holds_alternative<std::shared_ptr<const std::string>>(value_); }
  bool is_list() const { return std::holds_alternative<Sequence>(value_); }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<const Dict>>(value_); }
  bool is_callable() const { return std::holds_alternative<Callable>(value_); }

  const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(value_); }
  const List& list() const { return *std::get<Sequence>(value_).items; }
  bool is_tuple() const { return is_list() && std::get<Sequence>(value_).is_tuple; }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(value_); }
  const Namespace* names() const { return std::get_if<Namespace>(&value_); }
  const Callable& callable() const { return std::get<Callable>(value_); }
  std::int64_t integer() const { return is_bool() ? std::get<bool>(value_) : std::get<std::int64_t>(value_); }
  double number() const { return is_float() ? std::get<double>(value_) : double(integer()); }

  /// Size for the limits: 1 for each contained value and for each 16 bytes of text. Shared values count each time.
  std::size_t weight() const { return weight_; }

  bool truth() const {
    if (is_undefined() || is_none()) return false;
    if (is_number()) return number() != 0;
    if (is_string()) return !string().empty();
    if (is_list()) return !list().empty();
    if (is_dict()) return !dict().empty();
    return true;
  }

  /// Name of the type for errors and repr.
  const char* type() const {
    return is_undefined() ? "an undefined value"
           : is_none()    ? "None"
           : is_bool()    ? "a bool"
           : is_integer() ? "an int"
           : is_float()   ? "a float"
           : is_string()  ? "a text"
           : is_list()    ? "a list"
           : is_dict()    ? "a dict"
           : names()      ? "a namespace"
                          : "a function";
  }

  /// Field of a dictionary; nullptr if it has none of this name.
  const JinjaValue* field(const JinjaValue& key) const {
    if (is_dict())
      for (const auto& [name, item] : dict())
        if (name == key) return &item;
    return nullptr;
  }

  friend bool operator==(const JinjaValue& a, const JinjaValue& b) {
    if (a.is_number() && b.is_number())
      return a.is_integer() && b.is_integer() ? a.integer() == b.integer() : a.number() == b.number();
    if (a.value_.index() != b.value_.index()) return false;
    if (a.is_string()) return a.string() == b.string();
    if (a.is_list()) return a.is_tuple() == b.is_tuple() && a.list() == b.list();
    if (a.is_dict()) {
      if (a.dict().size() != b.dict().size()) return false;
      for (const auto& [key, item] : a.dict()) {
        const JinjaValue* other = b.field(key);
        if (!other || !(item == *other)) return false;
      }
      return true;
    }
    return a.is_none() || a.is_undefined();
  }

  /// Whether a < b. Throws for types without an order.
  friend bool operator<(const JinjaValue& a, const JinjaValue& b) {
    if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
    if (a.is_number() && b.is_number()) return a.number() < b.number();
    if (a.is_string() && b.is_string()) return a.string() < b.string();
    if (a.is_list() && b.is_list()) {
      const List &x = a.list(), &y = b.list();
      for (std::size_t i = 0; i < x.size() && i < y.size(); ++i)
        if (!(x[i] == y[i])) return x[i] < y[i];
      return x.size() < y.size();
    }
    throw Error("{} and {} have no order", a.type(), b.type());
  }

 private:
  /// Limits depth and weight: values are compared and freed recursively.
  void contain(const JinjaValue& item) {
    weight_ += item.weight_, depth_ = std::max(depth_, item.depth_ + 1);
    if (weight_ > 1'000'000 || depth_ > 100) throw Error("a list or dict is too large or too deep");
  }

  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>, Sequence,
               std::shared_ptr<const Dict>, Namespace, Callable>
      value_;
  std::size_t weight_ = 1;
  int depth_ = 0;
};

/// Budget of one rendering, in units: 16 for a step, 1 for a byte of text. Exceeding it throws.
class JinjaBudget {
 public:
  void charge(std::size_t work) {
    if (work > left_) throw Error("the template takes too many steps or writes too much text");
    left_ -= work;
  }

 private:
  std::size_t left_ = std::size_t{1} << 25;
};

/// Limits the depth of nested calls.
struct JinjaDepth {
  JinjaDepth(int& depth, int most) : depth_(depth) {
    if (++depth_ > most) {
      --depth_;
      throw Error("the template is nested too deeply");
    }
  }
  ~JinjaDepth() { --depth_; }
  JinjaDepth(const JinjaDepth&) = delete;
  JinjaDepth& operator=(const JinjaDepth&) = delete;

 private:
  int& depth_;
};

/// Code points of UTF-8; an invalid byte counts as one.
inline std::vector<std::string_view> jinja_characters(std::string_view s) {
  std::vector<std::string_view> all;
  for (std::size_t i = 0; i < s.size();) {
    std::size_t end = i + 1;
    while (end < s.size() && (static_cast<unsigned char>(s[end]) & 0xC0U) == 0x80U) ++end;
    all.push_back(s.substr(i, end - i));
    i = end;
  }
  return all;
}

inline std::size_t jinja_length(std::string_view s) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < s.size(); ++i) n += i == 0 || (static_cast<unsigned char>(s[i]) & 0xC0U) != 0x80U;
  return n;
}

}  // namespace moderngpt2::detail
