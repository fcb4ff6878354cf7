#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/option_values.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Flag of another program. Values that need no action are accepted with a note; others are errors that say how to get
/// their effect.
struct ForeignFlag {
  enum class Form : unsigned char { toggle, value, list };

  const char* name;
  Form form;
  const char* accepted;      ///< values that need no action, separated by '|', such as "True"; "*": every value
  const char* note;          ///< reason why they need no action
  const char* refusal = "";  ///< error for other values: what is wrong, what to do instead

  bool accepts(std::string_view value) const {
    const std::string_view all = accepted;
    if (all == "*" || all.empty()) return !all.empty();
    for (std::size_t begin = 0; begin <= all.size();) {
      const std::size_t end = std::min(all.find('|', begin), all.size());
      if (value == all.substr(begin, end - begin)) return true;
      begin = end + 1;
    }
    return false;
  }

  /// Returns the note for `values`. Throws UsageError for a value that is not accepted.
  std::string note_for(const std::vector<std::string>& values) const;
};

namespace detail {

/// Values of the foreign flag in arguments[i]; advances i to the last of them. A toggle has one value, "True" or
/// "False".
std::vector<std::string> foreign_values(const std::vector<std::string>& arguments, std::size_t& i,
                                        ForeignFlag::Form form, bool is_negated);

}  // namespace detail

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_INLINE std::string ForeignFlag::note_for(const std::vector<std::string>& values) const {
  for (const std::string& value : values)
    if (!accepts(value)) throw UsageError("--{}{}{}: {}", name, value.empty() ? "" : " ", value, refusal);
  return fmt::format("--{}: {}", name, note);
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::vector<std::string> foreign_values(const std::vector<std::string>& arguments, std::size_t& i,
                                                          ForeignFlag::Form form, bool is_negated) {
  const std::string word = arguments[i], flag = word.substr(2, word.find('=') - 2);
  const auto next = [&] { return i + 1 < arguments.size() ? arguments[i + 1] : std::string("--"); };
  std::vector<std::string> values;
  if (word.find('=') != word.npos) values.push_back(word.substr(word.find('=') + 1));
  if (form == ForeignFlag::Form::toggle) {
    if (values.empty() && is_switch_word(next())) values.push_back(arguments[++i]);
    return {(values.empty() || parse_switch(flag, values.front())) != is_negated ? "True" : "False"};
  }
  const std::size_t most = form == ForeignFlag::Form::list ? arguments.size() : 1;
  while (values.size() < most && !next().starts_with("--")) values.push_back(arguments[++i]);
  if (values.empty()) values.emplace_back();
  return values;
}

}  // namespace moderngpt2::detail

#endif
