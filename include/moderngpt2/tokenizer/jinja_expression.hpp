#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2::detail {

/// Evaluates expressions, token by token.
class JinjaExpression {
 public:
  JinjaExpression(const std::string& text, const Json& variables) : variables_(variables) { split(text); }

  Json value() {
    Json result = choice();
    if (at_ < words_.size()) unsupported(words_[at_]);
    return result;
  }
  /// Parses `name in`, `name =` and the like: returns the next word and skips it.
  std::string word() { return at_ < words_.size() ? words_[at_++] : std::string(); }
  bool accept(std::string_view expected) {
    if (at_ >= words_.size() || words_[at_] != expected) return false;
    return ++at_, true;
  }

  static bool is_true(const Json& v) {
    if (v.is_boolean()) return v.get<bool>();
    if (v.is_number()) return v.get<double>() != 0;
    if (v.is_string()) return !v.get_ref<const std::string&>().empty();
    return !v.is_null() && !v.empty();
  }
  static std::string text(const Json& v) {
    if (v.is_string()) return v.get<std::string>();
    if (v.is_null()) return {};
    if (v.is_boolean()) return v.get<bool>() ? "True" : "False";
    if (v.is_number_integer()) return v.dump();
    throw Error("the output of {} is not supported", json_excerpt(v));
  }
  [[noreturn]] static void unsupported(const std::string& what) { throw Error("{} is not supported", excerpt(what)); }

