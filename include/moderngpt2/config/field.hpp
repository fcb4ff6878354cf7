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
  const char* help = "";     ///< one sentence for --help
  const char* section = "";  ///< heading of the flag in --help; empty: the member has no flag
  std::optional<double> at_least{}, more_than{}, at_most{};  ///< bounds of a number that a flag accepts
  std::span<const std::string_view> choices{};               ///< words that a text may be; empty: any
  const char* default_text = nullptr;                        ///< default in --help, where the value does not say it
  const char* metavar = nullptr;                             ///< word for the value in --help
  std::array<const char*, 2> aliases{};                      ///< other names that are read: of the flag, of the key
  bool negatable = false;                                    ///< a switch that --no_NAME turns off
  bool same_on_ranks = true;  ///< changes results or the exchanges of ranks, so all ranks must have the same value
  bool in_summary = false;    ///< the summary of a run has a phrase for it; others are listed where not the default
};

/// The parameter of describe(): a T, or a const T.
template <class S, class T>
concept DescribedAs = std::same_as<std::remove_const_t<S>, T>;

}  // namespace moderngpt2
