#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/exit_request.hpp"
#include "moderngpt2/cli/foreign_flag.hpp"
#include "moderngpt2/cli/option.hpp"
#include "moderngpt2/cli/option_questions.hpp"
#include "moderngpt2/cli/option_table.hpp"
#include "moderngpt2/cli/option_text.hpp"
#include "moderngpt2/cli/option_values.hpp"
#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE
#if !__has_include(<CLI/App.hpp>)
#error "moderngpt2: <CLI/App.hpp> not found: link moderngpt2::cli (find_package(moderngpt2 COMPONENTS cli))"
#endif
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#endif

namespace moderngpt2 {

/// Command line of a program: a table of options, each bound to a variable. The variable's value when the option is
/// added is the default.
///
///   Options options("train", "Trains a model.");
///   options.add("block_size", settings.block_size, "Block length in tokens.").at_least(1);
///   options.parse(argc, argv);
///
/// Values are written `--name value` or `--name=value`. An empty value, or one that looks like a flag (-h, or two
/// dashes and no space, as in Python's argparse), needs the equals sign. A switch accepts a word: `--bf16 true`. Every
/// program has --help, --version and --completion SHELL, and
/// --help_markdown and --help_man for the documentation. This header is slow to compile: only programs include it.
class Options {
 public:
  Options(std::string program, std::string description) {
    table_.program = std::move(program);
    table_.description = std::move(description);
  }
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  /// Sets the heading of the options added next. --help shows headings in the order of their first use.
  void section(std::string title) {
    section_ = std::move(title);
    table_.add_section(section_);
  }

  /// Adds the flag of a described member (see config/field.hpp) under the heading that it names. The target must
  /// outlive parse().
  template <class T>
  Option& add(const Field& field, T& target) {
    section(field.section);
    Option& option = add(field.name, target, field.help);
    option.apply(field);
    return option;
  }

  /// Adds a flag whose parsed value is passed to store(). --help shows the default_text of the field.
  template <class T>
  Option& add(const Field& field, std::function<void(const T&)> store) {
    section(field.section);
    Option& option = add_value<T>(field.name, std::move(store), field.help);
    option.apply(field);
    return option;
  }

  /// Adds a flag for each member of a described structure whose row has a section.
  template <class S>
  void add_all(S& settings) {
    describe(settings, [&]<class T>(T& member, const Field& field) {
      if constexpr (detail::OptionTarget<T>)
        if (*field.section) add(field, member);
    });
  }

  /// Adds --NAME for a number, a text, a path, a switch (bool), an enumeration with words_of(), a list (std::vector) or
  /// an optional of these. The target must outlive parse().
  template <class T>
  Option& add(std::string name, T& target, std::string help) {
    using Inner = typename detail::OptionalTraits<T>::value_type;
    if constexpr (NamedEnum<Inner>) {
      std::vector<std::pair<std::string, T>> words;
      for (const auto& [word, value] : words_of(Inner())) words.emplace_back(word, value);
      return add_choice(std::move(name), target, std::move(words), std::move(help));
    } else {
      Option& option = add_value<Inner>(
          std::move(name), [&target](const Inner& value) { target = value; }, std::move(help));
      option.default_text_ = field_text(target);
      if (option.default_text_ == " ") option.default_text_ = "a space";
      return option;
    }
  }

  /// Adds --NAME for an enumeration with a word for each value.
  template <class E>
  Option& add_choice(std::string name, E& target, std::vector<std::pair<std::string, E>> words, std::string help) {
    Option& option = add_row(std::move(name), std::move(help), Option::Kind::value);
    for (const auto& [word, value] : words) {
      option.choices_.push_back(word);
      if (value == target) option.default_text_ = word;
    }
    option.store_ = [&option, &target, words = std::move(words)](const std::vector<std::string>& typed) {
      option.check_choice(typed.back());
      for (const auto& [word, value] : words)
        if (word == typed.back()) target = value;
    };
    return option;
  }

  /// Accepts positional arguments, any number of them, in `target`. NAME is their placeholder in --help.
  template <class Item>
  void positional(std::string name, std::vector<Item>& target) {
    table_.positional_name = std::move(name);
    store_positional_ = [&target](const std::vector<std::string>& words) { target.assign(words.begin(), words.end()); };
  }

