#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/arguments.hpp"
#include "moderngpt2/tokenizer/jinja/methods.hpp"
#include "moderngpt2/tokenizer/jinja/text.hpp"
#include "moderngpt2/tokenizer/jinja/value.hpp"

namespace moderngpt2::detail {

/// Attribute or item `name` of a value; undefined if it has none.
inline JinjaValue jinja_member(const JinjaValue& v, const std::string& name) {
  if (v.is_undefined()) throw Error("an undefined value has no member {}", excerpt(name, 40));
  if (const auto* names = v.names()) {
    const JinjaValue key(name);
    for (const auto& [field, item] : *names->fields)
      if (field == key) return item;
    return {};
  }
  const JinjaValue* item = v.field(JinjaValue(name));
  return item ? *item : JinjaValue();
}

/// Items of a list, characters of a text, or keys of a dictionary.
inline JinjaValue::List jinja_items(const JinjaValue& v, JinjaBudget& budget) {
  JinjaValue::List out;
  if (v.is_list()) {
    out = v.list();
  } else if (v.is_string()) {
    budget.charge(v.string().size() * 32);
    for (const std::string_view c : jinja_characters(v.string())) out.emplace_back(c);
  } else if (v.is_dict()) {
    for (const auto& [key, item] : v.dict()) out.push_back(key);
  } else if (!v.is_undefined()) {
    throw Error("{} cannot be iterated over", v.type());
  }
  budget.charge(out.size() * 32);
  return out;
}

inline std::int64_t jinja_size(const JinjaValue& v) {
  if (v.is_string()) return std::int64_t(jinja_length(v.string()));
  if (v.is_list()) return std::int64_t(v.list().size());
  if (v.is_dict()) return std::int64_t(v.dict().size());
  if (v.is_undefined()) return 0;
  throw Error("{} has no length", v.type());
}

inline bool jinja_contains(const JinjaValue& in, const JinjaValue& v, JinjaBudget& budget) {
  if (in.is_string()) {
    budget.charge(in.string().size());
    if (!v.is_string()) throw Error("a text cannot contain {}", v.type());
    return in.string().find(v.string()) != std::string::npos;
  }
  if (in.is_dict()) return in.field(v) != nullptr;
  if (in.is_undefined()) return false;
  if (!in.is_list()) throw Error("{} cannot contain anything", in.type());
  budget.charge(in.weight());
  return std::find(in.list().begin(), in.list().end(), v) != in.list().end();
}

/// Result of a test (`value is name(arguments)`).
inline bool jinja_test(const std::string& name, const JinjaValue& v, const JinjaArguments& arguments,
                       JinjaBudget& budget) {
  const auto is = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* other) { return name == other; });
  };
  const auto whole = [&]() -> std::int64_t {
    if (!v.is_integer()) throw Error("the test {} needs an integer, found {}", name, v.type());
    return v.integer();
  };
  if (name == "defined") return !v.is_undefined();
  if (name == "undefined") return v.is_undefined();
  if (name == "none") return v.is_none();
  if (name == "string") return v.is_string();
  if (name == "mapping") return v.is_dict();
  if (is({"sequence", "iterable"})) return v.is_list() || v.is_string() || v.is_dict() || v.is_undefined();
  if (name == "number") return v.is_number();
  if (name == "integer") return v.is_integer() && !v.is_bool();
  if (name == "float") return v.is_float();
  if (name == "boolean") return v.is_bool();
  if (name == "true") return v.is_bool() && v.truth();
  if (name == "false") return v.is_bool() && !v.truth();
  if (name == "callable") return v.is_callable();
  if (name == "odd") return whole() % 2 != 0;
  if (name == "even") return whole() % 2 == 0;
  if (is({"upper", "lower"}))
    return jinja_string_method(jinja_text(v, budget), "is" + name, {name, {}, {}}, budget).truth();
  if (name == "divisibleby") {
    const std::int64_t by = arguments.integer_or(0, "num", 0);
    if (by == 0) throw Error("a division by zero");
    return by == -1 || whole() % by == 0;
  }
  if (name == "in") return jinja_contains(arguments.get(0), v, budget);
  if (is({"eq", "equalto", "==", "sameas"})) return v == arguments.get(0);
  if (is({"ne", "!="})) return !(v == arguments.get(0));
  if (is({"lt", "lessthan", "<"})) return v < arguments.get(0);
  if (is({"gt", "greaterthan", ">"})) return arguments.get(0) < v;
  if (is({"le", "<="})) return !(arguments.get(0) < v);
  if (is({"ge", ">="})) return !(v < arguments.get(0));
  throw Error("the test {} is not supported", excerpt(name, 40));
}

/// Filters of templates: `value | name(arguments)`.
class JinjaFilters {
 public:
  explicit JinjaFilters(JinjaBudget& budget) : budget_(budget) {}

