#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/filters.hpp"
#include "moderngpt2/tokenizer/jinja/value.hpp"

namespace moderngpt2::detail {

/// Variables of a template: global ones, and frames of loops, macros and blocks.
class JinjaVariables {
 public:
  using Frame = std::map<std::string, JinjaValue, std::less<>>;

  /// Innermost frame while it exists.
  struct Scope {
    explicit Scope(JinjaVariables& variables) : frames_(variables.frames_) { frames_.emplace_back(); }
    ~Scope() { frames_.pop_back(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::vector<Frame>& frames_;
  };

  const JinjaValue* find(std::string_view name) const {
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame)
      if (const auto found = frame->find(name); found != frame->end()) return &found->second;
    const auto found = globals_.find(name);
    return found == globals_.end() ? nullptr : &found->second;
  }

  void assign(const std::string& name, JinjaValue value) {
    (frames_.empty() ? globals_ : frames_.back()).insert_or_assign(name, std::move(value));
  }

  /// Assigns the items of a list if there are several names.
  void assign(const std::vector<std::string>& names, const JinjaValue& value, JinjaBudget& budget) {
    if (names.size() == 1) return assign(names[0], value);
    const JinjaValue::List items = jinja_items(value, budget);
    if (items.size() != names.size()) throw Error("{} names for {} values", names.size(), items.size());
    for (std::size_t i = 0; i < names.size(); ++i) assign(names[i], items[i]);
  }

  /// Frames, the innermost last. A macro has its own.
  std::vector<Frame>& frames() { return frames_; }

 private:
  Frame globals_;
  std::vector<Frame> frames_;
};

}  // namespace moderngpt2::detail
