#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Input file of a data set, identified by its content, so that it may have moved when a run is resumed. States of
/// earlier versions have no hash of the content and identify it by path.
struct InputIdentity {
  std::string path;  ///< absolute
  std::int64_t bytes = 0;
  std::string reading;  ///< format and language, which its name determines: "json of en"; empty: unknown
  std::string content;  ///< hash; empty: unknown
  std::string time;     ///< time of the last change when the hash was computed; empty: unknown
};

/// Settings and inputs that determine every byte of a data set. A run can only be resumed if all of them are equal.
struct PretokenizeFingerprint {
  std::vector<std::pair<std::string, std::string>> settings;  ///< name and value
  std::vector<InputIdentity> inputs;                          ///< in the order of reading
};

/// State of an unfinished run after its last finished shard.
struct PretokenizeState {
  PretokenizeFingerprint fingerprint;
  std::vector<std::int64_t> shard_bytes;  ///< size of each finished shard's file
  std::int64_t blocks = 0;                ///< blocks in finished shards
  std::int64_t documents = 0;             ///< documents that are completely in finished shards
  std::int64_t tokens_of_next = 0;        ///< tokens of the next document that are in finished shards
  bool packed = false;                    ///< whether all text is in finished shards
  std::vector<LanguageCounts> languages;  ///< counts of these documents
};

/// Absolute path as UTF-8: bytes that are not UTF-8 are written as \x and two hexadecimal digits.
std::string path_text(const std::filesystem::path& path);

/// Writes the state atomically.
void write_state(const std::filesystem::path& path, const PretokenizeState& state);

/// Reads a state. Throws Error that names file and field if it is invalid.
PretokenizeState read_state(const std::filesystem::path& path);

/// Description of the first difference in settings or inputs between an unfinished run and this one; empty if equal.
std::string difference(const PretokenizeFingerprint& before, const PretokenizeFingerprint& now);

namespace detail {

/// Describes the difference between the `number`-th inputs of two states; empty if they are equal.
std::string difference(const InputIdentity& before, const InputIdentity& now, std::size_t number);

}  // namespace detail

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::string path_text(const std::filesystem::path& path) {
  const std::string raw = std::filesystem::absolute(path).lexically_normal().string();
  std::string text;
  for (std::string_view rest = raw; !rest.empty();) {
    const std::size_t good = valid_utf8_prefix(rest);
    text += rest.substr(0, good);
    rest.remove_prefix(good);
    if (rest.empty()) break;
    text += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest[0]));
    rest.remove_prefix(1);
  }
  return text;
}

MODERNGPT2_INLINE void write_state(const std::filesystem::path& path, const PretokenizeState& state) {
  Json json = {{"settings", Json::object()}, {"inputs", Json::array()},      {"shard_bytes", state.shard_bytes},
               {"blocks", state.blocks},     {"documents", state.documents}, {"tokens_of_next", state.tokens_of_next},
               {"packed", state.packed},     {"languages", Json::array()}};
  for (const auto& [name, value] : state.fingerprint.settings) json["settings"][name] = value;
  for (const InputIdentity& file : state.fingerprint.inputs)
    json["inputs"].push_back({{"path", file.path},
                              {"bytes", file.bytes},
                              {"reading", file.reading},
                              {"content", file.content},
                              {"time", file.time}});
  for (const LanguageCounts& counts : state.languages)
    json["languages"].push_back({{"language", counts.language},
                                 {"documents", counts.documents},
                                 {"tokens", counts.tokens},
                                 {"bytes", counts.bytes}});
  write_json_file(path, json);
}

MODERNGPT2_INLINE PretokenizeState read_state(const std::filesystem::path& path) {
  const Json json = read_json_file(path);
  const std::string where = path.string();
  const auto list = [&](const char* field) -> const Json& {
    const Json* found = find_field(json, field, where);
    if (!found || !found->is_array()) throw Error("{}: the field '{}' is not a list", where, field);
    return *found;
  };
  const auto count = [&](const Json& object, const char* field) {
    const auto value = get_field<std::int64_t>(object, field, where);
    if (value < 0) throw Error("{}: the field '{}' is {}", where, field, value);
    return value;
  };
  PretokenizeState state;
  const Json* settings = find_field(json, "settings", where);
  if (!settings || !settings->is_object()) throw Error("{}: the field 'settings' is not an object", where);
  for (const auto& [name, value] : settings->items())  // earlier versions wrote flags, with their dashes
    state.fingerprint.settings.emplace_back(name.substr(std::min(name.find_first_not_of('-'), name.size())),
                                            json_as<std::string>(value, name, where));
  for (const Json& file : list("inputs")) {
    const auto text = [&](const char* field) {
      return get_optional_field<std::string>(file, field, where).value_or("");
    };
    InputIdentity input{get_field<std::string>(file, "path", where), count(file, "bytes"), text("reading"),
                        text("content"), text("time")};
    for (const auto& [name, value] : state.fingerprint.settings) {  // earlier versions wrote them as settings
      if (name == "the content of " + input.path) input.content = value;
      if (name == "the time of " + input.path) input.time = value;
    }
    state.fingerprint.inputs.push_back(std::move(input));
  }
  for (const Json& bytes : list("shard_bytes"))
    state.shard_bytes.push_back(json_as<std::int64_t>(bytes, "shard_bytes", where));
  state.blocks = count(json, "blocks");
  state.documents = count(json, "documents");
  state.tokens_of_next = count(json, "tokens_of_next");
  state.packed = get_field<bool>(json, "packed", where);
  for (const Json& counts : list("languages"))
    state.languages.push_back({get_field<std::string>(counts, "language", where), count(counts, "documents"),
                               count(counts, "tokens"), count(counts, "bytes")});
  return state;
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string difference(const InputIdentity& before, const InputIdentity& now, std::size_t number) {
  const bool moved = before.path != now.path, has_content = !before.content.empty() && !now.content.empty();
  const bool same_content = before.bytes == now.bytes && (!has_content || before.content == now.content);
  if (moved && !(has_content && same_content))
    return fmt::format("input {} was {} and is now {}{}", number, before.path, now.path,
                       has_content ? ", with other content" : "");
  if (before.bytes != now.bytes)
    return fmt::format("the input {} had {} bytes and now has {}", now.path, before.bytes, now.bytes);
  if (!same_content) return now.path + " has changed";
  if (!before.reading.empty() && !now.reading.empty() && before.reading != now.reading)
    return fmt::format("input {} was read as {} and is now read as {}, by its name {}", number, before.reading,
                       now.reading, now.path);
  return "";
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string difference(const PretokenizeFingerprint& before, const PretokenizeFingerprint& now) {
  for (const auto& [name, value] : now.settings) {
    std::string other = name == "bpe_dropout" ? "0" : "nothing";  // earlier versions had no dropout
    for (const auto& [other_name, text] : before.settings)
      if (other_name == name) other = text;
    if (other == value) continue;
    const bool is_setting = name.find(' ') == name.npos;  // not "the longest document"
    return fmt::format("{} was {} and is now {}", is_setting ? fmt::format("{}", Setting{name}) : name, other, value);
  }
  for (std::size_t i = 0; i < std::max(before.inputs.size(), now.inputs.size()); ++i) {
    if (i >= before.inputs.size()) return fmt::format("the input {} is new", now.inputs[i].path);
    if (i >= now.inputs.size()) return fmt::format("the input {} is missing", before.inputs[i].path);
    if (std::string text = detail::difference(before.inputs[i], now.inputs[i], i + 1); !text.empty()) return text;
  }
  return "";
}

}  // namespace moderngpt2

#endif
