#pragma once

#include <array>
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

  /// Fills `classes` or `values` after all rows. Throws Error if the labels do not fit the problem type.
  void finish(ProblemType type, int num_labels, const LabelSet& labels) {
    names = labels.names();
    const auto refuse = [&](const char* found) {
      throw Error("{}: labels are {}, which do not fit the problem type {}", first_.text(), found, name_of(type));
    };
    if (type == ProblemType::single_label) {
      if (kind_ != Kind::one_class) refuse(kind_ == Kind::classes ? "lists" : "numbers with a fraction");
      for (const double label : found_) {
        classes.push_back(labels.id_of(int(label)));
        if (classes.back() >= num_labels) throw Error("{}: class {} of {}", first_.text(), classes.back(), num_labels);
      }
      return;
    }
    values_each = num_labels;
    if (type == ProblemType::regression ? has_names_ || kind_ == Kind::classes : kind_ == Kind::number)
      refuse(type == ProblemType::regression ? "classes" : "single numbers");
    const bool dense = type == ProblemType::regression || kind_ == Kind::numbers;
    if (!dense) values.assign(std::size_t(rows.size() * num_labels), 0.0f);
    for (std::size_t row = 0; row + 1 < starts_.size(); ++row) {
      const std::size_t begin = std::size_t(starts_[row]), end = std::size_t(starts_[row + 1]);
      if (dense && end - begin != std::size_t(num_labels))
        throw Error("{}: {} labels per text, but the model has {} outputs", first_.text(), end - begin, num_labels);
      for (std::size_t i = begin; i < end; ++i) {
        if (dense)
          values.push_back(float(found_[i]));
        else
          values[row * std::size_t(num_labels) + std::size_t(labels.id_of(int(found_[i])))] = 1;
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
    const Json& label = require_column(row, columns, "label", "label_column");
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
    found_.push_back(number ? json_as<double>(label, column, place.text()) : labels.add(label, column, place));
  }

  std::vector<std::string> text_columns_;
  Kind kind_ = Kind::none;
  bool has_names_ = false;
  int width_ = 0;
  std::vector<double> found_;  // labels of all rows, concatenated
  std::vector<std::int64_t> starts_{0};
  RowPlace first_;
};

}  // namespace moderngpt2
