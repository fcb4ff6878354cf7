#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/data/tasks/choice_examples.hpp"
#include "moderngpt2/data/tasks/question_examples.hpp"
#include "moderngpt2/data/tasks/sequence_examples.hpp"
#include "moderngpt2/data/tasks/token_examples.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

/// Converts the rows of a JSONL file to examples.
template <class Store>
struct ExampleReading {
  test::TemporaryFolder temporary;
  ExampleOptions options;
  LabelSet labels;
  Store store;
  Tokenizer tokenizer = make_tokenizer(temporary);
  std::int64_t cut = 0;

  static Tokenizer make_tokenizer(const test::TemporaryFolder& folder) {
    test::write_letter_tokenizer(folder / "tokenizer");
    return Tokenizer::load(folder / "tokenizer");
  }
  void read(const std::string& lines) {
    write_file(temporary / "rows.jsonl", lines);
    TextEncoder encoder(tokenizer, options.block_size);
    for_each_row({(temporary / "rows.jsonl").string()}, nullptr, [&](const DataRow& row, const RowReader& reader) {
      store.add(row, reader, encoder, labels, options);
    });
    cut = encoder.cut();
  }
  std::string text(std::int64_t row) const { return tokenizer.decode(store.rows[row]); }
};

using Sequences = ExampleReading<SequenceExamples>;

/// Result of finish() for the labels of some texts.
std::pair<std::vector<int>, std::vector<float>> labels_of(const std::vector<std::string>& labels,
                                                          std::optional<ProblemType> type = {}) {
  Sequences r;
  r.options.problem_type = type;
  std::string lines;
  for (const std::string& label : labels) lines += R"({"text": "t", "label": )" + label + "}\n";
  r.read(lines);
  r.labels.finish();
  const int width = r.store.width();
  r.store.finish(type.value_or(r.store.problem()), width > 0 ? width : int(r.labels.names().size()), r.labels);
  return {r.store.classes, r.store.values};
}

}  // namespace

TEST_CASE("labels of texts: names, ids, numbers, lists") {
  using Classes = std::vector<int>;
  using Values = std::vector<float>;
  CHECK(labels_of({"\"pos\"", "\"neg\"", "\"pos\""}).first == Classes{1, 0, 1});
  CHECK(labels_of({"2", "0", "1"}).first == Classes{2, 0, 1});
  CHECK(labels_of({"true", "false"}).first == Classes{1, 0});
  CHECK(labels_of({"1", "2.5", "3"}).second == Values{1, 2.5, 3});
  CHECK(labels_of({"1", "3"}, ProblemType::regression).second == Values{1, 3});
  CHECK(labels_of({"[\"b\", \"a\"]", "[]", "[\"b\"]"}).second == Values{1, 1, 0, 0, 0, 1});
  CHECK(labels_of({"[2]", "[0, 1]"}).second == Values{0, 0, 1, 1, 1, 0});
  CHECK(labels_of({"[0.0, 1.0]", "[1.0, 1.0]"}).second == Values{0, 1, 1, 1});
  CHECK_ERROR(labels_of({"1", "\"a\""}), "rows.jsonl:2", "a name");
  CHECK_ERROR(labels_of({"1", "[1]"}), "rows.jsonl:2", "another type");
  CHECK_ERROR(labels_of({"0", "-1"}), "rows.jsonl:2", "-1");
  CHECK_ERROR(labels_of({"null"}), "rows.jsonl:1", "null");
  CHECK_ERROR(labels_of({"[1.0]", "[1.0, 2.0]"}), "rows.jsonl:2", "2 numbers");
  CHECK_ERROR(labels_of({"\"a\""}, ProblemType::regression), "regression");
}

TEST_CASE("a checkpoint's labels hold") {
  Sequences r;
  r.labels = LabelSet({"no", "yes"});
  CHECK_ERROR(r.read("{\"text\": \"t\", \"label\": \"yes\"}\n{\"text\": \"t\", \"label\": \"maybe\"}\n"),
              "rows.jsonl:2", "maybe");
  CHECK_ERROR(r.read("{\"text\": \"t\", \"label\": 2}\n"), "rows.jsonl:1", "0 to 1");
  CHECK_ERROR(LabelSet({"a", "a"}), "twice");
}

TEST_CASE("labels of an evaluation set have the form of the training set's, and are below its number") {
  const auto evaluated = [](const std::string& training, const std::string& evaluation) {
    Sequences train, eval;
    train.read(R"({"text": "t", "label": )" + training + "}");
    eval.read(R"({"text": "t", "label": )" + evaluation + "}");
    eval.store.require_form_of(train.store);
    eval.labels.finish();
    eval.store.finish(train.store.problem(), 3, eval.labels);
  };
  CHECK_ERROR(evaluated("[0.5, 1.0, 0.25]", "6"), "rows.jsonl:1: labels are single classes",
              "those of the training set are lists of numbers");
  CHECK_ERROR(evaluated("[0.5, 1.0, 0.25]", "\"a\""), "single classes");
  CHECK_ERROR(evaluated("[0.5, 1.0, 0.25]", "[0, 1, 1]"), "lists of classes");
  CHECK_ERROR(evaluated("0", "[1]"), "lists of classes");
  CHECK_ERROR(evaluated("0.5", "\"a\""), "single classes");
  CHECK_ERROR(evaluated("[0, 2]", "[6]"), "class 6 is out of range, the model has classes 0 to 2");
  CHECK_ERROR(evaluated("1", "3"), "class 3 is out of range, the model has classes 0 to 2");
  evaluated("1", "2");
}

