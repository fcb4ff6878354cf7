#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/option_table.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

namespace detail {

/// Kind of completions that a shell offers for the value of an option.
enum class Offer { nothing, words, files, folders };

inline Offer offer_for(const Option& option) {
  if (option.kind() == Option::Kind::toggle) return Offer::nothing;
  if (!option.choices().empty()) return Offer::words;
  const std::string& word = option.metavar();
  return word == "DIR" ? Offer::folders : word == "PATH" || word == "FILE" ? Offer::files : Offer::nothing;
}

inline std::string with_replaced(std::string_view text, char old, std::string_view by) {
  std::string out;
  for (const char c : text) out += c == old ? std::string(by) : std::string(1, c);
  return out;
}

/// Quotes text for bash and zsh, with single quotes. For fish, double the backslashes of `text` first.
inline std::string shell_quoted(std::string_view text) { return "'" + with_replaced(text, '\'', "'\\''") + "'"; }

/// "--name|--alias"
inline std::string all_flags(const Option& option, std::string_view separator) {
  return fmt::format("--{}", fmt::join(option.spellings(), fmt::format("{}--", separator)));
}

inline void for_each_shown(const OptionTable& table, const std::function<void(const Option&)>& row) {
  table.for_each_row([](const std::string&) {}, row);
}

/// Completion script for bash. The last flag before the current word decides what is offered: values of that flag if it
/// takes one (a list takes any number), otherwise flags.
inline std::string bash_completion(const OptionTable& table) {
  std::string flags = "--help --version --completion", lists = "--", cases;
  for_each_shown(table, [&](const Option& option) {
    flags += " " + all_flags(option, " ");
    if (option.kind() == Option::Kind::toggle) return;
    const std::string names = all_flags(option, "|");
    if (option.kind() == Option::Kind::list) lists += "|" + names;
    const Offer offer = offer_for(option);
    const std::string then = offer == Offer::words     ? fmt::format("words='{}'", fmt::join(option.choices(), " "))
                             : offer == Offer::files   ? "kind=file"
                             : offer == Offer::folders ? "kind=directory"
                                                       : "return";
    cases += fmt::format("    {}) {} ;;\n", names, then);
  });
  constexpr std::string_view script = R"(# bash completion for {program} (ModernGPT2)
_moderngpt2_{program}() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} place=$((COMP_CWORD - 1)) flag words= kind=
  COMPREPLY=()
  # Bash makes three words of --name=value.
  if [[ $word == = ]]; then
    word=
  elif [[ ${{COMP_WORDS[place]}} == = ]]; then
    place=$((place - 1))
  fi
  flag=${{COMP_WORDS[place]}}
  if [[ $word != -* ]]; then
    while ((place > 0)) && [[ ${{COMP_WORDS[place]}} != --* ]]; do place=$((place - 1)); done
    case ${{COMP_WORDS[place]}} in
    {lists}) flag=${{COMP_WORDS[place]}} ;;
    esac
  fi
  case $flag in
    --completion) words='bash zsh fish' ;;
{cases}    *) words='{flags}'{otherwise} ;;
  esac
  if [[ $kind ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -A "$kind" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  fi
}}
complete -F _moderngpt2_{program} {program}
)";
  return fmt::format(script, fmt::arg("program", table.program), fmt::arg("lists", lists), fmt::arg("cases", cases),
                     fmt::arg("flags", flags),
                     fmt::arg("otherwise", table.positional_name.empty() ? "" : "; [[ $word == -* ]] || kind=file"));
}

inline std::string zsh_completion(const OptionTable& table) {
  std::string specs;
  bool takes_files = !table.positional_name.empty();  // among the words that follow no flag, or a list's first value
  const auto add = [&](const std::string& spec) { specs += fmt::format(" \\\n    {}", shell_quoted(spec)); };
  const auto help = [](const Option& option) {
    return with_replaced(with_replaced(with_replaced(option.help(), '\\', "\\\\"), '[', "\\["), ']', "\\]");
  };
  for_each_shown(table, [&](const Option& option) {
    const Offer offer = offer_for(option);
    const std::string action = offer == Offer::words     ? fmt::format("({})", fmt::join(option.choices(), " "))
                               : offer == Offer::files   ? "_files"
                               : offer == Offer::folders ? "_files -/"
                                                         : " ";
    takes_files = takes_files || (option.kind() == Option::Kind::list && offer == Offer::files);
    for (const std::string& name : option.spellings()) {
      if (option.kind() == Option::Kind::toggle)
        add(fmt::format("--{}[{}]", name, help(option)));
      else
        add(fmt::format("--{}=[{}]:{}:{}", name, help(option), option.metavar(), action));
    }
  });
  add("--help[shows the flags]");
  add("--version[shows the version]");
  add("--completion=[writes a completion]:shell:(bash zsh fish)");
  if (takes_files) add("*:PATH:_files");
  return fmt::format("#compdef {0}\n_{0}() {{\n  _arguments{1}\n}}\n", table.program, specs) +
         fmt::format("if [[ $funcstack[1] == _{0} ]]; then\n  _{0} \"$@\"\nelse\n  compdef _{0} {0}\nfi\n",
                     table.program);
}

inline std::string fish_completion(const OptionTable& table) {
  std::string text = fmt::format("# fish completion for {} (ModernGPT2)\n", table.program);
  const auto quoted = [](std::string_view s) { return shell_quoted(with_replaced(s, '\\', "\\\\")); };
  const auto add = [&](const std::string& name, std::string_view value, std::string_view help) {
    text += fmt::format("complete -c {} -l {}{} -d {}\n", table.program, name, value, quoted(help));
  };
  if (table.positional_name.empty()) text += fmt::format("complete -c {} -f\n", table.program);
  for_each_shown(table, [&](const Option& option) {
    const Offer offer = offer_for(option);
    const std::string value = option.kind() == Option::Kind::toggle ? ""
                              : offer == Offer::words
                                  ? " -x -a " + quoted(fmt::format("{}", fmt::join(option.choices(), " ")))
                              : offer == Offer::files   ? " -r -F"
                              : offer == Offer::folders ? " -x -a '(__fish_complete_directories)'"
                                                        : " -x";
    for (const std::string& name : option.spellings()) add(name, value, option.help());
  });
  add("help", "", "shows the flags");
  add("version", "", "shows the version");
  add("completion", " -x -a 'bash zsh fish'", "writes a completion");
  return text;
}

}  // namespace detail

/// Returns a script that completes the program's flags and their values. `shell`: bash, zsh or fish; throws UsageError
/// for another word.
inline std::string option_completion(const OptionTable& table, const std::string& shell) {
  if (shell == "bash") return detail::bash_completion(table);
  if (shell == "zsh") return detail::zsh_completion(table);
  if (shell == "fish") return detail::fish_completion(table);
  throw UsageError("--completion: '{}' is not one of bash, zsh, fish", shell);
}

}  // namespace moderngpt2
