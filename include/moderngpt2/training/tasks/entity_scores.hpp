#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/tasks/classification_scores.hpp"

namespace moderngpt2 {

/// Named entity: words [begin, end) of a sentence.
struct Entity {
  std::string_view type;
  int begin = 0, end = 0;

  bool operator==(const Entity&) const = default;
};

/// Entities marked by tags such as B-PER, I-PER and O. Lenient like conlleval and the default of seqeval: an I- tag
/// after another type, or after O, begins an entity.
inline std::vector<Entity> entities_of(const std::vector<std::string_view>& tags) {
  std::vector<Entity> found;
  char previous = 'O';
  std::string_view previous_type;
  int begin = 0;
  for (int i = 0; i <= int(tags.size()); ++i) {
    const std::string_view tag = i < int(tags.size()) ? tags[std::size_t(i)] : "O";
    const char kind = tag.empty() ? 'O' : tag[0];
    // A tag without a type ("B") gets the type "_".
    std::string_view type = tag.substr(std::min<std::size_t>(tag.size(), 1));
    if (const std::size_t dash = type.find('-'); dash != type.npos) type.remove_prefix(dash + 1);
    if (type.empty()) type = "_";
    const auto is_one_of = [](char c, std::string_view set) { return set.find(c) != set.npos; };
    const bool other_type = previous != 'O' && previous != '.' && previous_type != type;
    const bool ends = is_one_of(previous, "ES") || (is_one_of(previous, "BI") && is_one_of(kind, "BSO")) || other_type;
    const bool begins = is_one_of(kind, "BS") || (is_one_of(previous, "ESO") && is_one_of(kind, "EI")) ||
                        (kind != 'O' && kind != '.' && previous_type != type);
    if (ends) found.push_back({previous_type, begin, i});
    if (begins) begin = i;
    previous = kind, previous_type = type;
  }
  return found;
}

/// Accumulates entity-level scores over sentences. A predicted entity is correct if type, begin and end match. Threads:
/// one at a time.
class EntityCount {
 public:
  void add(const std::vector<std::string_view>& predicted, const std::vector<std::string_view>& actual) {
    const std::vector<Entity> p = entities_of(predicted), a = entities_of(actual);
    count_.predicted += std::int64_t(p.size()), count_.actual += std::int64_t(a.size());
    for (const Entity& entity : p) count_.hits += std::find(a.begin(), a.end(), entity) != a.end();
    for (std::size_t i = 0; i < actual.size(); ++i) right_ += predicted[i] == actual[i];
    tags_ += std::int64_t(actual.size());
  }
  ScoreList scores() const {
    return {{"accuracy", ClassCount::ratio(double(right_), double(tags_))},
            {"precision", count_.precision()},
            {"recall", count_.recall()},
            {"f1", count_.f1()}};
  }

 private:
  ClassCount count_;
  std::int64_t right_ = 0, tags_ = 0;
};

}  // namespace moderngpt2
