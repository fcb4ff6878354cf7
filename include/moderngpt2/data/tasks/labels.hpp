#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/row_reader.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Classes of a data set: collected from its rows, or fixed by a checkpoint. Threads: one at a time.
class LabelSet {
 public:
  LabelSet() = default;
  /// Classes of a checkpoint. Throws Error for a repeated name.
  explicit LabelSet(std::vector<std::string> names) : names_(std::move(names)), fixed_(true) {
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (!ids_.emplace(names_[i], int(i)).second) throw Error("labels: {} occurs twice", excerpt(names_[i]));
  }

  /// Adds a label, which must be the id or name of a class. Returns a handle for id_of(). Throws Error that names the
  /// row for another value, or for a class that the checkpoint lacks.
  int add(const Json& label, std::string_view column, const RowPlace& place) {
    if (label.is_string()) return add_name(label.get<std::string>(), column, place);
    if (!label.is_number_integer() && !label.is_boolean())
      throw Error("{}: {} must be the id or the name of a class, found {}", place.text(), column,
                  detail::json_excerpt(label));
    const std::int64_t id = label.is_boolean() ? label.get<bool>() : json_as<std::int64_t>(label, column, place.text());
    const std::int64_t limit = fixed_ ? std::int64_t(names_.size()) : max_classes;
    if (id < 0 || id >= limit)
      throw Error("{}: {} is {}, {}", place.text(), column, id,
                  fixed_   ? fmt::format("the checkpoint's labels are 0 to {}", limit - 1)
                  : id < 0 ? "a class's id is not negative"
                           : "too large for the id of a class");
    if (!fixed_) note_kind(false, column, place);
    classes_ = std::max(classes_, int(id) + 1);
    return int(id);
  }

  /// Sets the class names that a file assigns to ids. All files must agree.
  void set_class_names(const std::vector<std::string>& names, const RowPlace& place) {
    if (names.empty() || fixed_) return;
    if (!class_names_.empty() && class_names_ != names)
      throw Error("{}: its class names differ from those of earlier files", place.text());
    class_names_ = names;
  }

  /// Assigns ids to names, sorted by bytes, after all rows.
  void finish() {
    if (fixed_) return;
    fixed_ = true;
    if (has_names_) {
      for (auto& [name, id] : ids_) {  // a sorted map
        final_.resize(std::max(final_.size(), std::size_t(id) + 1));
        final_[std::size_t(id)] = int(names_.size());
        id = int(names_.size());
        names_.push_back(name);
      }
      return;
    }
    names_ = class_names_;
    for (int i = int(names_.size()); i < classes_; ++i) names_.push_back(fmt::format("LABEL_{}", i));
  }

  /// Class id of a handle from add().
  int id_of(int added) const { return final_.empty() ? added : final_[std::size_t(added)]; }
  /// Class names by id.
  const std::vector<std::string>& names() const { return names_; }

 private:
  static constexpr std::int64_t max_classes = 100'000;

  int add_name(const std::string& name, std::string_view column, const RowPlace& place) {
    if (fixed_) {
      const auto found = ids_.find(name);
      if (found != ids_.end()) return found->second;
      throw Error("{}: {} is {}, the checkpoint's labels are {}", place.text(), column, excerpt(name), some_names());
    }
    note_kind(true, column, place);
    return ids_.emplace(name, int(ids_.size())).first->second;
  }

  void note_kind(bool name, std::string_view column, const RowPlace& place) {
    if (any_ && name != has_names_)
      throw Error("{}: {} is {}, in earlier rows {}", place.text(), column, name ? "a name" : "a number",
                  name ? "numbers" : "names");
    any_ = true, has_names_ = name;
  }

  std::string some_names() const {
    constexpr std::size_t most = 20;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, names_.size()); ++i) text += (i ? ", " : "") + excerpt(names_[i], 40);
    return names_.size() > most ? text + ", ..." : text;
  }

  std::vector<std::string> names_, class_names_;
  std::map<std::string, int> ids_;
  std::vector<int> final_;  // ids of names, in order of appearance
  int classes_ = 0;
  bool fixed_ = false, any_ = false, has_names_ = false;
};

}  // namespace moderngpt2
