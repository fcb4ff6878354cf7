#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/jinja/value.hpp"

// Syntax trees of templates.
namespace moderngpt2::detail {

struct JinjaNode;
using JinjaNodePtr = std::unique_ptr<JinjaNode>;

/// Expression.
struct JinjaNode {
  enum class Kind : unsigned char {
    constant,
    name,
    list,
    tuple,
    dict,      ///< children: key, value, key, value, ...
    member,    ///< child.name
    item,      ///< children: object, index
    slice,     ///< children: object, begin, end, step; nullptr for a missing one
    call,      ///< children: function, arguments; named
    filter,    ///< children: operand (nullptr in a filter block), arguments; named
    test,      ///< children: operand, arguments
    negation,  ///< not
    minus,
    plus,
    arithmetic,   ///< children: two operands of operator `name`
    comparison,   ///< children: operands between `operators`
    both,         ///< and
    either,       ///< or
    conditional,  ///< children: value, condition, other value (nullptr: undefined)
  };

  Kind kind;
  std::string name;
  JinjaValue value;
  std::vector<JinjaNodePtr> children;
  std::vector<std::pair<std::string, JinjaNodePtr>> named;
  std::vector<std::string> operators;
  int height = 1;
};

struct JinjaStatement;
using JinjaBlock = std::vector<JinjaStatement>;

/// Parameter of a macro, and its default value or nullptr.
struct JinjaParameter {
  std::string name;
  JinjaNodePtr otherwise;
};

/// Definition of a macro, or the body of a call block.
struct JinjaMacro {
  std::string name;
  std::vector<JinjaParameter> parameters;
  JinjaBlock body;
};

struct JinjaStatement {
  enum class Kind : unsigned char {
    text,
    output,
    loop,       ///< for `names` in `expression` if `condition`: `body`, else `other`
    branch,     ///< if `expression`: `body`, else `other`
    set,        ///< names, or names[0].field, = `expression`
    set_block,  ///< names[0] = text of `body`, through the filters of `expression`
    macro,
    call,    ///< `expression` with `macro` as caller
    filter,  ///< text of `body` through the filters of `expression`
    with,    ///< `names` = `expressions` in `body`
    group,   ///< generation: `body`
    leave,   ///< break
    next,    ///< continue
  };

  Kind kind;
  std::string text;  ///< text, or field of set
  std::vector<std::string> names;
  JinjaNodePtr expression, condition;
  std::vector<JinjaNodePtr> expressions;
  JinjaBlock body, other;
  std::shared_ptr<const JinjaMacro> macro;
};

}  // namespace moderngpt2::detail
