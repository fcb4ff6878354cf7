#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"

namespace moderngpt2 {

/// Multiple-choice questions with an equal number of choices, one of them correct. Each choice is a row of ids:
/// question, space, choice. Threads: several may read at once.
class ChoiceExamples {
 public:
  /// Label counts of a range of questions: next tokens of the correct choices (language), and questions.
  struct Divisors {
    std::int64_t language = 0, questions = 0;

    Divisors& operator+=(const Divisors& other) {
      language += other.language, questions += other.questions;
      return *this;
    }
  };

  RaggedRows rows;
  std::vector<int> answers;
  int choices = 0;
  LabelledExamples labelled;

  int sequences() const { return choices; }
  Divisors divisors(std::int64_t begin, std::int64_t end) const {
    Divisors sum{0, end - begin};
    for (std::int64_t i = begin; i < end; ++i)
      sum.language += std::int64_t(rows[i * choices + answers[std::size_t(i)]].size()) - 1;
    return sum;
  }

  /// Adds a row. Throws Error that names the row for a missing or mistyped column, an answer that is not a choice, or a
  /// number of choices that differs from earlier rows.
  void add(const DataRow& row, const RowReader&, TextEncoder& encoder, LabelSet&, const ExampleOptions& options) {
    std::string begin, stem;
    std::vector<std::string> endings, names;
    if (row.fields.contains("ending0")) {
      for (int i = 0; row.fields.contains(fmt::format("ending{}", i)); ++i) {
        const std::string column = fmt::format("ending{}", i);
        endings.push_back(text_of(row.fields[column], column, row.place));
      }
    } else {
      read_choices(require_column(row, {"choices", "endings", "options"}, "choices", ""), row.place, endings, names);
    }
    for (const std::string& column : stem_columns(row, options)) {
      if (!begin.empty()) begin += ' ';
      begin += text_of(row.fields[column], column, row.place);
    }
    const std::vector<std::string> columns = column_or(options.label_column, {"label", "answer", "answerKey"});
    const Json* value = find_label(row, columns, "answer", options);
    if (value && options.labels_are_optional && *value == "") value = nullptr;  // as in HellaSwag's test set
    labelled.add(value != nullptr);
    const int answer = value ? read_answer(*value, row.place, int(endings.size()), names) : 0;
    if (choices == 0) choices = int(endings.size());
    if (endings.size() < 2 || int(endings.size()) != choices)
      throw Error("{}: {} choices, {}", row.place.text(), endings.size(),
                  endings.size() < 2 ? "at least 2 are needed" : fmt::format("rows before have {}", choices));
    for (std::string& ending : endings) {
      ending.insert(0, 1, ' ');
      rows.add(encoder.encode(begin, &ending));
    }
    answers.push_back(answer);
  }

 private:
  /// Reads a list of texts, or an object with the lists "text" and "label".
  static void read_choices(const Json& value, const RowPlace& place, std::vector<std::string>& texts,
                           std::vector<std::string>& names) {
    const Json* list = &value;
    if (value.is_object() && value.contains("text")) {
      list = &value["text"];
      if (value.contains("label") && value["label"].is_array())
        for (const Json& name : value["label"]) names.push_back(text_of(name, "label of a choice", place));
    }
    if (!list->is_array())
      throw Error("{}: choices must be a list, found {}", place.text(), detail::json_excerpt(value));
    for (const Json& text : *list) texts.push_back(text_of(text, "a choice", place));
  }

  /// Columns of the question: a context and a question, or one of them.
  static std::vector<std::string> stem_columns(const DataRow& row, const ExampleOptions& options) {
    if (!options.text_column.empty()) {
      const std::vector<std::string> given = split_names(options.text_column);
      for (const std::string& name : given) (void)require_column(row, {name}, "text", "text_column");
      return given;
    }
    std::vector<std::string> found;
    const std::vector<std::vector<std::string>> groups{{"article", "passage", "context", "ctx", "sent1"},
                                                       {"question", "question_stem", "prompt", "sent2"}};
    for (const auto& group : groups)
      for (const std::string& name : group)
        if (row.fields.contains(name)) {
          found.push_back(name);
          break;
        }
    if (found.empty())
      throw Error("{}: no question (looked for {}, {}); the columns are {}. Name one with {}", row.place.text(),
                  fmt::join(groups[0], ", "), fmt::join(groups[1], ", "), column_names(row.fields),
                  Setting{"text_column"});
    return found;
  }

  /// Reads the answer as the index of a choice. It can be a number, its digits, the name of a choice, or a letter from
  /// A.
  static int read_answer(const Json& value, const RowPlace& place, int count, const std::vector<std::string>& names) {
    std::int64_t answer = -1;
    if (value.is_number_integer()) answer = json_as<std::int64_t>(value, "the answer", place.text());
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      const auto named = std::find(names.begin(), names.end(), text);
      if (named != names.end())
        answer = named - names.begin();
      else if (text.size() == 1 && std::isdigit(static_cast<unsigned char>(text[0])))
        answer = text[0] - '0';
      else if (text.size() == 1)
        answer = std::toupper(static_cast<unsigned char>(text[0])) - 'A';
    }
    if (answer < 0 || answer >= count)
      throw Error("{}: the answer {} is none of the {} choices", place.text(), detail::json_excerpt(value), count);
    return int(answer);
  }
};

}  // namespace moderngpt2
