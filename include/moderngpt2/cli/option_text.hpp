#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/cli/option_table.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

namespace detail {

/// Formats rows of two columns; the right column is wrapped at 110 characters.
class TwoColumns {
 public:
  explicit TwoColumns(std::string& out) : out_(out) {}

  void row(const std::string& left, const std::string& right) {
    std::string line = "  " + left;
    const auto turn = [&] {
      out_ += line + "\n";
      line = std::string(column - 1, ' ');
    };
    if (line.size() >= column) turn();
    line.resize(std::max(line.size(), column - 1), ' ');
    for (std::size_t begin = 0; begin < right.size();) {
      const std::size_t end = std::min(right.find(' ', begin), right.size());
      if (line.size() + 1 + end - begin > width) turn();
      line += " " + right.substr(begin, end - begin);
      begin = end + 1;
    }
    out_ += line + "\n";
  }

 private:
  static constexpr std::size_t column = 36, width = 110;
  std::string& out_;
};

/// Escapes text for a cell of a Markdown table.
std::string markdown_cell(std::string text);

/// Escapes text for Markdown prose: outside of code, "<" becomes an entity (<pad> would be a tag) and "*" is escaped.
std::string markdown_prose(const std::string& text);

}  // namespace detail

/// End of an option's text in --help: aliases, and the default or "(required)".
std::string option_remarks(const Option& option);

/// The text of --help.
std::string option_help(const OptionTable& table);

/// The program's page of the documentation, in Markdown.
std::string option_markdown(const OptionTable& table);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string markdown_cell(std::string text) {
  for (std::size_t i = 0; (i = text.find('|', i)) != text.npos; i += 2) text.insert(i, "\\");
  return text;
}

MODERNGPT2_INLINE std::string markdown_prose(const std::string& text) {
  std::string out;
  bool code = false;
  for (const char c : text) {
    if (c == '`') code = !code;
    if (!code && c == '<')
      out += "&lt;";
    else if (!code && c == '*')
      out += "\\*";
    else
      out += c;
  }
  return out;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string option_remarks(const Option& option) {
  std::string text;
  for (const std::string& other : option.aliases())
    text += fmt::format("{}--{}", text.empty() ? " (also " : ", ", other);
  if (!text.empty()) text += ")";
  if (option.is_required()) return text + " (required)";
  return option.default_text().empty() ? text : text + fmt::format(" (default: {})", option.default_text());
}

MODERNGPT2_INLINE std::string option_help(const OptionTable& table) {
  std::string text = fmt::format("{}\n\nUsage: {}\n", table.description, table.usage());
  detail::TwoColumns columns(text);
  table.for_each_row(
      [&](const std::string& section) { text += fmt::format("\n{}:\n", section.empty() ? "Options" : section); },
      [&](const Option& option) { columns.row(option.usage(), option.help() + option_remarks(option)); });
  text += "\nHelp:\n";
  for (const HelpFlag& flag : help_flags) columns.row(flag.usage, flag.help);
  text += "\nExit status:\n";
  for (const auto& [status, meaning] : table.exit_statuses) columns.row(status, meaning);
  return text;
}

MODERNGPT2_INLINE std::string option_markdown(const OptionTable& table) {
  using detail::markdown_cell;
  std::string text =
      fmt::format("# {}\n\n{}\n\n    {}\n", table.program, detail::markdown_prose(table.description), table.usage());
  table.for_each_row(
      [&](const std::string& section) {
        text += fmt::format("\n## {}\n\n| flag | default | meaning |\n| --- | --- | --- |\n",
                            section.empty() ? "Options" : section);
      },
      [&](const Option& option) {
        const std::string fallback = option.is_required()            ? "required"
                                     : option.default_text().empty() ? ""
                                                                     : "`" + option.default_text() + "`";
        std::string meaning = option.help();
        std::string others;
        for (const std::string& other : option.aliases())
          others += fmt::format("{}`--{}`", others.empty() ? "" : ", ", other);
        if (!others.empty()) meaning += " (also " + others + ")";
        text += fmt::format("| `{}` | {} | {} |\n", markdown_cell(option.usage()), markdown_cell(fallback),
                            markdown_cell(detail::markdown_prose(meaning)));
      });
  text += "\n`--help`, `--version` and `--completion bash|zsh|fish` are flags of every program.\n";
  if (!table.examples.empty()) text += "\n## Examples\n";
  for (const OptionTable::Example& example : table.examples)
    text += fmt::format("\n{}:\n\n```sh\n{} {}\n```\n", example.does, table.program, example.arguments);
  text += "\n## Exit status\n\n| status | meaning |\n| --- | --- |\n";
  for (const auto& [status, meaning] : table.exit_statuses) text += fmt::format("| {} | {} |\n", status, meaning);
  return text;
}

}  // namespace moderngpt2

#endif
