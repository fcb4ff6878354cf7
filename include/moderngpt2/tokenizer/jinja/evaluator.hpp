#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/arguments.hpp"
#include "moderngpt2/tokenizer/jinja/filters.hpp"
#include "moderngpt2/tokenizer/jinja/operators.hpp"
#include "moderngpt2/tokenizer/jinja/syntax.hpp"
#include "moderngpt2/tokenizer/jinja/variables.hpp"

namespace moderngpt2::detail {

/// Renders a template by walking its syntax tree. Steps, text, nesting and recursion are bounded.
class JinjaEvaluator {
 public:
  explicit JinjaEvaluator(const Json& variables) {
    for (const char* name : {"raise_exception", "strftime_now", "namespace", "range", "dict"})
      variables_.assign(name, JinjaValue::Callable{name, nullptr, nullptr});
    for (const auto& [name, value] : variables.items()) variables_.assign(name, JinjaValue(value));
  }

  std::string run(const JinjaBlock& block) {
    std::string out;
    (void)run(block, out);
    return out;
  }

 private:
  using Frame = JinjaVariables::Frame;
  using Scope = JinjaVariables::Scope;
  using Kind = JinjaNode::Kind;
  static constexpr int most_depth = 400;
  using Statement = JinjaStatement::Kind;
  enum class Flow : unsigned char { on, leave, next };

  const JinjaValue* find(std::string_view name) const { return variables_.find(name); }
  void assign(const std::vector<std::string>& names, const JinjaValue& value) {
    variables_.assign(names, value, budget_);
  }

  Flow run(const JinjaBlock& block, std::string& out) {
    const JinjaDepth depth(depth_, most_depth);
    for (const JinjaStatement& statement : block)
      if (const Flow flow = run(statement, out); flow != Flow::on) return flow;
    return Flow::on;
  }

  std::string text_of(const JinjaBlock& block) {
    std::string out;
    const Scope scope(variables_);
    (void)run(block, out);
    return out;
  }

  Flow run(const JinjaStatement& s, std::string& out) {
    budget_.charge(16);
    switch (s.kind) {
      case Statement::text:
        budget_.charge(s.text.size());
        out += s.text;
        return Flow::on;
      case Statement::output:
        out += jinja_text(value(*s.expression), budget_);
        return Flow::on;
      case Statement::loop:
        loop(s, out);
        return Flow::on;
      case Statement::branch:
        return run(value(*s.expression).truth() ? s.body : s.other, out);
      case Statement::set:
        set(s);
        return Flow::on;
      case Statement::set_block:
        variables_.assign(s.names[0], filtered(s, text_of(s.body)));
        return Flow::on;
      case Statement::macro:
        variables_.assign(s.macro->name, JinjaValue::Callable{s.macro->name, nullptr, s.macro});
        return Flow::on;
      case Statement::call:
        closures_.emplace_back(s.macro.get(), variables_.frames());
        out += jinja_text(call(*s.expression, s.macro), budget_);
        closures_.pop_back();
        return Flow::on;
      case Statement::filter:
        out += jinja_text(filtered(s, text_of(s.body)), budget_);
        return Flow::on;
      case Statement::with: {
        JinjaValue::List values;
        for (const JinjaNodePtr& expression : s.expressions) values.push_back(value(*expression));
        const Scope scope(variables_);
        for (std::size_t i = 0; i < values.size(); ++i) variables_.assign(s.names[i], values[i]);
        return run(s.body, out);
      }
      case Statement::group:
        out += text_of(s.body);
        return Flow::on;
      case Statement::leave:
        return Flow::leave;
      case Statement::next:
        return Flow::next;
    }
    return Flow::on;
  }

