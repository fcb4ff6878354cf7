#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/lexer.hpp"
#include "moderngpt2/tokenizer/jinja/syntax.hpp"

namespace moderngpt2::detail {

/// Parses expressions by recursive descent, with the precedence of jinja2.parser.
class JinjaExpressionParser {
 public:
  explicit JinjaExpressionParser(std::vector<JinjaToken> tokens) : tokens_(std::move(tokens)) {}

 protected:
  using Kind = JinjaNode::Kind;
  static constexpr int most_depth = 150;
  using Token = JinjaToken::Kind;

  const JinjaToken& token(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool is(Token kind) const { return token().kind == kind; }
  bool is_symbol(std::string_view text) const { return is(Token::symbol) && token().text == text; }
  bool is_word(std::string_view text) const { return is(Token::name) && token().text == text; }
  bool accept(std::string_view text) {
    if (!is_symbol(text) && !is_word(text)) return false;
    return ++at_, true;
  }
  [[noreturn]] void unexpected(std::string_view wanted) const {
    const JinjaToken& t = token();
    const bool is_end = t.kind == Token::block_end || t.kind == Token::output_end || t.kind == Token::end;
    throw Error("{} expected, found {}", wanted, is_end ? "the end of a tag" : excerpt(t.text));
  }
  void expect(std::string_view text) {
    if (!accept(text)) unexpected(text);
  }
  std::string name() {
    if (!is(Token::name)) unexpected("a name");
    return tokens_[at_++].text;
  }

  static JinjaNodePtr make(Kind kind, std::string name = {}) {
    auto node = std::make_unique<JinjaNode>();
    node->kind = kind, node->name = std::move(name);
    return node;
  }
  /// Adds a child; the height of trees is limited, since they are evaluated recursively.
  static void add(JinjaNode& node, JinjaNodePtr child) {
    if (child) node.height = std::max(node.height, child->height + 1);
    if (node.height > 150) throw Error("an expression is nested too deeply");
    node.children.push_back(std::move(child));
  }
  template <class... Children>
  static JinjaNodePtr make(Kind kind, std::string name, JinjaNodePtr first, Children... others) {
    JinjaNodePtr node = make(kind, std::move(name));
    add(*node, std::move(first));
    (add(*node, std::move(others)), ...);
    return node;
  }
  static JinjaNodePtr constant(JinjaValue value) {
    JinjaNodePtr node = make(Kind::constant);
    node->value = std::move(value);
    return node;
  }

  /// One expression, or a tuple without parentheses.
  JinjaNodePtr tuple() {
    JinjaNodePtr first = expression();
    if (!is_symbol(",")) return first;
    JinjaNodePtr all = make(Kind::tuple, {}, std::move(first));
    while (accept(",") && !is(Token::block_end) && !is(Token::output_end)) add(*all, expression());
    return all;
  }

  JinjaNodePtr expression(bool with_condition = true) {
    const JinjaDepth depth(depth_, most_depth);
    JinjaNodePtr value = either();
    while (with_condition && accept("if")) {
      JinjaNodePtr condition = either();
      JinjaNodePtr other = accept("else") ? expression() : nullptr;
      value = make(Kind::conditional, {}, std::move(value), std::move(condition), std::move(other));
    }
    return value;
  }

  /// Filters after a value: `| name(arguments)`.
  JinjaNodePtr filters(JinjaNodePtr value) {
    while (accept("|")) value = filter(std::move(value));
    return value;
  }
  JinjaNodePtr filter(JinjaNodePtr value) {
    JinjaNodePtr node = make(Kind::filter, name(), std::move(value));
    if (accept("(")) arguments(*node);
    return node;
  }

  std::vector<JinjaToken> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;

 private:
  JinjaNodePtr either() {
    JinjaNodePtr left = both();
    while (accept("or")) left = make(Kind::either, {}, std::move(left), both());
    return left;
  }
  JinjaNodePtr both() {
    JinjaNodePtr left = negation();
    while (accept("and")) left = make(Kind::both, {}, std::move(left), negation());
    return left;
  }
  JinjaNodePtr negation() {
    const JinjaDepth depth(depth_, most_depth);
    return accept("not") ? make(Kind::negation, {}, negation()) : comparison();
  }

  JinjaNodePtr comparison() {
    JinjaNodePtr first = sum();
    JinjaNodePtr node;
    const auto next = [&](std::string sign) {
      if (!node) node = make(Kind::comparison, {}, std::move(first));
      node->operators.push_back(std::move(sign));
      add(*node, sum());
    };
    while (true) {
      bool found = false;
      for (const char* sign : {"==", "!=", "<=", ">=", "<", ">", "in"}) {
        if (!accept(sign)) continue;
        next(sign), found = true;
        break;
      }
      if (!found && is_word("not") && token(1).kind == Token::name && token(1).text == "in")
        at_ += 2, next("not in"), found = true;
      if (!found) return node ? std::move(node) : std::move(first);
    }
  }

  JinjaNodePtr sum() {
    return arithmetic({"+", "-"}, [this] { return arithmetic({"~"}, [this] { return product(); }); });
  }
  JinjaNodePtr product() {
    return arithmetic({"*", "//", "/", "%"}, [this] { return unary(); });
  }
  template <class Operand>
  JinjaNodePtr arithmetic(std::initializer_list<const char*> signs, const Operand& operand) {
    JinjaNodePtr left = operand();
    while (true) {
      const auto* sign = std::find_if(signs.begin(), signs.end(), [&](const char* text) { return is_symbol(text); });
      if (sign == signs.end()) return left;
      ++at_;
      left = make(Kind::arithmetic, *sign, std::move(left), operand());
    }
  }

  JinjaNodePtr unary(bool with_filters = true) {
    const JinjaDepth depth(depth_, most_depth);
    JinjaNodePtr node = accept("-")   ? make(Kind::minus, {}, unary(false))
                        : accept("+") ? make(Kind::plus, {}, unary(false))
                                      : primary();
    node = postfix(std::move(node));
    if (is_symbol("**")) jinja_unsupported("the operator **");
    while (with_filters) {
      if (accept("|"))
        node = filter(std::move(node));
      else if (accept("is"))
        node = test(std::move(node));
      else if (accept("("))
        node = call(std::move(node));
      else
        break;
    }
    return node;
  }

  JinjaNodePtr test(JinjaNodePtr value) {
    const bool negated = accept("not");
    JinjaNodePtr node = make(Kind::test, name(), std::move(value));
    const bool is_argument = is(Token::string) || is(Token::integer) || is(Token::real) || is_symbol("[") ||
                             is_symbol("{") ||
                             (is(Token::name) && !is_word("else") && !is_word("or") && !is_word("and") &&
                              !is_word("is") && !is_word("if") && !is_word("not") && !is_word("in"));
    if (accept("("))
      arguments(*node);
    else if (is_argument)
      add(*node, postfix(primary()));
    return negated ? make(Kind::negation, {}, std::move(node)) : std::move(node);
  }

  JinjaNodePtr call(JinjaNodePtr function) {
    JinjaNodePtr node = make(Kind::call, {}, std::move(function));
    arguments(*node);
    return node;
  }

  /// Arguments after the opening parenthesis, as further children and named children.
  void arguments(JinjaNode& node) {
    const JinjaDepth depth(depth_, most_depth);
    while (!accept(")")) {
      if (is_symbol("*") || is_symbol("**")) jinja_unsupported("an argument with *");
      if (is(Token::name) && token(1).kind == Token::symbol && token(1).text == "=") {
        std::string key = name();
        ++at_;
        JinjaNodePtr value = expression();
        node.height = std::max(node.height, value->height + 1);
        if (node.height > 150) throw Error("an expression is nested too deeply");
        node.named.emplace_back(std::move(key), std::move(value));
      } else {
        if (!node.named.empty()) throw Error("an argument without name follows one with a name");
        add(node, expression());
      }
      if (!accept(",") && !is_symbol(")")) unexpected(")");
    }
  }

  JinjaNodePtr postfix(JinjaNodePtr value) {
    while (true) {
      if (accept(".")) {
        if (is(Token::integer))
          value = make(Kind::item, {}, std::move(value), number());
        else
          value = make(Kind::member, name(), std::move(value));
      } else if (accept("[")) {
        value = subscript(std::move(value));
      } else if (accept("(")) {
        value = call(std::move(value));
      } else {
        return value;
      }
    }
  }

  JinjaNodePtr subscript(JinjaNodePtr value) {
    JinjaNodePtr parts[3];
    std::size_t colons = 0;
    for (; !is_symbol("]");) {
      if (accept(":")) {
        if (++colons > 2) unexpected("]");
      } else {
        if (parts[colons]) unexpected("]");
        parts[colons] = expression();
      }
    }
    expect("]");
    if (colons > 0)
      return make(Kind::slice, {}, std::move(value), std::move(parts[0]), std::move(parts[1]), std::move(parts[2]));
    if (!parts[0]) unexpected("an index");
    return make(Kind::item, {}, std::move(value), std::move(parts[0]));
  }

  JinjaNodePtr number() {
    const std::string& text = token().text;
    if (is(Token::integer)) {
      std::int64_t value = 0;
      if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
        throw Error("the number {} is too large", excerpt(text));
      return ++at_, constant(value);
    }
    double value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
      throw Error("the number {} is out of range", excerpt(text));
    return ++at_, constant(value);
  }

  JinjaNodePtr primary() {
    const JinjaDepth depth(depth_, most_depth);
    if (is(Token::integer) || is(Token::real)) return number();
    if (is(Token::string)) {
      std::string text;
      while (is(Token::string)) text += tokens_[at_++].text;
      return constant(std::move(text));
    }
    if (is(Token::name)) {
      std::string word = name();
      if (word == "true" || word == "True") return constant(true);
      if (word == "false" || word == "False") return constant(false);
      if (word == "none" || word == "None") return constant(JinjaValue::None{});
      return make(Kind::name, std::move(word));
    }
    if (accept("(")) return parentheses();
    if (accept("[")) {
      JinjaNodePtr list = make(Kind::list);
      while (!accept("]")) {
        add(*list, expression());
        if (!accept(",") && !is_symbol("]")) unexpected("]");
      }
      return list;
    }
    if (!accept("{")) unexpected("an expression");
    JinjaNodePtr dict = make(Kind::dict);
    while (!accept("}")) {
      add(*dict, expression());
      expect(":");
      add(*dict, expression());
      if (!accept(",") && !is_symbol("}")) unexpected("}");
    }
    return dict;
  }

  JinjaNodePtr parentheses() {
    if (accept(")")) return make(Kind::tuple);
    JinjaNodePtr first = expression();
    if (accept(")")) return first;
    JinjaNodePtr all = make(Kind::tuple, {}, std::move(first));
    while (!accept(")")) {
      expect(",");
      if (!is_symbol(")")) add(*all, expression());
    }
    return all;
  }
};

}  // namespace moderngpt2::detail