  /// Accepts --NAME with any number of values and ignores it, except for a `note` in notes(). Hidden in --help.
  Option& add_ignored(std::string name, std::string note) {
    Option& option = add_row(std::move(name), note, Option::Kind::ignored);
    option.hidden();
    option.store_ = [this, &option, note = std::move(note)](const std::vector<std::string>&) {
      notes_.push_back(fmt::format("--{}: {}", option.name(), note));
    };
    return option;
  }

  /// Accepts a flag of another program (see ForeignFlag). Hidden in --help.
  Option& add_foreign(const ForeignFlag& flag) {
    Option& option = add_row(flag.name, flag.note, Option::Kind::foreign);
    option.hidden();
    option.negatable_ = flag.form == ForeignFlag::Form::toggle;
    option.foreign_form_ = flag.form;
    option.store_ = [this, flag](const std::vector<std::string>& words) { notes_.push_back(flag.note_for(words)); };
    return option;
  }

  /// Accepts --NAME VALUE in place of --TARGET with the text convert(VALUE). Hidden in --help.
  Option& add_converted(std::string name, std::string target, std::function<std::string(const std::string&)> convert) {
    Option& option = add_row(std::move(name), "", Option::Kind::foreign);
    option.hidden();
    option.converted_to_ = std::move(target);
    option.convert_ = std::move(convert);
    return option;
  }

  /// Adds an example to the manual: arguments without the program's name, and their purpose.
  void example(std::string arguments, std::string does) {
    table_.examples.push_back({std::move(does), std::move(arguments)});
  }
  /// Documents an exit status in addition to 0, 1 and 2, or replaces the meaning of one.
  void exit_status(const std::string& status, std::string meaning) {
    for (auto& [known, text] : table_.exit_statuses)
      if (known == status) return void(text = std::move(meaning));
    table_.exit_statuses.emplace_back(status, std::move(meaning));
  }

