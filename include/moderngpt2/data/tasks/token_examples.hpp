#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"

namespace moderngpt2 {

/// Texts split into words, with a class for each word. The label of a word is on its first token; its other tokens have
/// ignored_label. Threads: several may read at once.
class TokenExamples {
 public:
  RaggedRows rows, labels;
  std::vector<std::string> names;  ///< class names
  LabelledExamples labelled;

  int sequences() const { return 1; }
  std::int64_t divisors(std::int64_t begin, std::int64_t end) const {
    std::int64_t count = 0;
    for (std::int64_t i = begin; i < end; ++i)
      for (const int label : labels[i]) count += label != ignored_label;
    return count;
  }

  /// Adds a row. Throws Error that names the row for a missing or mistyped column, or different numbers of labels and
  /// words.
  void add(const DataRow& row, const RowReader& reader, TextEncoder& encoder, LabelSet& set,
           const ExampleOptions& options) {
    const std::vector<std::string> label_names = column_or(options.label_column, {"ner_tags", "tags", "labels"});
    const Json& words =
        require_column(row, column_or(options.text_column, {"tokens", "words"}), "list of words", "text_column");
    const Json* tags = find_label(row, label_names, "labels of the words", options);
    if (tags && options.labels_are_optional && tags->is_array() && words.size() > 0 &&
        std::all_of(tags->begin(), tags->end(), [](const Json& tag) { return tag.is_null() || tag == -1; }))
      tags = nullptr;
    labelled.add(tags != nullptr);
    if (!words.is_array() || (tags && (!tags->is_array() || words.size() != tags->size())))
      throw Error("{}: {} words and {} labels, expected two lists of equal length", row.place.text(),
                  words.is_array() ? words.size() : 0, tags && tags->is_array() ? tags->size() : 0);
    std::string column = label_names[0];
    for (const std::string& name : label_names)
      if (row.fields.contains(name) && &row.fields[name] == tags) column = name;
    if (rows.size() == 0) set.set_class_names(reader.class_names(column), row.place);
    const auto& prefix = encoder.tokenizer().prefix_ids();
    const auto& suffix = encoder.tokenizer().suffix_ids();
    ids_.assign(prefix.begin(), prefix.end());
    labels_.assign(prefix.size(), ignored_label);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::string word = text_of(words[i], "a word", row.place);
      const int label = tags ? set.add((*tags)[i], column, row.place) : 0;
      word_ids_.clear();
      if (!word.empty()) encoder.tokenizer().encode(i > 0 ? options.word_separator + word : word, word_ids_);
      ids_.insert(ids_.end(), word_ids_.begin(), word_ids_.end());
      labels_.resize(ids_.size(), ignored_label);
      if (!word_ids_.empty()) labels_[ids_.size() - word_ids_.size()] = label;
    }
    const std::size_t room = std::size_t(encoder.block_size()) - suffix.size();
    if (ids_.size() > room) encoder.count_cut(), ids_.resize(room);
    ids_.insert(ids_.end(), suffix.begin(), suffix.end());
    if (ids_.empty()) ids_.push_back(encoder.tokenizer().eos_id().value_or(0));
    labels_.resize(std::min(labels_.size(), room));
    labels_.resize(ids_.size(), ignored_label);
    rows.add(ids_), labels.add(labels_);
  }

  /// Converts labels to class ids after all rows.
  void finish(const LabelSet& set) {
    names = set.names();
    for (std::int64_t i = 0; i < labels.size(); ++i) {
      if (!labelled[i]) continue;
      for (int& label : labels.row(i))
        if (label != ignored_label) label = set.id_of(label);
    }
  }

 private:
  std::vector<int> ids_, labels_, word_ids_;
};

}  // namespace moderngpt2
