#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/cli/option.hpp"

namespace moderngpt2 {

/// Description of a program's command line: source of --help, the manual page and shell completions.
struct OptionTable {
  struct Example {
    std::string does;       ///< purpose, without a full stop
    std::string arguments;  ///< the command line, without the program's name
  };

  std::string program, description;
  std::string positional_name;        ///< placeholder of positional arguments; empty: none are accepted
  std::deque<Option> rows;            ///< a deque, since rows are referred to while others are added
  std::vector<std::string> sections;  ///< headings that come first in --help, in this order
  std::vector<Example> examples;
  std::vector<std::pair<std::string, std::string>> exit_statuses{
      {"0", "success"},
      {"1", "error, described by one line on standard error"},
      {"2", "an invalid command line; nothing was done"},
  };

  /// Usage line such as "train [OPTIONS] DIR...".
  std::string usage() const {
    return program + " [OPTIONS]" + (positional_name.empty() ? "" : " " + positional_name + "...");
  }

  /// First sentence of the description, without initial capital and full stop, for the NAME section of a manual page.
  std::string summary() const {
    std::size_t end = description.find_first_of(".;");
    while (end < description.size() && end + 1 < description.size() && description[end + 1] != ' ')
      end = description.find_first_of(".;", end + 1);  // the dot of a file's name
    std::string text = description.substr(0, end);
    if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
    return text;
  }

  /// Option with a given spelling (dashes and underscores are equal); null if no option has it.
  const Option* find(std::string name) const {
    std::replace(name.begin(), name.end(), '-', '_');
    for (const Option& option : rows)
      for (const std::string& spelling : option.spellings())
        if (spelling == name) return &option;
    return nullptr;
  }

  /// Appends a heading that is not listed yet.
  void add_section(const std::string& title) { add_section(sections, title); }

  /// Calls `heading(title)` for each section with an option that is not hidden, then `row(option)` for each of these.
  template <class Heading, class Row>
  void for_each_row(Heading&& heading, Row&& row) const {
    std::vector<std::string> order = sections;
    for (const Option& option : rows) add_section(order, option.section());
    for (const std::string& section : order) {
      bool begins = true;
      for (const Option& option : rows) {
        if (option.is_hidden() || option.section() != section) continue;
        if (begins) heading(section);
        begins = false;
        row(option);
      }
    }
  }

 private:
  static void add_section(std::vector<std::string>& list, const std::string& title) {
    if (std::find(list.begin(), list.end(), title) == list.end()) list.push_back(title);
  }
};

/// Flag that every program has, shown in the section Help.
struct HelpFlag {
  const char *usage, *help;
};
inline constexpr HelpFlag help_flags[] = {
    {"--help", "Print this help and exit."},
    {"--version", "Print the version and exit."},
    {"--completion bash|zsh|fish", "Print a completion script for the shell and exit."},
};

}  // namespace moderngpt2
