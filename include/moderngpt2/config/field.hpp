#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

// Settings are described once. A structure names each of its members in a function template beside it,
//
//   template <DescribedAs<Settings> S, class Visitor>
//   void describe(S& s, Visitor&& visit) {
//     visit(s.max_steps, {.name = "max_steps", .help = "Optimizer steps.", .section = "Training", .at_least = -1});
//     ...
//   }
//
// and everything that needs a list of members is a visitor, a callable (auto& member, const Field&): command-line flags
// (cli/field_flags.hpp), config.json, the comparison of ranks (run/ranks.hpp), printed summaries.
namespace moderngpt2 {

/// Facts about one member of a structure, as plain data.
struct Field {
  const char* name;          ///< flag without dashes, and key in a file
  const char* help = "";     ///< text of --help
  const char* section = "";  ///< heading in --help that lists the flag; empty: the member has no flag
  std::optional<double> at_least{}, more_than{}, at_most{};  ///< bounds of a number, see check_bounds()
  std::span<const std::string_view> choices{};               ///< words that a text may be; empty: any
  const char* default_text = nullptr;                        ///< default shown in --help; null: the member's value
  const char* metavar = nullptr;                             ///< placeholder for the value in --help, such as PATH
  std::array<const char*, 2> aliases{};                      ///< alternative names of the flag and the key
  bool negatable = false;                                    ///< switch with a flag --no_NAME that turns it off
  bool same_on_ranks = true;  ///< affects results or communication, so that all ranks must have the same value
  bool in_summary = false;    ///< a run's summary prints it in a line of its own; others only if not the default
};

/// Type of the first parameter of describe(): T or const T.
template <class S, class T>
concept DescribedAs = std::same_as<std::remove_const_t<S>, T>;

}  // namespace moderngpt2