  /// Parses the command line into the targets. Throws UsageError for an invalid command line, and ExitRequest with the
  /// text to print for --help, --version, --completion, --help_markdown and --help_man. The first word of `argv` is
  /// skipped.
  void parse(int argc, const char* const* argv) {
    parse(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
  }
  void parse(const std::vector<std::string>& arguments);

  /// Whether a flag was on the command line, in any spelling. `name`: its name, not an alias.
  bool typed(const std::string& name) const {
    for (const Option& option : table_.rows)
      if (option.name() == name) return option.typed();
    throw Error("{} has no option --{}", table_.program, name);
  }

  const OptionTable& table() const { return table_; }
  /// One line for each flag of add_ignored() on the command line.
  const std::vector<std::string>& notes() const { return notes_; }

  /// Text of --help.
  std::string help(int width = help_width()) const { return option_help(table_, width); }

 private:
  template <class T>
  Option& add_value(std::string name, std::function<void(const T&)> store, std::string help) {
    constexpr bool is_list = detail::ListTraits<T>::value;
    using Item = typename detail::ListTraits<T>::value_type;
    static_assert(detail::OptionScalar<Item>, "an option is a number, text, path, switch, or a list of these");
    constexpr bool is_switch = std::same_as<T, bool>;
    Option& option = add_row(std::move(name), std::move(help),
                             is_list     ? Option::Kind::list
                             : is_switch ? Option::Kind::toggle
                                         : Option::Kind::value);
    option.metavar_ = detail::option_metavar<Item>();
    option.store_ = [&option, store = std::move(store)](const std::vector<std::string>& words) {
      std::vector<Item> items;
      for (const std::string& word : words) {
        option.check_choice(word);
        items.push_back(detail::parse_option_value<Item>(option.name(), word));
        if constexpr (std::is_arithmetic_v<Item>) option.check_number(static_cast<double>(items.back()));
      }
      if constexpr (is_list)
        store(items);
      else
        store(items.back());
    };
    return option;
  }

  Option& add_row(std::string name, std::string help, Option::Kind kind) {
    Option& option = table_.rows.emplace_back(std::move(name), std::move(help), kind);
    option.section_ = section_;
    return option;
  }

  Option* find(const std::string& name) { return const_cast<Option*>(std::as_const(table_).find(name)); }

  std::vector<std::string> unambiguous(const std::vector<std::string>& arguments);
  [[noreturn]] void refuse(const std::string& argument) const;

  OptionTable table_;
  std::string section_;
  std::function<void(const std::vector<std::string>&)> store_positional_;
  std::vector<std::string> notes_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

/// Rewrites the arguments so that CLI11 parses them in one way only: by its own rules, the next flag would replace a
/// missing value, and the next word an empty one.
MODERNGPT2_INLINE std::vector<std::string> Options::unambiguous(const std::vector<std::string>& arguments) {
  std::vector<std::string> words;
  std::vector<const Option*> seen;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const std::string flag = detail::flag_of(word);
    Option* option = flag.empty() ? nullptr : find(flag);
    if (!option) {
      words.push_back(word);
      continue;
    }
    if (option->kind() != Option::Kind::ignored) {
      if (std::find(seen.begin(), seen.end(), option) != seen.end()) throw UsageError("--{} is given twice", flag);
      seen.push_back(option);
    }
    option->typed_ = true;
    if (option->kind() == Option::Kind::foreign) {
      const std::vector<std::string> values =
          detail::foreign_values(arguments, i, option->foreign_form_, option->is_negation(flag));
      if (option->converted_to_.empty()) {
        option->store_(values);
      } else {
        Option* const target = find(option->converted_to_);
        if (target->typed_) throw UsageError("--{} and --{} set the same value: give one", flag, target->name());
        target->typed_ = true;
        seen.push_back(target);
        words.insert(words.end(), {"--" + target->name(), option->convert_(values.front())});
      }
      continue;
    }
    const bool has_value = word.find('=') != std::string::npos;
    const bool last = i + 1 == arguments.size();
    if (option->kind() == Option::Kind::toggle) {
      bool on = has_value ? detail::parse_switch(flag, word.substr(word.find('=') + 1)) : true;
      const std::size_t shortest = table_.positional_name.empty() ? 1 : 3;  // "1" may be a positional argument
      if (!has_value && !last && arguments[i + 1].size() >= shortest && detail::is_switch_word(arguments[i + 1]))
        on = detail::parse_switch(flag, arguments[++i]);
      if (option->is_negation(flag)) on = !on;
      words.push_back(fmt::format("--{}={}", option->name(), on));
    } else if (has_value) {
      words.push_back("--" + option->name());
      words.push_back(word.substr(word.find('=') + 1));
    } else if (option->kind() == Option::Kind::ignored) {
      words.push_back("--" + option->name());
    } else {
      const bool alone = last || detail::looks_like_flag(arguments[i + 1]);
      if (last && !option->bare_)
        throw UsageError("--{} needs a value (--{}=VALUE where it begins with dashes)", flag, flag);
      if (alone && !option->bare_)
        throw UsageError("--{} needs a value, and {} looks like a flag: write --{}={} if it is the value", flag,
                         arguments[i + 1], flag, arguments[i + 1]);
      words.push_back("--" + option->name());
      words.push_back(alone ? *option->bare_ : arguments[++i]);
    }
  }
  return words;
}

MODERNGPT2_INLINE void Options::parse(const std::vector<std::string>& arguments) {
  detail::answer_questions(table_, arguments);
  for (Option& option : table_.rows) option.typed_ = false;
  notes_.clear();
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  for (Option& option : table_.rows) {
    const auto store = [&option](const std::vector<std::string>& words) { return option.store_(words), true; };
    CLI::Option* row = app.add_option("--" + option.name(), store);
    const bool many = option.kind() == Option::Kind::list || option.kind() == Option::Kind::ignored;
    // Not an unlimited list: CLI11 would strip the brackets of a value like [PAD].
    if (many) row->expected(option.kind() == Option::Kind::list ? 1 : 0, 100000);
    if (many) row->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    row->allow_extra_args(false);
  }
  std::vector<std::string> words = unambiguous(arguments);
  std::reverse(words.begin(), words.end());  // CLI11 pops from the back
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    throw UsageError("{}", error.what());
  }
  const std::vector<std::string> rest = app.remaining();
  const auto flag = std::find_if(rest.begin(), rest.end(), [](const std::string& w) { return w.starts_with("-"); });
  if (flag != rest.end()) refuse(*flag);
  if (!rest.empty() && !store_positional_) refuse(rest.front());
  if (store_positional_) store_positional_(rest);
  for (const Option& option : table_.rows)
    if (option.is_required() && !option.typed()) throw UsageError("--{} is required", option.name());
}

MODERNGPT2_INLINE void Options::refuse(const std::string& argument) const {
  if (!argument.starts_with("-")) throw UsageError("unexpected argument '{}'", argument);
  const std::string typed = argument.substr(0, argument.find('='));
  throw UsageError("there is no option {}{}", typed, detail::did_you_mean(detail::similar_flags(table_, typed), "--"));
}

}  // namespace moderngpt2

#endif
