#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/jinja_expression.hpp"

namespace moderngpt2 {

/// Renders a chat template: the part of Jinja that templates of plain conversations use, with the settings of
/// Transformers (trim_blocks, lstrip_blocks). Statements: for, if, elif, else, set. Expressions: text, whole numbers,
/// lists, `.name`, `[index]`, `[a:b]`, + ~ - %, comparisons, in, and, or, not, `a if b else c`, `is [not] defined`, the
/// filters trim, upper, lower, capitalize, length, the methods strip, upper, lower, and raise_exception(). Throws an
/// Error that names what is not supported, and for an exception of the template.
std::string render_jinja(std::string_view source, const Json& variables);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Part of a template: text, an expression, or a statement.
struct JinjaPart {
  enum class Kind : unsigned char { text, output, statement } kind;
  std::string body;
};

/// End of a tag: the first `close` outside of quotes.
inline std::size_t jinja_tag_end(std::string_view source, std::size_t at, std::string_view close) {
  char quote = 0;
  for (; at + 1 < source.size(); ++at) {
    if (quote) {
      if (source[at] == '\\')
        ++at;
      else if (source[at] == quote)
        quote = 0;
    } else if (close != "#}" && (source[at] == '\'' || source[at] == '"')) {
      quote = source[at];
    } else if (source.substr(at, 2) == close) {
      return at;
    }
  }
  return source.npos;
}

/// Divides a template at its tags and applies the control of white space.
inline std::vector<JinjaPart> jinja_parts(std::string_view source) {
  constexpr std::string_view white = " \t\r\n";
  using Kind = JinjaPart::Kind;
  std::vector<JinjaPart> parts;
  bool strip_next = false, trim_next = false, is_first = true;
  while (true) {
    std::size_t at = 0;
    while (at < source.size() && !(source[at] == '{' && at + 1 < source.size() &&
                                   std::string_view("{%#").find(source[at + 1]) != std::string_view::npos))
      ++at;
    const bool is_last = at == source.size();
    std::string text(source.substr(0, at));
    const char kind = is_last ? 0 : source[at + 1];
    std::string_view body;
    if (!is_last) {
      const std::size_t end = jinja_tag_end(source, at + 2, kind == '{' ? "}}" : kind == '%' ? "%}" : "#}");
      if (end == source.npos) throw Error("a tag has no end: {}", excerpt(std::string(source.substr(at, 60))));
      body = source.substr(at + 2, end - at - 2);
      source.remove_prefix(end + 2);
    }
    if (body.starts_with('-')) {
      text.erase(text.find_last_not_of(white) + 1);
    } else if (!is_last && kind != '{' && !body.starts_with('+')) {  // lstrip_blocks
      const std::size_t last = text.find_last_not_of(" \t");
      if (last == text.npos ? is_first : text[last] == '\n') text.erase(last == text.npos ? 0 : last + 1);
    }
    if (strip_next)
      text.erase(0, std::min(text.find_first_not_of(white), text.size()));
    else if (trim_next && text.starts_with('\n'))  // trim_blocks
      text.erase(0, 1);
    parts.push_back({Kind::text, text});
    if (is_last) return parts;
    is_first = false;
    if (body.starts_with('-') || body.starts_with('+')) body.remove_prefix(1);
    strip_next = body.ends_with('-'), trim_next = kind != '{' && !body.ends_with('+');
    if (body.ends_with('-') || body.ends_with('+')) body.remove_suffix(1);
    if (kind != '#') parts.push_back({kind == '{' ? Kind::output : Kind::statement, std::string(body)});
  }
}

/// Runs the parts of a template.
class JinjaRenderer {
 public:
  JinjaRenderer(std::vector<JinjaPart> parts, const Json& variables)
      : parts_(std::move(parts)), variables_(variables) {}

  std::string render() {
    if (block(0, true) < parts_.size()) JinjaExpression::unsupported(parts_[last_].body);
    return out_;
  }

 private:
  /// Runs parts from `at` on, or skips them, up to the statement that ends or divides the block. Returns its index.
  std::size_t block(std::size_t at, bool runs) {
    if (++depth_ > 60) throw Error("statements are nested too deeply");
    for (; at < parts_.size(); ++at) {
      if (++steps_ > 100'000 || out_.size() > 1 << 22)
        throw Error("the template takes more than 100,000 steps or writes more than 4 MiB");
      const JinjaPart& part = parts_[at];
      if (part.kind == JinjaPart::Kind::text) {
        if (runs) out_ += part.body;
      } else if (part.kind == JinjaPart::Kind::output) {
        if (runs) out_ += JinjaExpression::text(JinjaExpression(part.body, variables_).value());
      } else {
        JinjaExpression statement(part.body, variables_);
        const std::string name = statement.word();
        if (name == "for") {
          at = loop(at, statement, runs);
        } else if (name == "if") {
          at = branches(at, statement, runs);
        } else if (name == "set") {
          const std::string variable = statement.word();
          if (!statement.accept("=")) JinjaExpression::unsupported(part.body);
          if (runs) variables_[variable] = statement.value();
        } else if (name == "elif" || name == "else" || name == "endif" || name == "endfor") {
          break;
        } else if (name != "generation" && name != "endgeneration") {
          JinjaExpression::unsupported("the statement " + name);
        }
      }
    }
    --depth_;
    return last_ = at;
  }

  std::string name_at(std::size_t at) const {
    return at < parts_.size() ? JinjaExpression(parts_[at].body, variables_).word() : std::string();
  }
  void expect(std::size_t at, const std::string& name) const {
    if (name_at(at) != name) throw Error("{} is missing", name);
  }

  std::size_t loop(std::size_t at, JinjaExpression& statement, bool runs) {
    const std::string variable = statement.word();
    if (!statement.accept("in")) JinjaExpression::unsupported(parts_[at].body);
    const Json list = runs ? statement.value() : Json::array();
    if (!list.is_array() && !list.is_null()) throw Error("for needs a list, found {}", json_excerpt(list));
    std::size_t end = at;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Json outer = variables_;
      variables_[variable] = list[i];
      variables_["loop"] = {{"index", i + 1},        {"index0", i},
                            {"first", i == 0},       {"last", i + 1 == list.size()},
                            {"length", list.size()}, {"revindex", list.size() - i}};
      end = block(at + 1, true);
      variables_ = outer;
    }
    if (list.empty()) end = block(at + 1, false);
    if (name_at(end) == "else") end = block(end + 1, runs && list.empty());
    expect(end, "endfor");
    return end;
  }

  std::size_t branches(std::size_t at, JinjaExpression& condition, bool runs) {
    bool holds = runs && JinjaExpression::is_true(condition.value()), taken = holds;
    std::size_t end = block(at + 1, holds);
    while (name_at(end) == "elif") {
      JinjaExpression next(parts_[end].body, variables_);
      next.word();
      holds = runs && !taken && JinjaExpression::is_true(next.value());
      taken = taken || holds;
      end = block(end + 1, holds);
    }
    if (name_at(end) == "else") end = block(end + 1, runs && !taken);
    expect(end, "endif");
    return end;
  }

  std::vector<JinjaPart> parts_;
  Json variables_;
  std::string out_;
  std::size_t last_ = 0, steps_ = 0;
  int depth_ = 0;
};

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string render_jinja(std::string_view source, const Json& variables) {
  // Jinja drops the final line feed of a template.
  if (source.ends_with('\n')) source.remove_suffix(1);
  return detail::JinjaRenderer(detail::jinja_parts(source), variables).render();
}

}  // namespace moderngpt2

#endif