TEST_CASE("rows without labels, if these are optional") {
  Sequences one;
  one.options.labels_are_optional = true;
  one.labels = LabelSet({"no", "yes"});
  one.read(R"({"text": "a"}
{"text": "a", "label": -1}
{"text": "a", "label": null}
{"text": "a", "label": 1})");
  one.store.finish(ProblemType::single_label, 2, one.labels);
  CHECK(one.store.labelled.missing() == 3);
  CHECK(one.store.classes == std::vector<int>{0, 0, 0, 1});
  const auto numbers = [](const std::string& second) {  // as in GLUE's STS-B
    Sequences r;
    r.options.labels_are_optional = true;
    r.options.problem_type = ProblemType::regression;
    r.labels = LabelSet({"LABEL_0"});
    r.read("{\"text\": \"a\", \"label\": -1}\n{\"text\": \"a\", \"label\": " + second + "}");
    r.store.finish(ProblemType::regression, 1, r.labels);
    return r.store.labelled.missing();
  };
  CHECK(numbers("-1.0") == 2);
  CHECK(numbers("2.5") == 0);

  ExampleReading<TokenExamples> words;
  words.options.labels_are_optional = true;
  words.labels = LabelSet({"O", "B-X"});
  words.read(R"({"tokens": ["a", "b"]}
{"tokens": ["a", "b"], "tags": [-1, -1]}
{"tokens": ["a", "b"], "tags": ["O", "B-X"]})");
  words.store.finish(words.labels);
  CHECK(words.store.labelled.missing() == 2);
  CHECK(words.store.divisors(0, 1) == 2);
  ExampleReading<QuestionExamples> questions;
  questions.options.labels_are_optional = true;
  questions.read(R"({"question": "q?", "context": "abc"})");
  CHECK(questions.store.labelled.missing() == 1);
  CHECK_FALSE(questions.store.has_unanswerable());
  ExampleReading<ChoiceExamples> choices;
  choices.options.labels_are_optional = true;
  choices.read(R"({"question": "Q?", "choices": ["a", "b"], "label": ""}
{"question": "Q?", "choices": ["a", "b"], "label": -1})");
  CHECK(choices.store.labelled.missing() == 2);

  Sequences needed;
  CHECK_ERROR(needed.read(R"({"text": "a", "label": NaN})"), "rows.jsonl:1", "null");
}

TEST_CASE("texts and pairs of texts: columns, cuts") {
  Sequences one;
  one.options.block_size = 5;
  one.read("{\"id\": 3, \"sentence\": \"abcdefg\", \"label\": 0}\n\n{\"sentence\": \"\", \"label\": 1}\n");
  CHECK(one.text(0) == "abcde");
  CHECK(one.cut == 1);
  CHECK(std::vector<int>(one.store.rows[1].begin(), one.store.rows[1].end()) == std::vector<int>{2});
  // Expected: transformers' tokenizer(first + "\n", second, truncation=True, max_length=7).
  Sequences two;
  two.options.block_size = 7;
  two.read(R"({"premise": "abcdefgh", "hypothesis": "xy", "label": 0}
{"premise": "abcdef", "hypothesis": "uvwxyz", "label": 0}
{"premise": "abcd", "hypothesis": "vwxyz", "label": 0}
{"premise": "a", "hypothesis": "rstuvwxyz", "label": 0})");
  CHECK(two.text(0) == "abcdexy");
  CHECK(two.text(1) == "abcduvw");
  CHECK(two.text(2) == "abcvwxy");
  CHECK(two.text(3) == "a\nrstuv");
  CHECK(two.cut == 4);
  Sequences named;
  named.options.text_column = "b,a";
  named.options.label_column = "y";
  named.read(R"({"a": "1", "b": "2", "y": "n"})");
  CHECK(named.text(0) == "2\n1");
  Sequences unknown;
  CHECK_ERROR(unknown.read(R"({"words": "1", "label": 1})"), "rows.jsonl:1", "the columns are", "text_column");
  Sequences unlabelled;
  CHECK_ERROR(unlabelled.read(R"({"text": "1", "y": 1})"), "no label", "label_column");
  CHECK_ERROR(unlabelled.read(R"({"text": 1, "label": 1})"), "rows.jsonl:1", "must be a string");
  CHECK_ERROR(unlabelled.read("[\n{\"a\":[{}]}]"), "rows.jsonl:2: no text", "a list of objects");
  CHECK_ERROR(unlabelled.read("\n"), "no row");
}

