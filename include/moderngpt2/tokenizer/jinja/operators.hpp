#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/arguments.hpp"
#include "moderngpt2/tokenizer/jinja/filters.hpp"
#include "moderngpt2/tokenizer/jinja/text.hpp"
#include "moderngpt2/tokenizer/jinja/value.hpp"

// Operators and functions of templates, as Python computes them.
namespace moderngpt2::detail {

inline std::int64_t jinja_integer_result(std::string_view sign, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool overflows = false;
  if (sign == "+") overflows = __builtin_add_overflow(a, b, &out);
  if (sign == "-") overflows = __builtin_sub_overflow(a, b, &out);
  if (sign == "*") overflows = __builtin_mul_overflow(a, b, &out);
  if (sign == "//" || sign == "%") {
    if (b == 0) throw Error("a division by zero");
    if (b == -1) return sign == "%" ? 0 : jinja_integer_result("-", 0, a);
    out = sign == "%" ? a % b : a / b;
    const bool rounds = a % b != 0 && (a < 0) != (b < 0);  // Python rounds to minus infinity
    if (rounds) out += sign == "%" ? b : -1;
  }
  if (overflows) throw Error("an integer overflows");
  return out;
}

inline JinjaValue jinja_arithmetic(const std::string& sign, const JinjaValue& a, const JinjaValue& b,
                                   JinjaBudget& budget) {
  if (sign == "~") return jinja_text(a, budget) + jinja_text(b, budget);
  if (sign == "+" && a.is_string() && b.is_string()) {
    budget.charge(a.string().size() + b.string().size());
    return a.string() + b.string();
  }
  if (sign == "+" && a.is_list() && b.is_list() && a.is_tuple() == b.is_tuple()) {
    budget.charge((a.list().size() + b.list().size()) * 32);
    JinjaValue::List all = a.list();
    all.insert(all.end(), b.list().begin(), b.list().end());
    return {std::move(all), a.is_tuple()};
  }
  if (sign == "*" && a.is_string() && b.is_integer()) {
    const std::size_t times = std::size_t(std::clamp<std::int64_t>(b.integer(), 0, 1 << 25));
    budget.charge(times * (a.string().size() + 1));
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += a.string();
    return out;
  }
  if (a.is_undefined() || b.is_undefined()) throw Error("an undefined value has no operator {}", sign);
  if (!a.is_number() || !b.is_number()) throw Error("{} and {} have no operator {}", a.type(), b.type(), sign);
  if (a.is_integer() && b.is_integer() && sign != "/") return jinja_integer_result(sign, a.integer(), b.integer());
  const double x = a.number(), y = b.number();
  if (sign == "+") return x + y;
  if (sign == "-") return x - y;
  if (sign == "*") return x * y;
  if (y == 0) throw Error("a division by zero");
  if (sign == "/") return x / y;
  const double whole = std::floor(x / y);
  return sign == "//" ? whole : x - whole * y;
}

/// Result of the subscript `value[index]`.
inline JinjaValue jinja_item(const JinjaValue& v, const JinjaValue& index, JinjaBudget& budget) {
  if (v.is_undefined()) throw Error("an undefined value has no items");
  if (v.is_dict()) {
    const JinjaValue* item = v.field(index);
    return item ? *item : JinjaValue();
  }
  if (index.is_string()) return v.names() ? jinja_member(v, index.string()) : JinjaValue();
  if (!index.is_integer() || (!v.is_list() && !v.is_string())) return {};
  const std::int64_t n = jinja_size(v), i = index.integer() < 0 ? index.integer() + n : index.integer();
  if (i < 0 || i >= n) return {};
  if (v.is_list()) return v.list()[std::size_t(i)];
  budget.charge(v.string().size());
  return jinja_characters(v.string())[std::size_t(i)];
}

/// Result of the slice `value[begin:end:step]`. Undefined or none: the whole range, step 1.
inline JinjaValue jinja_slice(const JinjaValue& v, const JinjaValue& begin, const JinjaValue& end,
                              const JinjaValue& step, JinjaBudget& budget) {
  if (!v.is_list() && !v.is_string()) throw Error("{} has no slices", v.type());
  const JinjaValue::List items = jinja_items(v, budget);
  const std::int64_t n = std::int64_t(items.size());
  const auto whole = [](const JinjaValue& i, std::int64_t otherwise) {
    if (i.is_undefined() || i.is_none()) return otherwise;
    if (!i.is_integer()) throw Error("a slice needs integers, found {}", i.type());
    return i.integer();
  };
  const std::int64_t by = whole(step, 1);
  if (by == 0) throw Error("the step of a slice is zero");
  const auto position = [&](const JinjaValue& i, std::int64_t otherwise) {
    const std::int64_t at = whole(i, otherwise);
    if (i.is_undefined() || i.is_none()) return otherwise;
    return by > 0 ? std::clamp<std::int64_t>(at < 0 ? at + n : at, 0, n)
                  : std::clamp<std::int64_t>(at < 0 ? at + n : at, -1, n - 1);
  };
  const std::int64_t first = position(begin, by > 0 ? 0 : n - 1), last = position(end, by > 0 ? n : -1);
  JinjaValue::List out;
  for (std::int64_t i = first; by > 0 ? i < last : i > last;) {
    out.push_back(items[std::size_t(i)]);
    if (by > n || by < -n) break;
    i += by;
  }
  if (v.is_string()) return jinja_join(out, "", budget);
  return {std::move(out), v.is_tuple()};
}

/// Local time in a format of strftime().
inline std::string jinja_strftime(const std::string& format) {
  constexpr std::string_view known = "aAbBcdHIjmMpSUwWxXyYZzfFTDeRnt%-";
  if (format.size() > 200) throw Error("strftime_now has a format of more than 200 bytes");
  for (std::size_t i = format.find('%'); i != format.npos; i = format.find('%', i + 2))
    if (i + 1 >= format.size() || known.find(format[i + 1]) == known.npos)
      throw Error("strftime_now: the format {} is not supported", excerpt(format));
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[4096];
  return std::string(text, std::strftime(text, sizeof text, format.c_str(), &local));
}

/// Built-in functions of templates, except namespace().
inline JinjaValue jinja_function(const std::string& name, const JinjaArguments& arguments, JinjaBudget& budget) {
  if (name == "raise_exception")
    throw Error("the template refuses the conversation: {}", excerpt(jinja_text(arguments.get(0, "message"), budget)));
  if (name == "strftime_now") return jinja_strftime(arguments.string(0, "format"));
  if (name == "dict") {
    if (!arguments.positional.empty()) throw Error("dict() with an argument without name is not supported");
    JinjaValue::Dict fields;
    for (const auto& [name_of, value] : arguments.named) fields.emplace_back(JinjaValue(name_of), value);
    return fields;
  }
  if (name == "range") {
    arguments.expect(3);
    const bool one = arguments.positional.size() == 1;
    const std::int64_t first = one ? 0 : arguments.integer_or(0, "", 0),
                       last = arguments.integer_or(one ? 0 : 1, "", 0), by = arguments.integer_or(2, "", 1);
    if (by == 0) throw Error("range needs a step");
    JinjaValue::List out;
    for (std::int64_t i = first; by > 0 ? i < last : i > last;) {
      budget.charge(32);
      if (out.size() == 100'000) throw Error("range has more than 100,000 items");
      out.emplace_back(i);
      if (__builtin_add_overflow(i, by, &i)) break;
    }
    return out;
  }
  throw Error("the function {} is not supported", excerpt(name, 40));
}

}  // namespace moderngpt2::detail
