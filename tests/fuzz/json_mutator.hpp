#pragma once

// Mutates inputs as JSON: replaces, copies, moves and removes values. Half of the mutations, and all of inputs that are
// not JSON, are those of libFuzzer. An input may have several parts (fuzz::split): one of them is mutated.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "fuzz.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace fuzz {

class JsonMutator {
 public:
  explicit JsonMutator(unsigned seed) : random_(seed) {}

  /// Returns the mutated text; the same text if it is not JSON.
  std::string mutate(std::string_view text) {
    Json root = Json::parse(text.begin(), text.end(), nullptr, false);
    if (root.is_discarded()) return std::string(text);
    for (std::size_t n = 1 + below(3); n > 0; --n) change(root);
    return root.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  using Json = nlohmann::ordered_json;

  static void collect(Json& value, std::vector<Json*>& out) {
    out.push_back(&value);
    if (value.is_structured())
      for (Json& item : value) collect(item, out);
  }

  Json anything() {
    constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();
    switch (below(14)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return 0;
      case 3:
        return -1;
      case 4:
        return highest - static_cast<std::int64_t>(below(2));
      case 5:
        return std::numeric_limits<std::int64_t>::min();
      case 6:
        return std::numeric_limits<std::uint64_t>::max();
      case 7:
        return std::int64_t{1} << below(63);
      case 8:
        return 1e300;
      case 9:
        return -0.5;
      case 10:
        return "";
      case 11:
        return Json::array();
      case 12:
        return Json::object();
      default:
        return static_cast<std::int64_t>(below(300));
    }
  }

  void change(Json& root) {
    std::vector<Json*> all;
    collect(root, all);
    Json& value = *all[below(all.size())];
    const Json other = *all[below(all.size())];
    switch (below(6)) {
      case 0:
        value = anything();
        break;
      case 1:
        value = other;
        break;
      case 2:
        if (value.is_structured() && !value.empty())
          value.erase(std::next(value.begin(), std::ptrdiff_t(below(value.size()))));
        break;
      case 3:
        if (value.is_array()) value.push_back(value.empty() || below(2) ? other : value[below(value.size())]);
        if (value.is_object()) value[std::to_string(below(20))] = other;
        break;
      case 4:
        if (value.is_string()) value = value.get<std::string>() + (other.is_string() ? other.get<std::string>() : "x");
        if (value.is_number_integer()) value = value.get<std::int64_t>() / 2 + static_cast<std::int64_t>(below(3)) - 1;
        break;
      default:
        if (value.is_string()) {
          std::string text = value.get<std::string>();
          text.resize(text.size() + 8);
          text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), text.size() - 8, text.size()));
          value = text;
        }
    }
  }

  std::minstd_rand random_;
};

}  // namespace fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  fuzz::JsonMutator mutator(seed);
  if (mutator.below(2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::vector<std::string> parts;
  for (std::string_view rest(reinterpret_cast<const char*>(data), size);;) {
    const auto two = fuzz::split(rest, 2);
    parts.emplace_back(two[0]);
    if (two[0].size() == rest.size()) break;
    rest = two[1];
  }
  std::string& part = parts[mutator.below(parts.size())];
  std::string mutated = mutator.mutate(part);
  if (mutated == part) return LLVMFuzzerMutate(data, size, max_size);
  part = std::move(mutated);
  std::string out = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) out.append(fuzz::separator) += parts[i];
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
