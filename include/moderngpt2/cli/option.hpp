#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/foreign_flag.hpp"
#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/nearest_name.hpp"

namespace moderngpt2 {

/// One option of a program, created by Options::add. Setters return *this, so that calls chain.
class Option {
 public:
  enum class Kind { value, list, toggle, ignored, foreign };

  Option(std::string name, std::string help, Kind kind) : name_(std::move(name)), help_(std::move(help)), kind_(kind) {}

  /// Makes a missing flag an error.
  Option& required() { return required_ = true, *this; }
  /// Adds another name, without dashes.
  Option& alias(std::string other) { return aliases_.push_back(std::move(other)), *this; }
  /// Hides the flag in --help.
  Option& hidden() { return hidden_ = true, *this; }
  /// Placeholder of the value in --help. Completions offer files for FILE and PATH, folders for DIR.
  Option& metavar(std::string word) { return metavar_ = std::move(word), *this; }
  /// Default as --help shows it, instead of the value of the variable: "all cores".
  Option& default_text(std::string text) { return default_text_ = std::move(text), *this; }
  /// Allows the flag without a value; its value is then `value`.
  Option& bare(std::string value) { return bare_ = std::move(value), *this; }
  bool has_bare_value() const { return bare_.has_value(); }
  /// Adds --no_NAME, which turns a switch off.
  Option& negatable() { return negatable_ = true, *this; }
  /// Accepts only these words.
  Option& choices(std::vector<std::string> words) { return choices_ = std::move(words), *this; }
  /// Minimum of a number.
  Option& at_least(double least) { return least_ = least, *this; }
  /// Exclusive minimum of a number.
  Option& more_than(double bound) { return more_than_ = bound, *this; }
  /// Maximum of a number.
  Option& at_most(double most) { return most_ = most, *this; }
  /// Minimum and maximum of a number.
  Option& between(double least, double most) { return at_least(least).at_most(most); }

  /// Applies the bounds, names and texts of a described member.
  Option& apply(const Field& field) {
    for (const char* other : field.aliases)
      if (other) alias(other);
    if (!field.choices.empty()) choices_.assign(field.choices.begin(), field.choices.end());
    if (field.default_text) default_text_ = field.default_text;
    if (field.metavar) metavar_ = field.metavar;
    negatable_ = field.negatable;
    least_ = field.at_least, more_than_ = field.more_than, most_ = field.at_most;
    return *this;
  }

  const std::string& name() const { return name_; }
  const std::vector<std::string>& aliases() const { return aliases_; }
  const std::string& help() const { return help_; }
  const std::string& section() const { return section_; }
  const std::string& default_text() const { return default_text_; }
  const std::string& metavar() const { return metavar_; }
  const std::vector<std::string>& choices() const { return choices_; }
  Kind kind() const { return kind_; }
  bool is_required() const { return required_; }
  bool is_hidden() const { return hidden_; }
  bool is_negatable() const { return negatable_; }
  bool typed() const { return typed_; }

  /// Placeholder of the value in --help: "fp32|bf16", "PATH..."; empty for a switch.
  std::string value_usage() const {
    if (kind_ == Kind::toggle) return "";
    const std::string text = choices_.empty() ? metavar_ : fmt::format("{}", fmt::join(choices_, "|"));
    return kind_ == Kind::list ? text + "..." : text;
  }
  /// Flag and placeholder in --help: "--precision fp32|bf16".
  std::string usage() const {
    if (kind_ != Kind::toggle) return "--" + name_ + " " + value_usage();
    return negatable_ ? fmt::format("--{}, --no_{}", name_, name_) : "--" + name_;
  }
  /// All names without dashes: the name, its aliases and, for a negatable switch, no_NAME.
  std::vector<std::string> spellings() const {
    std::vector<std::string> names{name_};
    names.insert(names.end(), aliases_.begin(), aliases_.end());
    if (negatable_) names.push_back("no_" + name_);
    return names;
  }

  /// Whether a spelling, with dashes or underscores, turns a switch off.
  bool is_negation(const std::string& spelling) const {
    return negatable_ && spelling.size() == name_.size() + 3 && spelling.starts_with("no");
  }

  /// Throws UsageError if `word` is not one of the choices.
  void check_choice(const std::string& word) const {
    if (choices_.empty()) return;
    for (const std::string& choice : choices_)
      if (choice == word) return;
    throw UsageError("--{}: '{}' is not one of {}{}", name_, word, fmt::join(choices_, ", "),
                     detail::did_you_mean(detail::nearest_names(word, choices_)));
  }

  /// Throws UsageError if `number` is out of bounds.
  void check_number(double number) const {
    if (least_ && number < *least_) throw UsageError("--{}: {} is less than {}", name_, number, *least_);
    if (more_than_ && number <= *more_than_)
      throw UsageError("--{}: {} is not more than {}", name_, number, *more_than_);
    if (most_ && number > *most_) throw UsageError("--{}: {} is more than {}", name_, number, *most_);
  }

 private:
  friend class Options;

  std::string name_, help_;
  Kind kind_;
  std::vector<std::string> aliases_, choices_;
  std::string section_, metavar_, default_text_;
  bool required_ = false, hidden_ = false, negatable_ = false, typed_ = false;
  std::optional<double> least_, more_than_, most_;
  std::optional<std::string> bare_;
  std::function<void(const std::vector<std::string>&)> store_;
  ForeignFlag::Form foreign_form_ = ForeignFlag::Form::value;
  std::string converted_to_;  // option that gets the converted value instead; empty: none
  std::function<std::string(const std::string&)> convert_;
};

}  // namespace moderngpt2
