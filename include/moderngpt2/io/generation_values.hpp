#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/io/json.hpp"

// Generation options as JSON: fields of generation_config.json, and flags of `generate` that are written as JSON.
namespace moderngpt2::detail {

inline int token_id(const Json& value, std::string_view name, const std::string& where, int least) {
  const int id = json_as<int>(value, name, where);
  if (id < least) throw Error("{}: {} has the token id {}, it must not be negative", where, name, id);
  return id;
}

/// Token ids of a list. `least`: 0, or -1 to accept the id -1, which stands for no token.
inline std::vector<int> token_list(const Json& value, std::string_view name, const std::string& where, int least) {
  if (!value.is_array()) throw Error("{}: {} must be a list of token ids, found {}", where, name, json_excerpt(value));
  std::vector<int> ids;
  for (const Json& id : value) ids.push_back(token_id(id, name, where, least));
  return ids;
}

inline double finite_number(const Json& value, std::string_view name, const std::string& where) {
  const double number = json_as<double>(value, name, where);
  if (!std::isfinite(number)) throw Error("{}: {} has the number {}, it must be finite", where, name, number);
  return number;
}

/// Converts the value of an option. `where`: beginning of errors.
template <class T>
T generation_value(const Json& value, std::string_view name, const std::string& where) {
  const auto expect_list = [&](const Json& list, const char* form) {
    if (!list.is_array()) throw Error("{}: {} must be {}, found {}", where, name, form, json_excerpt(value));
  };
  if constexpr (std::is_same_v<T, EarlyStopping>) {
    if (value.is_boolean()) return value.get<bool>() ? EarlyStopping::at_once : EarlyStopping::heuristic;
    if (value == "never") return EarlyStopping::never;
    throw Error("{}: early_stopping must be true, false or \"never\", found {}", where, json_excerpt(value));
  } else if constexpr (std::is_same_v<T, std::vector<int>>) {
    if (value.is_number()) return {token_id(value, name, where, 0)};
    return token_list(value, name, where, name.ends_with("suppress_tokens") ? -1 : 0);
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    if (value.is_string()) return {value.get<std::string>()};
    expect_list(value, "a string or a list of strings");
    std::vector<std::string> texts;
    for (const Json& text : value) texts.push_back(json_as<std::string>(text, name, where));
    return texts;
  } else if constexpr (std::is_same_v<T, std::vector<std::vector<int>>>) {
    expect_list(value, "a list of lists of token ids, such as [[5], [7, 8]]");
    T sequences;
    for (const Json& ids : value) {
      sequences.push_back(token_list(ids, name, where, 0));
      if (sequences.back().empty()) throw Error("{}: {} has an empty list of token ids", where, name);
    }
    return sequences;
  } else if constexpr (std::is_same_v<T, std::vector<SequenceBias>>) {
    constexpr const char* form = "a list of pairs, such as [[[5], -2.5], [[7, 8], 1.0]]";
    expect_list(value, form);
    T biases;
    for (const Json& pair : value) {
      expect_list(pair, form);
      if (pair.size() != 2) throw Error("{}: {} must be {}, found {}", where, name, form, json_excerpt(value));
      biases.push_back({token_list(pair[0], name, where, 0), finite_number(pair[1], name, where)});
      if (biases.back().tokens.empty()) throw Error("{}: {} has an empty list of token ids", where, name);
    }
    return biases;
  } else if constexpr (std::is_same_v<T, LengthDecay>) {
    constexpr const char* form = "a number of tokens and a factor, such as [20, 1.1]";
    expect_list(value, form);
    if (value.size() != 2) throw Error("{}: {} must be {}, found {}", where, name, form, json_excerpt(value));
    const LengthDecay decay{token_id(value[0], name, where, 0), finite_number(value[1], name, where)};
    if (decay.factor <= 0) throw Error("{}: {} has the factor {}, it must be positive", where, name, decay.factor);
    return decay;
  } else {
    return json_as<T>(value, name, where);
  }
}

inline Json generation_json(EarlyStopping value) {
  return value == EarlyStopping::never ? Json("never") : Json(value == EarlyStopping::at_once);
}
inline Json generation_json(const std::vector<SequenceBias>& value) {
  Json list = Json::array();
  for (const SequenceBias& bias : value) list.push_back(Json::array({bias.tokens, bias.bias}));
  return list;
}
inline Json generation_json(const LengthDecay& value) { return Json::array({value.start, value.factor}); }
template <class T>
Json generation_json(const T& value) {
  return value;
}

/// Member of GenerationOptions whose flag takes JSON.
template <class T>
concept JsonOption = std::is_same_v<T, std::vector<std::vector<int>>> || std::is_same_v<T, std::vector<SequenceBias>> ||
    std::is_same_v<T, std::optional<LengthDecay>>;

}  // namespace moderngpt2::detail
