#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/expressions.hpp"
#include "moderngpt2/tokenizer/jinja/syntax.hpp"

namespace moderngpt2::detail {

/// Parses the statements of a template.
class JinjaParser : JinjaExpressionParser {
 public:
  explicit JinjaParser(std::string_view source) : JinjaExpressionParser(JinjaLexer(source).run()) {}

  JinjaBlock run() {
    JinjaBlock all = block({});
    if (!is(Token::end)) throw Error("{} ends nothing", excerpt(token(1).text));
    return all;
  }

 private:
  using Statement = JinjaStatement::Kind;
  using Words = std::initializer_list<std::string_view>;

  static JinjaStatement make(Statement kind) {
    JinjaStatement statement;
    statement.kind = kind;
    return statement;
  }

  /// Statements up to a block that begins with one of the words, or the end.
  JinjaBlock block(Words ends) {
    const JinjaDepth depth(depth_, most_depth);
    JinjaBlock all;
    for (; !is(Token::end);) {
      if (is(Token::data)) {
        all.push_back(make(Statement::text));
        all.back().text = tokens_[at_++].text;
      } else if (is(Token::output_begin)) {
        ++at_;
        all.push_back(make(Statement::output));
        all.back().expression = tuple();
        if (!is(Token::output_end)) unexpected("}}");
        ++at_;
      } else {
        for (const std::string_view word : ends)
          if (token(1).text == word) return all;
        if (token(1).text.starts_with("end") || token(1).text.starts_with("el")) return all;
        ++at_;
        all.push_back(statement());
        end_of_tag();
      }
    }
    return all;
  }

  void end_of_tag() {
    if (!is(Token::block_end)) unexpected("%}");
    ++at_;
  }
  /// Body of a statement: the rest of its tag, then statements up to one of the words, which is skipped and returned.
  std::string body(JinjaBlock& into, Words ends) {
    end_of_tag();
    into = block(ends);
    for (const std::string_view word : ends)
      if (is(Token::block_begin) && token(1).text == word) return at_ += 2, std::string(word);
    throw Error("{} is missing", *(ends.end() - 1));
  }

  JinjaStatement statement() {
    const std::string word = name();
    if (word == "for") return loop();
    if (word == "if") return branch();
    if (word == "set") return set();
    if (word == "macro") return macro();
    if (word == "call") return call();
    if (word == "with") return with();
    if (word == "break") return make(Statement::leave);
    if (word == "continue") return make(Statement::next);
    if (word == "generation") {
      JinjaStatement group = make(Statement::group);
      body(group.body, {"endgeneration"});
      return group;
    }
    if (word == "filter") {
      JinjaStatement out = make(Statement::filter);
      out.expression = filters(filter(nullptr));
      body(out.body, {"endfilter"});
      return out;
    }
    jinja_unsupported("the statement " + word);
  }

  std::vector<std::string> names() {
    std::vector<std::string> all;
    const bool has_parentheses = accept("(");
    do all.push_back(name());
    while (accept(","));
    if (has_parentheses) expect(")");
    return all;
  }

  JinjaStatement loop() {
    JinjaStatement out = make(Statement::loop);
    out.names = names();
    expect("in");
    out.expression = expression(false);
    if (is_symbol(",")) jinja_unsupported("a loop over a list without brackets");
    if (accept("if")) out.condition = expression();
    if (accept("recursive")) jinja_unsupported("a recursive loop");
    if (body(out.body, {"else", "endfor"}) == "else") body(out.other, {"endfor"});
    return out;
  }

  JinjaStatement branch() {
    const JinjaDepth depth(depth_, most_depth);
    JinjaStatement out = make(Statement::branch);
    out.expression = tuple();
    const std::string end = body(out.body, {"elif", "else", "endif"});
    if (end == "elif") out.other.push_back(branch());
    if (end == "else") body(out.other, {"endif"});
    return out;
  }

  JinjaStatement set() {
    JinjaStatement out = make(Statement::set);
    out.names = names();
    if (accept(".")) out.text = name();
    if (accept("=")) {
      out.expression = tuple();
      return out;
    }
    if (out.names.size() != 1 || !out.text.empty()) unexpected("=");
    out.kind = Statement::set_block;
    if (accept("|")) out.expression = filters(filter(nullptr));
    body(out.body, {"endset"});
    return out;
  }

  void parameters(JinjaMacro& macro) {
    while (!accept(")")) {
      JinjaParameter parameter{name(), nullptr};
      if (accept("="))
        parameter.otherwise = expression();
      else if (!macro.parameters.empty() && macro.parameters.back().otherwise)
        throw Error("a parameter without default follows one with a default");
      macro.parameters.push_back(std::move(parameter));
      if (!accept(",") && !is_symbol(")")) unexpected(")");
    }
  }

  JinjaStatement macro() {
    JinjaStatement out = make(Statement::macro);
    auto macro = std::make_shared<JinjaMacro>();
    macro->name = name();
    expect("(");
    parameters(*macro);
    body(macro->body, {"endmacro"});
    out.macro = std::move(macro);
    return out;
  }

  JinjaStatement call() {
    JinjaStatement out = make(Statement::call);
    auto caller = std::make_shared<JinjaMacro>();
    caller->name = "caller";
    if (accept("(")) parameters(*caller);
    out.expression = expression();
    if (out.expression->kind != Kind::call) unexpected("a call");
    body(caller->body, {"endcall"});
    out.macro = std::move(caller);
    return out;
  }

  JinjaStatement with() {
    JinjaStatement out = make(Statement::with);
    while (!is(Token::block_end)) {
      if (!out.names.empty()) expect(",");
      out.names.push_back(name());
      expect("=");
      out.expressions.push_back(expression());
    }
    body(out.body, {"endwith"});
    return out;
  }
};

}  // namespace moderngpt2::detail
