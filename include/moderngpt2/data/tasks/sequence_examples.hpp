#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"

namespace moderngpt2 {

/// Texts or pairs of texts with labels: a class, several classes, or numbers. Threads: several may read at once.
class SequenceExamples {
 public:
  RaggedRows rows;
  std::vector<int> classes;  ///< class of each text, if texts have one class
  std::vector<float>
      values;  ///< (texts, values_each) otherwise: numbers, or 1 for each class of the text and 0 for others
  int values_each = 0;
  std::vector<std::string> names;  ///< names of the classes or numbers
  LabelledExamples labelled;

  int sequences() const { return 1; }
  std::int64_t divisors(std::int64_t begin, std::int64_t end) const {
    return (end - begin) * (values_each > 0 ? values_each : 1);
  }

  /// Adds a row. Throws Error that names the row for a missing or mistyped column.
  void add(const DataRow& row, const RowReader& reader, TextEncoder& encoder, LabelSet& labels,
           const ExampleOptions& options) {
    if (text_columns_.empty()) text_columns_ = find_text_columns(row, options);
    std::array<std::string, 2> texts;
    for (std::size_t i = 0; i < text_columns_.size(); ++i)
      texts[i] = text_of(require_column(row, {text_columns_[i]}, "text", "text_column"), text_columns_[i], row.place);
    // A line feed separates the texts: tokenizers of language models have no separator token.
    if (text_columns_.size() == 2) texts[0] += '\n';
    rows.add(encoder.encode(texts[0], text_columns_.size() == 2 ? &texts[1] : nullptr));
    add_label(row, reader, labels, options);
  }

  /// Problem type according to the labels, if neither settings nor checkpoint have one.
  ProblemType problem() const {
    if (kind_ == Kind::number) return ProblemType::regression;
    return kind_ == Kind::classes || kind_ == Kind::numbers ? ProblemType::multi_label : ProblemType::single_label;
  }
  /// Number of outputs: length of the labels' lists, 1 for single numbers, 0 for classes.
  int width() const { return kind_ == Kind::number ? 1 : kind_ == Kind::numbers ? width_ : 0; }

  /// Throws Error if the labels have another form than those of the training set.
  void require_form_of(const SequenceExamples& training) const {
    const auto is_none = [](const SequenceExamples& examples) { return examples.kind_ == Kind::none; };
    if (is_none(*this) || is_none(training)) return;
    const auto is_single = [](Kind kind) { return kind == Kind::one_class || kind == Kind::number; };
    const bool fits = kind_ == training.kind_ || (is_single(kind_) && is_single(training.kind_) && !has_names_);
    if (!fits)
      throw Error("{}: labels are {}, but those of the training set are {}", first_.text(), name_of(kind_),
                  name_of(training.kind_));
  }

  /// Fills `classes` or `values` after all rows. Throws Error if the labels do not fit the problem type.
  void finish(ProblemType type, int num_labels, const LabelSet& labels) {
    names = labels.names();
    const auto refuse = [&](const char* found) {
      throw Error("{}: labels are {}, which do not fit the problem type {}", first_.text(), found, name_of(type));
    };
    const auto class_at = [&](std::size_t i) {
      const int id = labels.id_of(int(found_[i]));
      if (id >= num_labels)
        throw Error("{}: class {} is out of range, the model has classes 0 to {}", first_.text(), id, num_labels - 1);
      return id;
    };
    const bool has_labels = kind_ != Kind::none;
    if (type == ProblemType::single_label) {
      if (has_labels && kind_ != Kind::one_class) refuse(kind_ == Kind::classes ? "lists" : "numbers with a fraction");
      for (std::size_t row = 0; row + 1 < starts_.size(); ++row)
        classes.push_back(labelled[std::int64_t(row)] ? class_at(std::size_t(starts_[row])) : 0);
      return;
    }
    values_each = num_labels;
    // In the test sets of GLUE all numbers are -1.
    const bool is_test = are_optional_ && type == ProblemType::regression;
    if (is_test && std::all_of(found_.begin(), found_.end(), [](double value) { return value == -1; }))
      labelled.remove_all();
    if (has_labels && (type == ProblemType::regression ? has_names_ || kind_ == Kind::classes : kind_ == Kind::number))
      refuse(type == ProblemType::regression ? "classes" : "single numbers");
    const bool dense = type == ProblemType::regression || kind_ == Kind::numbers;
    values.assign(std::size_t(rows.size()) * std::size_t(num_labels), 0.0f);
    for (std::size_t row = 0; row + 1 < starts_.size(); ++row) {
      const std::size_t begin = std::size_t(starts_[row]), end = std::size_t(starts_[row + 1]);
      if (!labelled[std::int64_t(row)]) continue;
      if (dense && end - begin != std::size_t(num_labels))
        throw Error("{}: {} labels per text, but the model has {} outputs", first_.text(), end - begin, num_labels);
      float* const to = values.data() + row * std::size_t(num_labels);
      for (std::size_t i = begin; i < end; ++i) {
        if (dense)
          to[i - begin] = float(found_[i]);
        else
          to[class_at(i)] = 1;
      }
    }
  }

