#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/exit_request.hpp"
#include "moderngpt2/cli/option_completion.hpp"
#include "moderngpt2/cli/option_man.hpp"
#include "moderngpt2/cli/option_table.hpp"
#include "moderngpt2/cli/option_text.hpp"
#include "moderngpt2/cli/option_values.hpp"
#include "moderngpt2/core/nearest_name.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/version.hpp"

namespace moderngpt2::detail {

/// Throws the ExitRequest of --help, --version, --completion and the like, unless the word is the value of a flag.
void answer_questions(const OptionTable& table, const std::vector<std::string>& arguments);

/// Names that a misspelled flag may mean (see nearest_names()), one for each option.
std::vector<std::string> similar_flags(const OptionTable& table, const std::string& typed);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2::detail {

MODERNGPT2_INLINE void answer_questions(const OptionTable& table, const std::vector<std::string>& arguments) {
  const std::string completion = "--completion";
  for (std::size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string& word = arguments[i];
    if (const Option* const option = table.find(flag_of(word))) {
      const bool takes_next = word.find('=') == word.npos && i + 1 < arguments.size() &&
                              (option->kind() == Option::Kind::value || option->kind() == Option::Kind::list);
      if (takes_next && (!option->has_bare_value() || !looks_like_flag(arguments[i + 1]))) ++i;
      continue;
    }
    if (word == "--help" || word == "-h") throw ExitRequest{0, option_help(table, help_width())};
    if (word == "--version") throw ExitRequest{0, fmt::format("{} (ModernGPT2) {}\n", table.program, version)};
    if (word == "--help_markdown") throw ExitRequest{0, option_markdown(table)};
    if (word == "--help_man") throw ExitRequest{0, option_man(table)};
    if (word.starts_with(completion + "="))
      throw ExitRequest{0, option_completion(table, word.substr(completion.size() + 1))};
    if (word == completion)
      throw ExitRequest{0, option_completion(table, i + 1 < arguments.size() ? arguments[i + 1] : "")};
  }
}

MODERNGPT2_INLINE std::vector<std::string> similar_flags(const OptionTable& table, const std::string& typed) {
  std::vector<std::string> shown{"help", "version", "completion"}, hidden;
  for (const Option& option : table.rows)
    for (std::string& spelling : option.spellings())
      (option.is_hidden() ? hidden : shown).push_back(std::move(spelling));
  constexpr std::size_t most = 3;
  std::vector<std::string> similar;
  std::set<const Option*> named;
  for (std::string& name : nearest_names(typed, shown, hidden, 100)) {
    const auto option = std::find_if(table.rows.begin(), table.rows.end(), [&](const Option& row) {
      const std::vector<std::string> spellings = row.spellings();
      return std::find(spellings.begin(), spellings.end(), name) != spellings.end();
    });
    const bool is_alias = option != table.rows.end() && !named.insert(&*option).second;
    if (!is_alias) similar.push_back(std::move(name));
  }
  if (similar.size() > most) similar.clear();
  return similar;
}

}  // namespace moderngpt2::detail

#endif