TEST_CASE("the first token of a word has its label") {
  ExampleReading<TokenExamples> r;
  r.read(R"({"tokens": ["EU", "is", "", "x"], "ner_tags": ["B-ORG", "O", "O", "I-X"]})");
  r.labels.finish();
  r.store.finish(r.labels);
  CHECK(r.text(0) == "EU is x");
  CHECK(r.labels.names() == std::vector<std::string>{"B-ORG", "I-X", "O"});
  const auto labels = r.store.labels[0];
  CHECK(std::vector<int>(labels.begin(), labels.end()) == std::vector<int>{0, -100, 2, -100, -100, 1, -100});
  CHECK(r.store.divisors(0, 1) == 3);
  ExampleReading<TokenExamples> cut;
  cut.options.block_size = 4;
  cut.options.word_separator = "";
  cut.read(R"({"words": ["abc", "de"], "tags": [1, 0]})");
  CHECK(cut.text(0) == "abcd");
  CHECK(cut.cut == 1);
  CHECK(cut.store.labels[0][3] == 0);
  CHECK_ERROR(cut.read(R"({"tokens": ["a"], "tags": [1, 0]})"), "rows.jsonl:1", "1 words and 2 labels");
  CHECK_ERROR(cut.read(R"({"tokens": ["a"], "tags": [1.5]})"), "rows.jsonl:1", "1.5");
}

TEST_CASE("long texts of questions come in windows that overlap") {
  ExampleReading<QuestionExamples> r;
  r.options.block_size = 12;
  r.options.doc_stride = 3;
  // "q?" and a line feed leave 9 tokens; "é" is two bytes, thus two tokens.
  r.read(
      R"({"id": "n1", "question": " q?", "context": "abcdé fghijklm", "answers": {"text": ["fgh"], "answer_start": [6]}})"
      "\n"
      R"({"question": "q?", "context": "abc", "answers": {"text": [], "answer_start": []}})");
  REQUIRE(r.store.windows.size() == 3);
  CHECK(r.text(1) == "q?\n fghijklm");  // 9 + 9 - 3 tokens are all 15
  const QuestionWindow &first = r.store.windows[0], &second = r.store.windows[1], &none = r.store.windows[2];
  CHECK(first.context_begin == 3);
  CHECK(first.context_end == 12);
  CHECK(first.start == 0);  // "fg" is in it, "h" is not
  CHECK(second.first_token == 6);
  CHECK(r.tokenizer.decode(r.store.rows[1].subspan(std::size_t(second.start), 3)) == "fgh");
  CHECK(second.end == second.start + 2);
  CHECK(none.question == 1);
  CHECK(none.end == 0);
  CHECK(r.store.has_unanswerable());
  CHECK(r.cut == 0);
  const auto refused = [](const std::string& answers, const std::string& part, int block_size = 64) {
    ExampleReading<QuestionExamples> bad;
    bad.options.block_size = block_size;
    CHECK_ERROR(bad.read(R"({"question": "q?", "context": "abcdefghijkl", "answers": )" + answers + "}"),
                "rows.jsonl:1", part);
  };
  refused(R"({"text": ["bc"], "answer_start": [2]})", "is not at character 2");
  refused(R"({"text": ["l"], "answer_start": [99]})", "99");
  refused(R"({"text": ["l"], "answer_start": []})", "one length");
  refused("3", "object");
  refused("[]", "doc_stride", 8);
}

TEST_CASE("choices in the formats that data sets have them") {
  ExampleReading<ChoiceExamples> swag;
  swag.read(R"({"sent1": "He sits.", "sent2": "He", "ending0": "eats.", "ending1": "x", "label": 1})");
  CHECK(swag.text(0) == "He sits. He eats.");
  CHECK(swag.text(1) == "He sits. He x");
  CHECK(swag.store.answers == std::vector<int>{1});
  CHECK(swag.store.divisors(0, 1).language == 12);
  ExampleReading<ChoiceExamples> r;
  r.read(R"({"question": "Q?", "choices": ["a", "b", "c"], "answer": "B"}
{"ctx": "C", "endings": ["a", "b", "c"], "label": "2"}
{"article": "A", "question": "Q", "options": ["a", "b", "c"], "answer": 0}
{"question_stem": "S", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3"})");
  CHECK(r.store.answers == std::vector<int>{1, 2, 0, 2});
  CHECK(r.text(0) == "Q? a");
  CHECK(r.text(6) == "A Q a");
  CHECK_ERROR(r.read(R"({"question": "Q?", "choices": ["a", "b"], "answer": 0})"), "rows before have 3");
  CHECK_ERROR(r.read(R"({"question": "Q?", "choices": ["a", "b", "c"], "answer": 3})"), "none of the 3");
  CHECK_ERROR(r.read(R"({"choices": ["a", "b", "c"], "answer": 1})"), "no question");
}