 private:
  enum class Kind { none, one_class, classes, number, numbers };

  static const char* name_of(ProblemType type) {
    return type == ProblemType::regression    ? "regression"
           : type == ProblemType::multi_label ? "multi-label"
                                              : "single-label";
  }

  static const char* name_of(Kind kind) {
    constexpr const char* kinds[]{"missing", "single classes", "lists of classes", "numbers", "lists of numbers"};
    return kinds[int(kind)];
  }

  static std::vector<std::string> find_text_columns(const DataRow& row, const ExampleOptions& options) {
    std::vector<std::string> given = split_names(options.text_column);
    if (given.size() > 2)
      throw UsageError("{}: {} names more than two columns", Setting{"text_column"}, options.text_column);
    if (!given.empty()) return given;
    using Pair = std::array<const char*, 2>;
    for (const auto& [a, b] : {Pair{"sentence1", "sentence2"}, Pair{"premise", "hypothesis"},
                               Pair{"question1", "question2"}, Pair{"question", "sentence"},
                               Pair{"question", "passage"}, Pair{"question", "context"}, Pair{"text_a", "text_b"}})
      if (row.fields.contains(a) && row.fields.contains(b)) return {a, b};
    for (const char* name : {"text", "sentence", "content", "review", "question"})
      if (row.fields.contains(name)) return {name};
    throw Error("{}: no text column found; the columns are {}. Name one, or two separated by a comma, with {}",
                row.place.text(), column_names(row.fields), Setting{"text_column"});
  }

  void add_label(const DataRow& row, const RowReader& reader, LabelSet& labels, const ExampleOptions& options) {
    const std::vector<std::string> columns = column_or(options.label_column, {"label", "labels"});
    const Json* const found = find_label(row, columns, "label", options);
    labelled.add(found != nullptr);
    are_optional_ = options.labels_are_optional;
    if (!found) return starts_.push_back(std::int64_t(found_.size()));
    const Json& label = *found;
    const std::string& column = row.fields.contains(columns[0]) ? columns[0] : columns.back();
    if (kind_ == Kind::none) {
      first_ = row.place;
      labels.set_class_names(reader.class_names(column), row.place);
    }
    const bool number_wanted = options.problem_type == ProblemType::regression;
    const auto is_real = [&](const Json& value) {
      return value.is_number_float() || (value.is_number() && number_wanted);
    };
    Kind kind = is_real(label) ? Kind::number : Kind::one_class;
    if (label.is_array()) {
      kind = kind_ == Kind::classes || kind_ == Kind::numbers ? kind_ : Kind::classes;
      if (!label.empty()) kind = is_real(label[0]) ? Kind::numbers : Kind::classes;
      for (const Json& one : label) add_one(one, kind == Kind::numbers, column, labels, row.place);
      if (kind == Kind::numbers && width_ == 0) width_ = int(label.size());
      if (kind == Kind::numbers && int(label.size()) != width_)
        throw Error("{}: {} has {} numbers, in earlier rows {}", row.place.text(), column, label.size(), width_);
    } else {
      // 3 among 3.5 and 4.25 is a number, including those before the first number with a fraction.
      if (kind_ == Kind::number && label.is_number()) kind = Kind::number;
      if (kind == Kind::number && kind_ == Kind::one_class && !has_names_) kind_ = Kind::number;
      add_one(label, kind == Kind::number, column, labels, row.place);
    }
    if (kind_ != Kind::none && kind != kind_)
      throw Error("{}: {} is {}, of another type than in earlier rows", row.place.text(), column,
                  detail::json_excerpt(label));
    kind_ = kind;
    starts_.push_back(std::int64_t(found_.size()));
  }

  void add_one(const Json& label, bool number, const std::string& column, LabelSet& labels, const RowPlace& place) {
    has_names_ |= label.is_string();
    const double value = number ? json_as<double>(label, column, place.text()) : labels.add(label, column, place);
    if (!std::isfinite(value)) throw Error("{}: {} is {}, a finite number is needed", place.text(), column, value);
    found_.push_back(value);
  }

  std::vector<std::string> text_columns_;
  Kind kind_ = Kind::none;
  bool has_names_ = false, are_optional_ = false;
  int width_ = 0;
  std::vector<double> found_;  // labels of all rows, concatenated
  std::vector<std::int64_t> starts_{0};
  RowPlace first_;
};

}  // namespace moderngpt2
