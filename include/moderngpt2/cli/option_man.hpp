#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/cli/option_table.hpp"
#include "moderngpt2/cli/option_text.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/version.hpp"

namespace moderngpt2 {

namespace detail {

/// Escapes text for roff: backslashes, a dot or quote at the start of a line, and dashes (so that "-" can be copied).
std::string roff(std::string_view text);

/// "--seed INT" with the flag in bold and the value in italics.
std::string roff_usage(std::string_view usage);

std::string upper(std::string text);

}  // namespace detail

/// The program's manual page in the macros of man(7).
std::string option_man(const OptionTable& table);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_begins = c == '\n';
  }
  return out;
}

MODERNGPT2_INLINE std::string roff_usage(std::string_view usage) {
  const std::size_t space = usage.find(' ');
  const std::string flag = fmt::format("\\fB{}\\fR", roff(usage.substr(0, space)));
  return space == usage.npos ? flag : fmt::format("{} \\fI{}\\fR", flag, roff(usage.substr(space + 1)));
}

MODERNGPT2_INLINE std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string option_man(const OptionTable& table) {
  using detail::roff;
  std::string text =
      fmt::format(".TH {} 1 \"\" \"ModernGPT2 {}\" \"User Commands\"\n", detail::upper(table.program), version);
  text += fmt::format(".SH NAME\n{} \\- {}\n", table.program, roff(table.summary()));
  text += fmt::format(".SH SYNOPSIS\n.B {}\n[\\fIOPTIONS\\fR]{}\n", table.program,
                      table.positional_name.empty() ? "" : fmt::format(" \\fI{}\\fR...", table.positional_name));
  text += fmt::format(".SH DESCRIPTION\n{}\n", roff(table.description));
  text +=
      ".PP\nA value is written \\fB\\-\\-name\\fR \\fIvalue\\fR or \\fB\\-\\-name=\\fR\\fIvalue\\fR; one that begins\n"
      "with two dashes, or an empty one, goes after the equals sign.\n";
  text += ".SH OPTIONS\n";
  const auto row = [&](std::string_view usage, std::string_view help) {
    text += fmt::format(".TP\n{}\n{}\n", detail::roff_usage(usage), roff(help));
  };
  table.for_each_row(
      [&](const std::string& section) {
        if (!section.empty()) text += fmt::format(".SS {}\n", roff(section));
      },
      [&](const Option& option) {
        const std::string usage =
            option.is_negatable() ? fmt::format("\\fB\\-\\-{}\\fR, \\fB\\-\\-no_{}\\fR", option.name(), option.name())
                                  : detail::roff_usage(option.usage());
        text += fmt::format(".TP\n{}\n{}\n", usage, roff(option.help() + option_remarks(option)));
      });
  text += ".SS Help\n";
  for (const HelpFlag& flag : help_flags) row(flag.usage, flag.help);
  if (!table.examples.empty()) text += ".SH EXAMPLES\n";
  for (const OptionTable::Example& example : table.examples)
    text += fmt::format(".PP\n{}:\n.PP\n.EX\n{} {}\n.EE\n", roff(example.does), table.program, roff(example.arguments));
  text += ".SH EXIT STATUS\n";
  for (const auto& [status, meaning] : table.exit_statuses)
    text += fmt::format(".TP\n.B {}\n{}\n", roff(status), roff(meaning));
  return text;
}

}  // namespace moderngpt2

#endif