  void loop(const JinjaStatement& s, std::string& out) {
    JinjaValue::List items = jinja_items(value(*s.expression), budget_);
    if (s.condition) {
      JinjaValue::List kept;
      for (JinjaValue& item : items) {
        const Scope scope(variables_);
        assign(s.names, item);
        if (value(*s.condition).truth()) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    if (items.empty()) {
      const Scope scope(variables_);
      (void)run(s.other, out);
    }
    const auto n = std::int64_t(items.size());
    for (std::int64_t i = 0; i < n; ++i) {
      budget_.charge(256);
      const Scope scope(variables_);
      const auto neighbour = [&](std::int64_t at) { return at >= 0 && at < n ? items[std::size_t(at)] : JinjaValue(); };
      variables_.assign("loop", JinjaValue::Dict{{"index", i + 1},
                                                 {"index0", i},
                                                 {"first", i == 0},
                                                 {"last", i + 1 == n},
                                                 {"length", n},
                                                 {"revindex", n - i},
                                                 {"revindex0", n - i - 1},
                                                 {"previtem", neighbour(i - 1)},
                                                 {"nextitem", neighbour(i + 1)}});
      assign(s.names, items[std::size_t(i)]);
      if (run(s.body, out) == Flow::leave) break;
    }
  }

  void set(const JinjaStatement& s) {
    JinjaValue v = value(*s.expression);
    if (s.text.empty()) return assign(s.names, v);
    const JinjaValue* target = find(s.names[0]);
    if (!target || !target->names()) throw Error("{} is not a namespace", excerpt(s.names[0], 40));
    if (v.names() || v.is_list() || v.is_dict()) check_no_namespace(v, 0);
    JinjaValue::Dict& fields = *target->names()->fields;
    const JinjaValue key(s.text);
    for (auto& [name, field] : fields)
      if (name == key) return void(field = std::move(v));
    fields.emplace_back(key, std::move(v));
  }
  /// Refuses a namespace inside a namespace: a cycle would never be freed.
  static void check_no_namespace(const JinjaValue& v, int depth) {
    if (v.names() || depth > 100) throw Error("a namespace in a namespace is not supported");
    if (v.is_list())
      for (const JinjaValue& item : v.list()) check_no_namespace(item, depth + 1);
    if (v.is_dict())
      for (const auto& [name, item] : v.dict()) check_no_namespace(item, depth + 1);
  }

  /// Text of a block after the filters of its tag.
  JinjaValue filtered(const JinjaStatement& s, std::string text) {
    if (!s.expression) return text;
    const JinjaValue operand(std::move(text));
    return filter(*s.expression, &operand);
  }
  JinjaValue filter(const JinjaNode& node, const JinjaValue* operand) {
    const JinjaNode* inner = node.children[0].get();
    const JinjaValue v = !inner ? *operand : inner->kind == Kind::filter ? filter(*inner, operand) : value(*inner);
    return JinjaFilters(budget_).apply(node.name, v, arguments(node, node.name));
  }

  JinjaArguments arguments(const JinjaNode& node, std::string_view where) {
    JinjaArguments out{where, {}, {}};
    for (std::size_t i = 1; i < node.children.size(); ++i) out.positional.push_back(value(*node.children[i]));
    for (const auto& [name, argument] : node.named) out.named.emplace_back(name, value(*argument));
    return out;
  }

  JinjaValue call(const JinjaNode& node, const std::shared_ptr<const JinjaMacro>& caller = nullptr) {
    const JinjaValue function = value(*node.children[0]);
    if (!function.is_callable())
      jinja_unsupported(node.children[0]->name.empty() ? "the call of " + std::string(function.type())
                                                       : "the function " + node.children[0]->name);
    const JinjaValue::Callable& callable = function.callable();
    JinjaArguments given = arguments(node, callable.name);
    if (callable.macro) return call(callable.macro, given, caller);
    if (callable.self && callable.self->is_dict()) return jinja_dict_method(*callable.self, callable.name, given);
    if (callable.self) return jinja_string_method(callable.self->string(), callable.name, given, budget_);
    if (callable.name != "namespace") return jinja_function(callable.name, given, budget_);
    JinjaValue::Dict fields;
    for (const JinjaValue& argument : given.positional)
      if (argument.is_dict()) fields.insert(fields.end(), argument.dict().begin(), argument.dict().end());
    for (const auto& [name, field] : given.named) fields.emplace_back(JinjaValue(name), field);
    for (const auto& [name, field] : fields) check_no_namespace(field, 0);
    return JinjaValue::Namespace{std::make_shared<JinjaValue::Dict>(std::move(fields))};
  }

  JinjaValue call(const std::shared_ptr<const JinjaMacro>& macro, const JinjaArguments& given,
                  const std::shared_ptr<const JinjaMacro>& caller) {
    const JinjaDepth depth(depth_, most_depth);
    Frame frame;
    if (given.positional.size() > macro->parameters.size()) throw Error("{} has too many arguments", given.where);
    for (std::size_t i = 0; i < macro->parameters.size(); ++i) {
      const JinjaParameter& parameter = macro->parameters[i];
      const JinjaValue* argument = given.find(i, parameter.name);
      frame.insert_or_assign(parameter.name, argument              ? *argument
                                             : parameter.otherwise ? value(*parameter.otherwise)
                                                                   : JinjaValue());
    }
    if (caller) frame.insert_or_assign("caller", JinjaValue::Callable{"caller", nullptr, caller});
    std::vector<Frame> frames;
    for (const auto& [body, captured] : closures_)
      if (body == macro.get()) frames = captured;
    frames.push_back(std::move(frame));
    budget_.charge(64 * frames.size());
    variables_.frames().swap(frames);
    std::string out;
    (void)run(macro->body, out);  // after an exception, nothing is evaluated
    variables_.frames().swap(frames);
    return out;
  }

  JinjaValue::List values(const std::vector<JinjaNodePtr>& nodes) {
    JinjaValue::List out;
    for (const JinjaNodePtr& node : nodes) out.push_back(node ? value(*node) : JinjaValue());
    budget_.charge(out.size() * 32);
    return out;
  }

  JinjaValue value(const JinjaNode& node) {
    const JinjaDepth depth(depth_, most_depth);
    budget_.charge(16);
    const auto child = [&](std::size_t i) { return node.children[i] ? value(*node.children[i]) : JinjaValue(); };
    switch (node.kind) {
      case Kind::constant:
        return node.value;
      case Kind::name: {
        const JinjaValue* found = find(node.name);
        return found ? *found : JinjaValue();
      }
      case Kind::list:
      case Kind::tuple:
        return {values(node.children), node.kind == Kind::tuple};
      case Kind::dict:
        return dict(values(node.children));
      case Kind::member: {
        const JinjaValue v = child(0);
        const auto method = jinja_find_method(v, node.name);
        return method ? *method : jinja_member(v, node.name);
      }
      case Kind::item: {
        const JinjaValue v = child(0), index = child(1), item = jinja_item(v, index, budget_);
        if (!item.is_undefined() || !index.is_string()) return item;
        return jinja_find_method(v, index.string()).value_or(JinjaValue());
      }
      case Kind::slice:
        return jinja_slice(child(0), child(1), child(2), child(3), budget_);
      case Kind::call:
        return call(node);
      case Kind::filter:
        return filter(node, nullptr);
      case Kind::test:
        return jinja_test(node.name, child(0), arguments(node, node.name), budget_);
      case Kind::negation:
        return !child(0).truth();
      case Kind::minus:
        return jinja_arithmetic("-", std::int64_t{0}, child(0), budget_);
      case Kind::plus:
        return jinja_arithmetic("+", std::int64_t{0}, child(0), budget_);
      case Kind::arithmetic: {
        const JinjaValue left = child(0);
        return jinja_arithmetic(node.name, left, child(1), budget_);
      }
      case Kind::comparison:
        return compare(node);
      case Kind::both: {
        JinjaValue left = child(0);
        return left.truth() ? child(1) : left;
      }
      case Kind::either: {
        JinjaValue left = child(0);
        return left.truth() ? left : child(1);
      }
      case Kind::conditional:
        return child(1).truth() ? child(0) : child(2);
    }
    return {};
  }

  JinjaValue dict(JinjaValue::List items) {
    JinjaValue::Dict out;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      const JinjaValue& key = items[i];
      if (!key.is_string() && !key.is_number() && !key.is_none())
        throw Error("a key of a dict must be a text or a number, found {}", key.type());
      budget_.charge(out.size() * key.weight() + 1);
      const auto same = std::find_if(out.begin(), out.end(), [&](const auto& field) { return field.first == key; });
      if (same == out.end())
        out.emplace_back(key, items[i + 1]);
      else
        same->second = items[i + 1];
    }
    return out;
  }

  JinjaValue compare(const JinjaNode& node) {
    JinjaValue left = value(*node.children[0]);
    for (std::size_t i = 0; i < node.operators.size(); ++i) {
      const std::string& sign = node.operators[i];
      JinjaValue right = value(*node.children[i + 1]);
      budget_.charge(std::min(left.weight(), right.weight()));
      const bool holds = sign == "=="   ? left == right
                         : sign == "!=" ? !(left == right)
                         : sign == "<"  ? left < right
                         : sign == ">"  ? right < left
                         : sign == "<=" ? !(right < left)
                         : sign == ">=" ? !(left < right)
                         : sign == "in" ? jinja_contains(right, left, budget_)
                                        : !jinja_contains(right, left, budget_);
      if (!holds) return false;
      left = std::move(right);
    }
    return true;
  }

  JinjaVariables variables_;
  std::vector<std::pair<const JinjaMacro*, std::vector<Frame>>> closures_;  // variables that call blocks see
  JinjaBudget budget_;
  int depth_ = 0;
};

}  // namespace moderngpt2::detail