  JinjaValue apply(const std::string& name, const JinjaValue& v, const JinjaArguments& arguments) {
    if (name == "map" || name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr")
      return each(name, v, arguments);
    if (name == "length" || name == "count") return jinja_size(v);
    if (name == "tojson") return to_json(v, arguments);
    if (name == "default" || name == "d") {
      const bool replaces = v.is_undefined() || (arguments.truth_or(1, "boolean", false) && !v.truth());
      return !replaces ? v : arguments.find(0, "default_value") ? arguments.get(0, "default_value") : JinjaValue("");
    }
    if (name == "string" || name == "safe") return v.is_string() ? v : JinjaValue(text(v));
    if (name == "trim") return jinja_strip(text(v), arguments.find(0, "chars"), true, true);
    if (name == "upper" || name == "lower" || name == "capitalize")
      return jinja_string_method(text(v), name, {name, {}, {}}, budget_);
    if (name == "title") return jinja_title(text(v), true);
    if (name == "replace")
      return jinja_replace(text(v), text(arguments.get(0, "old")), text(arguments.get(1, "new")),
                           arguments.integer_or(2, "count", -1), budget_);
    if (name == "indent") return indent(text(v), arguments);
    if (name == "escape" || name == "e") return escape(text(v));
    if (name == "int") return to_integer(v, arguments.integer_or(0, "default", 0));
    if (name == "float") return to_float(v);
    if (name == "abs" || name == "round") return number(name, v, arguments);
    return of_list(name, v, arguments);
  }

 private:
  std::string text(const JinjaValue& v) { return jinja_text(v, budget_); }

  JinjaValue of_list(const std::string& name, const JinjaValue& v, const JinjaArguments& arguments) {
    if (name == "items") {
      if (v.is_undefined()) return JinjaValue::List();
      if (!v.is_dict()) throw Error("the filter items needs a dict, found {}", v.type());
      return jinja_dict_method(v, name, arguments);
    }
    if (name == "dictsort") {
      if (!v.is_dict()) throw Error("the filter dictsort needs a dict, found {}", v.type());
      JinjaValue::List out = jinja_dict_method(v, "items", {name, {}, {}}).list();
      const auto key = [&](const JinjaValue& item) { return sort_key(item.list()[0], arguments); };
      std::stable_sort(out.begin(), out.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
      return out;
    }
    JinjaValue::List items = jinja_items(v, budget_);
    const JinjaValue* attribute = arguments.find(99, "attribute");
    if (name == "list") return items;
    if (name == "first") return items.empty() ? JinjaValue() : items.front();
    if (name == "last") return items.empty() ? JinjaValue() : items.back();
    if (name == "join") {
      if (attribute)
        for (JinjaValue& item : items) item = member(item, *attribute);
      return jinja_join(items, arguments.find(0, "d") ? text(arguments.get(0, "d")) : "", budget_);
    }
    if (name == "reverse") {
      std::reverse(items.begin(), items.end());
      if (v.is_string()) return jinja_join(items, "", budget_);
      return items;
    }
    if (name == "sort" || name == "min" || name == "max") {
      budget_.charge(v.weight() * 64);
      const auto key = [&](const JinjaValue& item) {
        return sort_key(attribute ? member(item, *attribute) : item, arguments);
      };
      std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
      if (name != "sort") return items.empty() ? JinjaValue() : name == "min" ? items.front() : items.back();
      if (arguments.truth_or(0, "reverse", false)) std::reverse(items.begin(), items.end());
      return items;
    }
    if (name == "unique") {
      JinjaValue::List out;
      for (const JinjaValue& item : items)
        if (budget_.charge(out.size() * item.weight()); std::find(out.begin(), out.end(), item) == out.end())
          out.push_back(item);
      return out;
    }
    throw Error("the filter {} is not supported", excerpt(name, 40));
  }

  /// Key for sorting: text in lower case unless case_sensitive is set, other values unchanged.
  JinjaValue sort_key(const JinjaValue& v, const JinjaArguments& arguments) {
    if (!v.is_string() || arguments.truth_or(99, "case_sensitive", false)) return v;
    return jinja_string_method(v.string(), "lower", {"lower", {}, {}}, budget_);
  }

  /// Member by a path such as "function.name".
  static JinjaValue member(const JinjaValue& v, const JinjaValue& path) {
    if (!path.is_string()) throw Error("an attribute must be a text, found {}", path.type());
    JinjaValue out = v;
    const JinjaValue dot(".");
    for (const JinjaValue& name : jinja_split(path.string(), &dot, -1, false)) out = jinja_member(out, name.string());
    return out;
  }

  /// Applies the filter map, select, reject, selectattr or rejectattr.
  JinjaValue each(const std::string& name, const JinjaValue& v, const JinjaArguments& arguments) {
    JinjaValue::List out;
    if (!v.truth()) return out;
    const bool of_attribute = name.ends_with("attr"), rejects = name.starts_with("reject");
    const std::size_t skipped = of_attribute ? 1 : 0;
    JinjaArguments rest{arguments.where, {}, arguments.named};
    for (std::size_t i = skipped + 1; i < arguments.positional.size(); ++i)
      rest.positional.push_back(arguments.positional[i]);
    const JinjaValue* attribute = arguments.find(99, "attribute");
    for (const JinjaValue& item : jinja_items(v, budget_)) {
      if (name == "map") {
        if (attribute) {
          const JinjaValue value = member(item, *attribute);
          const JinjaValue* otherwise = arguments.find(99, "default");
          out.push_back(value.is_undefined() && otherwise ? *otherwise : value);
        } else {
          const std::string filter = arguments.string(0);
          if (filter == "map") throw Error("map of map is not supported");
          out.push_back(apply(filter, item, rest));
        }
        continue;
      }
      const JinjaValue tested = of_attribute ? member(item, arguments.get(0)) : item;
      const bool holds = arguments.positional.size() > skipped
                             ? jinja_test(arguments.string(skipped), tested, rest, budget_)
                             : tested.truth();
      if (holds != rejects) out.push_back(item);
    }
    return out;
  }

  JinjaValue to_json(const JinjaValue& v, const JinjaArguments& arguments) {
    arguments.expect(4, {"ensure_ascii", "indent", "separators", "sort_keys"});
    JinjaWriter::Style style{.json = true};
    style.ascii = arguments.truth_or(0, "ensure_ascii", false);
    style.indent = int(std::clamp<std::int64_t>(arguments.integer_or(1, "indent", -1), -1, 64));
    if (style.indent >= 0) style.comma = ",";
    const JinjaValue* separators = arguments.find(2, "separators");
    if (separators && !separators->is_none()) {
      const bool fits = separators->is_list() && separators->list().size() == 2 && separators->list()[0].is_string() &&
                        separators->list()[1].is_string();
      if (!fits) throw Error("tojson needs two separators");
      style.comma = separators->list()[0].string(), style.colon = separators->list()[1].string();
    }
    style.sort_keys = arguments.truth_or(3, "sort_keys", false);
    return JinjaWriter(style, budget_).write(v);
  }

  JinjaValue indent(const std::string& s, const JinjaArguments& arguments) {
    const JinjaValue* width = arguments.find(0, "width");
    const std::string space =
        width && width->is_string()
            ? width->string()
            : std::string(std::size_t(std::clamp<std::int64_t>(arguments.integer_or(0, "width", 4), 0, 1000)), ' ');
    std::string out = arguments.truth_or(1, "first", false) ? space : std::string();
    const bool blank = arguments.truth_or(2, "blank", false);
    for (std::size_t i = 0; i < s.size(); ++i) {
      out += s[i];
      if (s[i] != '\n' || (!blank && (i + 1 == s.size() || s[i + 1] == '\n'))) continue;
      budget_.charge(space.size());
      out += space;
    }
    return out;
  }

  static JinjaValue escape(const std::string& s) {
    std::string out;
    for (const char c : s) {
      if (c == '&')
        out += "&amp;";
      else if (c == '<')
        out += "&lt;";
      else if (c == '>')
        out += "&gt;";
      else if (c == '\'')
        out += "&#39;";
      else if (c == '"')
        out += "&#34;";
      else
        out += c;
    }
    return out;
  }

  static JinjaValue to_integer(const JinjaValue& v, std::int64_t otherwise) {
    if (v.is_integer()) return v.integer();
    const JinjaValue real = v.is_float() ? v : v.is_string() ? to_float(v) : JinjaValue();
    if (!real.is_float() || !(std::abs(real.number()) < 9e15)) return otherwise;
    return std::int64_t(real.number());
  }
  static JinjaValue to_float(const JinjaValue& v) {
    if (v.is_number()) return v.number();
    const std::string s = v.is_string() ? jinja_strip(v.string(), nullptr, true, true) : std::string();
    double value = 0;
    const auto [end, failed] = std::from_chars(s.data(), s.data() + s.size(), value);
    return failed == std::errc() && end == s.data() + s.size() ? value : 0.0;
  }
  static JinjaValue number(const std::string& name, const JinjaValue& v, const JinjaArguments& arguments) {
    if (!v.is_number()) throw Error("the filter {} needs a number, found {}", name, v.type());
    if (name == "abs")
      return v.is_float()
                 ? JinjaValue(std::abs(v.number()))
                 : JinjaValue(v.integer() < 0 ? -std::max(v.integer(), -std::numeric_limits<std::int64_t>::max())
                                              : v.integer());
    if (arguments.find(1, "method")) throw Error("the filter round with a method is not supported");
    const double scale =
        std::pow(10.0, double(std::clamp<std::int64_t>(arguments.integer_or(0, "precision", 0), -20, 20)));
    return std::nearbyint(v.number() * scale) / scale;
  }

  JinjaBudget& budget_;
};

}  // namespace moderngpt2::detail
