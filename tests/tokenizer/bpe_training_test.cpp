#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sentencepiece_processor.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/train.hpp"
#include "moderngpt2/tokenizer/training/document_sample.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_words.hpp"
#include "moderngpt2/tokenizer/training/word_counts.hpp"

using namespace moderngpt2;

namespace bpe_training_test {

const std::string folder = MODERNGPT2_TEST_DATA "/tokenizer/training/";

/// Text in English, Japanese, Korean and Chinese.
const std::vector<std::string>& documents() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> texts;
    const std::string lines = read_file(folder + "documents.jsonl");
    for (std::size_t at = 0, end; at < lines.size(); at = end + 1) {
      end = lines.find('\n', at);
      texts.push_back(Json::parse(lines.substr(at, end - at))["text"].get<std::string>());
    }
    return texts;
  }();
  return list;
}

NextDocument reader(const std::vector<std::string>& list) {
  return [&list, at = std::size_t{0}](std::string& out) mutable {
    if (at == list.size()) return false;
    out = list[at++];
    return true;
  };
}

TokenizerTraining settings(int vocab_size, double coverage = 0.9995, int threads = 2) {
  TokenizerTraining training;
  training.vocab_size = vocab_size;
  training.character_coverage = coverage;
  training.num_threads = threads;
  return training;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  detail::SentencePieceWords splitter;
  splitter.split(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

using Words = std::vector<std::string>;

TEST_CASE("BPE training learns the pieces and scores of SentencePiece 0.2.3") {
  for (const Json& expected : read_json_file(folder + "pieces.json")) {
    const int vocab_size = expected["vocab_size"].get<int>();
    CAPTURE(vocab_size);
    const std::string model =
        train_sentencepiece(settings(vocab_size, expected["character_coverage"].get<double>()), reader(documents()));
    const SentencePieceModel parsed = parse_sentencepiece_model(model, "m");
    REQUIRE(parsed.pieces.size() == static_cast<std::size_t>(vocab_size));
    std::size_t id = 259;
    bool equal = true;
    for (const Json& piece : expected["pieces"]) {
      equal = equal && parsed.pieces[id].text == piece.get<std::string>() &&
              parsed.pieces[id].score == -static_cast<float>(id - 259);
      if (!equal) FAIL_CHECK("id " << id << ": " << parsed.pieces[id].text << " in place of " << piece);
      ++id;
      if (!equal) break;
    }
    sentencepiece::SentencePieceProcessor processor;
    REQUIRE(processor.LoadFromSerializedProto(model).ok());
    CHECK(processor.GetPieceSize() == vocab_size);
    CHECK(processor.eos_id() == 2);
    CHECK(processor.pad_id() == 0);
    CHECK(processor.bos_id() == -1);
  }
}

TEST_CASE("the model does not depend on the number of threads") {
  const std::string one = train_sentencepiece(settings(1000, 0.9995, 1), reader(documents()));
  for (const int threads : {2, 4, 7})
    CHECK(train_sentencepiece(settings(1000, 0.9995, threads), reader(documents())) == one);
}

TEST_CASE("training words: a space or another script begins one, an accent does not end one") {
  CHECK(words_of("The baker's 12 rolls.") == Words{"The", " baker", "'", "s", " 12", " rolls", "."});
  CHECK(words_of("a  b") == Words{"a", " ", " b"});
  CHECK(words_of("x\u2581y\u2581") == Words{"x", " y", " "});
  CHECK(words_of("\u7C89\u5C4B\u306F\u30D1\u30F3\u3002abc") ==
        Words{"\u7C89\u5C4B\u306F\u30D1\u30F3", "\u3002", "abc"});
  CHECK(words_of("e\u0301\u7C89") == Words{"e\u0301\u7C89"});
  CHECK(words_of("a\tb<0x41>c<0xzz>") == Words{"a", "b", "c", "<0", "xzz", ">"});
  CHECK(words_of(std::string_view("a\0b", 3)) == Words{"a", "b"});
  CHECK(words_of("") == Words{});
}

TEST_CASE("words that do not fit into max_memory are dropped, the rarest first, independent of threads") {
  detail::WordCounts counts;
  detail::WordCounts::Batch batch(counts);
  for (int i = 0; i < 1000; ++i)
    for (int times = 0; times <= i % 3; ++times) batch.add("word " + std::to_string(i));
  batch.flush();
  CHECK(counts.words() == 1000);
  std::uint64_t dropped = 0;
  CHECK(counts.drop_rare(counts.bytes() / 3, [&](std::string_view, std::uint64_t count) {
    CHECK(count <= 2);
    ++dropped;
  }) == 2);
  CHECK(dropped == 667);
  counts.for_each([](std::string_view, std::uint64_t count) { CHECK(count == 3); });

  std::string models[2];
  for (const int threads : {1, 4}) {
    TokenizerTraining training = settings(700, 1, threads);
    training.max_memory = detail::smallest_training_memory;
    std::string notes;
    training.note = [&](const std::string& note) { notes += note; };
    // 30 MB of numbers that differ, with words among them.
    models[threads == 4] = train_sentencepiece(training, [i = std::uint64_t{0}](std::string& document) mutable {
      document.clear();
      for (int n = 0; n < 2000; ++n, ++i)
        document += std::to_string(i * 0x9E3779B97F4A7C15u) + (n % 10 == 0 ? " miller flour" : " ");
      return i < 1'500'000;
    });
    CHECK(notes.find("dropped ") != notes.npos);
    CHECK(notes.find("max_memory") != notes.npos);
  }
  CHECK(models[0] == models[1]);
  bool learned = false;
  for (const auto& piece : parse_sentencepiece_model(models[0], "m").pieces)
    learned = learned || piece.text == "\u2581miller";
  CHECK(learned);
}

TEST_CASE("a sample of documents is bounded by its bytes and depends on the seed only") {
  std::vector<std::string> samples[3];
  for (const int run : {0, 1, 2}) {
    detail::DocumentSample sample(run == 2 ? 7 : 42, 1000);
    for (int i = 0; i < 500; ++i) sample.add("document " + std::to_string(i));
    CHECK(!sample.is_whole());
    CHECK(sample.documents() == 500);
    CHECK(sample.bytes() <= 1000);
    CHECK(sample.bytes() > 900);
    CHECK(sample.all_bytes() == 500 * 12 - 110);
    samples[run] = sample.take();
  }
  CHECK(samples[0] == samples[1]);
  CHECK(samples[0] != samples[2]);
  detail::DocumentSample whole(1, 1000);
  for (const char* document : {"a", "", "c"}) whole.add(document);
  CHECK(whole.is_whole());
  CHECK(whole.take() == std::vector<std::string>{"a", "", "c"});
}

TEST_CASE("settings that bound the training") {
  TokenizerTraining training = settings(400);
  training.max_memory = 1000;
  CHECK_ERROR(train_sentencepiece(training, reader(documents())), "max_memory");
  training = settings(400);
  training.model_type = "byte_bpe";
  CHECK_ERROR(train_sentencepiece(training, reader(documents())), "model_type");
  std::atomic<int> calls{0};
  training = settings(1200);
  training.progress = [&](const char*, double done, double total) {
    CHECK(done <= total);
    ++calls;
  };
  (void)train_sentencepiece(training, reader(documents()));
  CHECK(calls > 100);
}

}  // namespace bpe_training_test