 private:
  void split(const std::string& s) {
    for (std::size_t i = 0; i < s.size();) {
      const char c = s[i];
      if (std::string_view(" \t\r\n").find(c) != std::string_view::npos) {
        ++i;
      } else if (c == '\'' || c == '"') {
        std::string word(1, '\'');
        for (++i; i < s.size() && s[i] != c; ++i) {
          if (s[i] != '\\' || i + 1 >= s.size()) {
            word += s[i];
            continue;
          }
          ++i;
          word += s[i] == 'n' ? '\n' : s[i] == 't' ? '\t' : s[i] == 'r' ? '\r' : s[i];
        }
        ++i;
        words_.push_back(word);
      } else if (is_name(c)) {
        const std::size_t first = i;
        while (i < s.size() && is_name(s[i])) ++i;
        words_.push_back(s.substr(first, i - first));
      } else {
        const std::string two = s.substr(i, 2);
        const bool is_two = two == "==" || two == "!=" || two == "<=" || two == ">=";
        words_.push_back(is_two ? two : std::string(1, c));
        i += words_.back().size();
      }
    }
  }
  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }

  Json choice() {
    Deeper depth(depth_);
    Json first = any();
    if (!accept("if")) return first;
    const bool holds = is_true(any());
    Json other = accept("else") ? choice() : Json(nullptr);
    return holds ? first : other;
  }
  Json any() {
    Json v = all();
    while (accept("or")) {
      Json next = all();
      if (!is_true(v)) v = std::move(next);
    }
    return v;
  }
  Json all() {
    Json v = negation();
    while (accept("and")) {
      Json next = negation();
      if (is_true(v)) v = std::move(next);
    }
    return v;
  }
  Json negation() {
    Deeper depth(depth_);
    return accept("not") ? Json(!is_true(negation())) : comparison();
  }
  Json comparison() {
    Json v = sum();
    while (true) {
      if (accept("=="))
        v = Json(v == sum());
      else if (accept("!="))
        v = Json(v != sum());
      else if (accept("<="))
        v = Json(v <= sum());
      else if (accept(">="))
        v = Json(v >= sum());
      else if (accept("<"))
        v = Json(v < sum());
      else if (accept(">"))
        v = Json(v > sum());
      else if (accept("in"))
        v = Json(contains(sum(), v));
      else if (at_ + 1 < words_.size() && words_[at_] == "not" && words_[at_ + 1] == "in")
        at_ += 2, v = Json(!contains(sum(), v));
      else if (accept("is"))
        v = Json(test(v));
      else
        return v;
    }
  }
  bool test(const Json& v) {
    const bool negated = accept("not");
    const std::string kind = word();
    bool holds = false;
    if (kind == "defined")
      holds = !v.is_null();
    else if (kind == "none" || kind == "undefined")
      holds = v.is_null();
    else if (kind == "string")
      holds = v.is_string();
    else if (kind == "mapping")
      holds = v.is_object();
    else if (kind == "iterable" || kind == "sequence")
      holds = v.is_array() || v.is_string() || v.is_object();
    else if (kind == "true")
      holds = v == true;
    else if (kind == "false")
      holds = v == false;
    else
      unsupported("the test " + kind);
    return holds != negated;
  }
  static bool contains(const Json& list, const Json& v) {
    if (list.is_string() && v.is_string())
      return list.get_ref<const std::string&>().find(v.get_ref<const std::string&>()) != std::string::npos;
    if (list.is_object()) return v.is_string() && list.contains(v.get<std::string>());
    for (const Json& item : list)
      if (item == v) return true;
    return false;
  }
  static std::string joined(const Json& a, const Json& b) {
    std::string result = text(a) + text(b);
    if (result.size() > 1 << 20) throw Error("a text is longer than 1 MiB");
    return result;
  }
  static long whole(const Json& v) {
    constexpr long most = 1'000'000'000;
    if (!v.is_number_integer() || v > most || v < -most)
      throw Error("{} is not an integer of at most nine digits", json_excerpt(v));
    return v.get<long>();
  }
  Json sum() {
    Json v = remainder();
    while (true) {
      if (accept("+")) {
        const Json next = remainder();
        v = v.is_string() && next.is_string() ? Json(joined(v, next)) : Json(whole(v) + whole(next));
      } else if (accept("~")) {
        v = joined(v, remainder());
      } else if (accept("-")) {
        v = whole(v) - whole(remainder());
      } else {
        return v;
      }
    }
  }
  Json remainder() {
    Json v = operand();
    while (accept("%")) {
      const long by = whole(operand());
      if (by == 0) throw Error("a division by zero");
      v = whole(v) % by;
    }
    return v;
  }
  Json operand() {
    Json v = primary();
    while (true) {
      if (accept(".")) {
        const std::string name = word();
        v = accept("(") ? method(v, name) : member(v, name);
      } else if (accept("[")) {
        Json key, end;
        bool is_slice = accept(":");
        if (!is_slice) key = choice(), is_slice = accept(":");
        if (is_slice && (at_ >= words_.size() || words_[at_] != "]")) end = choice();
        if (!accept("]")) throw Error("an index has no end");
        v = is_slice ? slice(v, key, end) : member(v, key);
      } else if (accept("|")) {
        const std::string name = word();
        if (accept("(")) unsupported("the filter " + name + " with arguments");
        v = filter(v, name);
      } else {
        return v;
      }
    }
  }
  static Json member(const Json& v, const Json& key) {
    if (v.is_object() && key.is_string())
      return v.contains(key.get<std::string>()) ? v[key.get<std::string>()] : Json(nullptr);
    if (v.is_array() && key.is_number_integer()) {
      const long n = long(v.size()), i = key.get<long>() < 0 ? key.get<long>() + n : key.get<long>();
      return i >= 0 && i < n ? v[std::size_t(i)] : Json(nullptr);
    }
    if (v.is_null()) return nullptr;
    throw Error("{} has no member {}", json_excerpt(v), json_excerpt(key));
  }
  /// Items [begin, end) of a list; null: from the start, to the end.
  static Json slice(const Json& v, const Json& begin, const Json& end) {
    if (!v.is_array()) unsupported("a slice of a value that is not a list");
    const long n = long(v.size());
    const auto position = [&](const Json& i, long otherwise) {
      if (i.is_null()) return otherwise;
      return std::clamp(whole(i) < 0 ? whole(i) + n : whole(i), 0L, n);
    };
    Json items = Json::array();
    for (long i = position(begin, 0); i < position(end, n); ++i) items.push_back(v[std::size_t(i)]);
    return items;
  }
  Json method(const Json& v, const std::string& name) {
    if (!accept(")")) unsupported("the method " + name + " with arguments");
    if (name == "strip") return filter(v, "trim");
    if (name == "upper" || name == "lower") return filter(v, name);
    unsupported("the method " + name);
  }
  static Json filter(const Json& v, const std::string& name) {
    if (name == "length" || name == "count") return v.is_string() ? text(v).size() : v.size();
    if (name == "string" || name == "safe") return text(v);
    if (name != "trim" && name != "upper" && name != "lower" && name != "capitalize") unsupported("the filter " + name);
    std::string s = text(v);
    if (name == "trim") {
      s.erase(s.find_last_not_of(" \t\r\n\f\v") + 1);
      s.erase(0, std::min(s.find_first_not_of(" \t\r\n\f\v"), s.size()));
      return s;
    }
    for (std::size_t i = 0; i < s.size(); ++i) {
      const bool up = name == "upper" || (name == "capitalize" && i == 0);
      if (up && s[i] >= 'a' && s[i] <= 'z') s[i] = char(s[i] - 'a' + 'A');
      if (!up && s[i] >= 'A' && s[i] <= 'Z') s[i] = char(s[i] - 'A' + 'a');
    }
    return s;
  }
  Json primary() {
    Deeper depth(depth_);
    const std::string w = word();
    if (w.empty()) throw Error("an expression is incomplete");
    if (w[0] == '\'') return w.substr(1);
    if (w == "(") {
      Json v = choice();
      if (!accept(")")) unsupported("a list in parentheses");
      return v;
    }
    if (w == "[") {
      Json list = Json::array();
      while (!accept("]")) {
        list.push_back(choice());
        if (!accept(",") && (at_ >= words_.size() || words_[at_] != "]")) throw Error("a list has no end");
      }
      if (list.dump(-1, ' ', false, Json::error_handler_t::replace).size() > 1 << 20)
        throw Error("a list is longer than 1 MiB");
      return list;
    }
    if (w == "-") return -whole(primary());
    if (w[0] >= '0' && w[0] <= '9') {
      if (w.size() > 9 || w.find_first_not_of("0123456789") != w.npos) unsupported("the number " + w);
      return std::strtol(w.c_str(), nullptr, 10);
    }
    if (!is_name(w[0])) unsupported(w);
    if (w == "true" || w == "True") return true;
    if (w == "false" || w == "False") return false;
    if (w == "none" || w == "None") return nullptr;
    if (accept("(")) {
      if (w != "raise_exception") unsupported("the function " + w);
      throw Error("the template refuses the conversation: {}", excerpt(text(choice())));
    }
    return variables_.contains(w) ? variables_[w] : Json(nullptr);
  }

  struct Deeper {
    explicit Deeper(int& depth) : depth_(depth) {
      if (++depth_ > 200) throw Error("an expression is nested too deeply");
    }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    int& depth_;
  };

  const Json& variables_;
  std::vector<std::string> words_;  // texts begin with a quote
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace moderngpt2::detail
