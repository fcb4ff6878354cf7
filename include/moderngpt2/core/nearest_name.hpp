#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moderngpt2::detail {

/// Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and swaps of
/// neighbours.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

/// Words of a name between underscores or dashes, in lower case. "evaluation", "evaluate" and "training" become "eval"
/// and "train".
inline std::vector<std::string> words_of_name(std::string_view name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (c == '_' || c == '-') {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  if (words.back().empty()) words.pop_back();
  for (std::string& word : words) {
    if (word == "evaluation" || word == "evaluate") word = "eval";
    if (word == "training") word = "train";
  }
  return words;
}

/// Cost of reading `typed` as a misspelling of `word`; nullopt if it is more likely another word. A plural costs
/// nothing. Digits are never misspelled: "beta3" is not "beta1".
inline std::optional<std::size_t> typo_cost(const std::string& typed, const std::string& word) {
  if (typed == word || typed == word + 's' || typed + 's' == word) return 0;
  const auto digits = [](const std::string& text) {
    std::string found;
    for (const char c : text)
      if (c >= '0' && c <= '9') found += c;
    return found;
  };
  const std::size_t shorter = std::min(typed.size(), word.size()), longer = std::max(typed.size(), word.size());
  if (shorter < 2 || digits(typed) != digits(word)) return std::nullopt;
  // "accum" for "accumulation"
  if (shorter >= 3 && (word.starts_with(typed) || (typed.starts_with(word) && longer - shorter <= 2))) return 1;
  const bool same_start = typed[0] == word[0] || (typed[0] == word[1] && typed[1] == word[0]) ||
                          typed.substr(1) == word || word.substr(1) == typed;
  const std::size_t distance = edit_distance(typed, word), most = longer <= 5 ? 1 : longer <= 9 ? 2 : 3;
  if (!same_start || distance > most || longer < 3) return std::nullopt;
  return distance + 1;
}

/// Cost of reading the words `typed` as a misspelling or a part of `name`; nullopt if they more likely mean another
/// name. `known`: correctly spelled words, which are not misspellings of others, such as "eval" of "save".
inline std::optional<std::size_t> name_cost(const std::vector<std::string>& typed, const std::vector<std::string>& name,
                                            const std::set<std::string>& known) {
  constexpr std::size_t typo = 8, extra_word = 1;
  const auto negations = [](const std::vector<std::string>& words) {
    std::multiset<std::string> found;
    for (const std::string& word : words)
      if (word == "no" || word == "not" || word == "disable" || word == "without" || word == "skip" || word == "ignore")
        found.insert(word);
    return found;
  };
  if (typed.empty() || negations(typed) != negations(name)) return std::nullopt;
  const auto joined = [](const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += word;
    return text;
  };
  const std::string typed_text = joined(typed), name_text = joined(name);
  const std::size_t extra = name.size() > typed.size() ? name.size() - typed.size() : 0;
  std::size_t cost = extra * extra_word;
  std::vector<std::string> rest = name;
  const bool matches = std::all_of(typed.begin(), typed.end(), [&](const std::string& word) {
    auto best = rest.end();
    std::size_t least = 100;
    for (auto at = rest.begin(); at != rest.end(); ++at) {
      const bool is_plural = *at == word + 's' || word == *at + 's';
      if (known.contains(word) && *at != word && !is_plural) continue;
      const std::optional<std::size_t> here = typo_cost(word, *at);
      if (here && *here < least) least = *here, best = at;
    }
    if (best == rest.end()) return false;
    rest.erase(best);
    cost += least * typo;
    return true;
  });
  // A part of a name ends with the thing that the name means: "epochs", but not "cuda" for "cuda_graph".
  const auto is_general = [](const std::string& word) {
    constexpr std::array<std::string_view, 7> words{"dir", "path", "file", "name", "type", "ratio", "limit"};
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  std::size_t last = name.size();
  while (last > 1 && typed.back() != name[last - 1] && is_general(name[last - 1])) --last;
  // Several first words are an abbreviation, as argparse accepts it: "label_smoothing" for "label_smoothing_factor".
  const bool is_start =
      typed.size() > 1 && typed.size() < name.size() && std::equal(typed.begin(), typed.end(), name.begin());
  const bool has_thing = extra == 0 || is_start || (last > 0 && typo_cost(typed.back(), name[last - 1]));
  if (matches) return has_thing && typed_text.size() >= 3 ? std::optional(cost) : std::nullopt;
  // Other divisions into words: "batchsize", "check_point".
  if (typed_text == name_text) return extra_word;
  if (typed_text.size() >= 6 && name_text.ends_with(typed_text)) return typo + extra * extra_word;
  return std::nullopt;
}

/// Maximum length of a name for which a similar one is searched: the time grows with its length.
inline constexpr std::size_t longest_typed_name = 100;

/// Names that `typed` most likely means, as a misspelling or a part: all of equal cost, or none if these are more than
/// `most`. Excludes names with another meaning, such as the opposite, and names that lack a correctly spelled word of
/// `typed`. Dashes match underscores. `others`: less common names, with a higher cost.
inline std::vector<std::string> nearest_names(std::string_view typed, const std::vector<std::string>& names,
                                              const std::vector<std::string>& others = {}, std::size_t most = 3) {
  if (typed.size() > longest_typed_name) return {};
  std::set<std::string> known;
  for (const auto* list : {&names, &others})
    for (const std::string& name : *list)
      for (std::string& word : words_of_name(name)) known.insert(std::move(word));
  const std::vector<std::string> words = words_of_name(typed);
  std::vector<std::string> nearest;
  std::size_t least = ~std::size_t{0};
  for (const auto* list : {&names, &others})
    for (const std::string& name : *list) {
      const std::vector<std::string> other = words_of_name(name);
      std::optional<std::size_t> cost = name_cost(words, other, known);
      if (cost && list == &others && other.size() > words.size()) *cost += 3;
      if (!cost || *cost > least) continue;
      if (*cost < least) nearest.clear();
      least = *cost;
      if (std::find(nearest.begin(), nearest.end(), name) == nearest.end()) nearest.push_back(name);
    }
  if (nearest.size() > most) nearest.clear();
  return nearest;
}

/// Returns the name that `typed` most likely means (see nearest_names()), or "" if there is none or more than one.
inline std::string nearest_name(std::string_view typed, const std::vector<std::string>& names) {
  const std::vector<std::string> nearest = nearest_names(typed, names);
  return nearest.size() == 1 ? nearest.front() : "";
}

/// Question at the end of a message, such as "; did you mean --a or --b?", or "" without names. `prefix`: "--".
inline std::string did_you_mean(const std::vector<std::string>& names, std::string_view prefix = "") {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text.append(prefix) += names[i];
  }
  return text.empty() ? "" : "; did you mean " + text + "?";
}

}  // namespace moderngpt2::detail
