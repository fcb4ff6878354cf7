// Rows of a task: the first part of the input is the training file, the second the validation file. The first byte
// selects the task: c classification, t tokens, m multiple choice, q questions. All labels must be those of classes.
#include "fuzz.hpp"
#include "moderngpt2/run/prepare_task.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"
#include "support/letter_tokenizer.hpp"

using namespace moderngpt2;

namespace {

template <class Task>
void read_pair(const std::vector<std::string_view>& parts) {
  static const Tokenizer tokenizer = [] {
    test::write_letter_tokenizer(fuzz::folder() / "tokenizer");
    return Tokenizer::load(fuzz::folder() / "tokenizer");
  }();
  const std::string train = fuzz::file("train.jsonl", parts[0]).string();
  const std::string eval = fuzz::file("eval.jsonl", parts[1]).string();
  ExampleOptions options;
  options.block_size = 24, options.doc_stride = 2;
  LabelSet labels;
  ConfigFile config;
  const auto ignore = [](const std::string& line) { fuzz::check_message(line); };
  using Store = typename Task::Store;
  std::vector<std::shared_ptr<Store>> stores{
      moderngpt2::detail::read_examples<Store>({train}, TextPart::train, tokenizer, options, labels, ignore)};
  if (!parts[1].empty())
    stores.push_back(
        moderngpt2::detail::read_examples<Store>({eval}, TextPart::train, tokenizer, options, labels, ignore));
  moderngpt2::detail::finish_examples<Task>(stores, labels, std::nullopt, options, config);
  const int classes = config.config.num_labels;
  for (const auto& store : stores) {
    const std::int64_t count = store->rows.size() / store->sequences();
    (void)store->divisors(0, count);
    if constexpr (requires { store->classes; })
      for (const int label : store->classes)
        if (label < 0 || label >= classes) fuzz::fail("a class out of range");
    if constexpr (requires { store->values_each; })
      if (store->values_each > 0 && std::int64_t(store->values.size()) != count * store->values_each)
        fuzz::fail("another number of labels");
    if constexpr (requires { store->labels.values(); })
      for (const int label : store->labels.values())
        if (label != ignored_label && (label < 0 || label >= classes)) fuzz::fail("a class out of range");
  }
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  const std::string classes = "{\"text\": \"ab\", \"label\": 0}\n{\"text\": \"b\", \"label\": 1}\n",
                    names = "{\"text\": \"ab\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": \"y\"}\n",
                    numbers = "{\"text\": \"ab\", \"label\": 0.5}\n{\"text\": \"b\", \"label\": 1}\n",
                    lists = "{\"text\": \"ab\", \"labels\": [0.5, 1.5]}\n{\"text\": \"b\", \"labels\": [1, 2.5]}\n",
                    sets = "{\"text\": \"ab\", \"labels\": [0, 2]}\n{\"text\": \"b\", \"labels\": []}\n",
                    named = "{\"text\": \"ab\", \"labels\": [\"x\", \"y\"]}\n{\"text\": \"b\", \"labels\": []}\n";
  for (const std::string& train : {classes, names, numbers, lists, sets, named})
    for (const std::string& eval : {classes, names, lists, sets}) seeds.add("c" + join({train, eval}));
  // Ids beyond the number of outputs that the training file has.
  for (const char* eval : {"{\"text\": \"b\", \"label\": 6}\n", "{\"text\": \"b\", \"labels\": [0, 6]}\n"})
    for (const std::string& train : {classes, names, lists, sets}) seeds.add("c" + join({train, eval}));
  const std::string tags = "{\"tokens\": [\"a\", \"bc\"], \"ner_tags\": [0, 1]}\n",
                    tag_names = "{\"tokens\": [\"a\", \"bc\"], \"tags\": [\"O\", \"B-X\"]}\n";
  seeds.add("t" + join({tags, tags}));
  seeds.add("t" + join({tag_names, tag_names}));
  seeds.add("m" +
            join({"{\"question\": \"a\", \"choices\": {\"text\": [\"b\", \"c\"], \"label\": [\"A\", \"B\"]}, "
                  "\"answerKey\": \"B\"}\n",
                  "{\"sent1\": \"a\", \"sent2\": \"b\", \"ending0\": \"c\", \"ending1\": \"d\", \"label\": 1}\n"}));
  seeds.add("q" + join({"{\"id\": \"1\", \"question\": \"who\", \"context\": \"it was me and a long text of words\", "
                        "\"answers\": {\"text\": [\"me\"], \"answer_start\": [7]}}\n",
                        "{\"question\": \"a\", \"context\": \"b\", \"answers\": []}\n"}));
  seeds.words({"\"label\": ", "\"labels\": [", "\"x\"", "99999", "-1", "1e3", "true", "null", "[]", "0.5", "sentence1",
               "sentence2", "ending2", "tokens", "ner_tags", "answer_start", separator});
}

void fuzz::run(std::string_view input) {
  if (input.empty()) return;
  const auto parts = split(input.substr(1), 2);
  switch (input[0]) {
    case 't':
      return read_pair<TokenClassification>(parts);
    case 'm':
      return read_pair<MultipleChoice>(parts);
    case 'q':
      return read_pair<QuestionAnswering>(parts);
    default:
      return read_pair<SequenceClassification>(parts);
  }
}
