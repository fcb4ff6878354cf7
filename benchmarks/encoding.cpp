// Encoding of text to token ids on one thread: this library, and SentencePiece's C++ library with the same model on the
// same text. Counters: bytes of text per second, and the number of ids.
//
// MODERNGPT2_BENCH_TEXT names a file of UTF-8 text with a document in each line; default: generated English and
// Japanese stories, which are easier to encode than real text. MODERNGPT2_BENCH_TOKENIZER names a folder with
// tokenizer.json and tokenizer.model; default: a tokenizer trained on the text, with MODERNGPT2_BENCH_VOCABULARY tokens
// (default 8000, for stories 1000). benchmarks/compare_tokenizers.py compares more libraries.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "make_stories/stories.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/train.hpp"

namespace {

using namespace moderngpt2;

std::optional<std::string> setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

struct Input {
  std::vector<std::string> documents;
  std::size_t bytes = 0;
  Tokenizer tokenizer;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> sentencepiece;
};

std::vector<std::string> documents() {
  std::vector<std::string> result;
  if (const auto path = setting("MODERNGPT2_BENCH_TEXT")) {
    const std::string text = read_file(*path, std::uint64_t{1} << 32);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      if (end > begin) result.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    if (result.empty()) throw Error("{}: no line of text", *path);
    return result;
  }
  for (std::uint64_t i = 0; i < 1500; ++i)
    for (const auto language : {StoryLanguage::english, StoryLanguage::japanese})
      result.push_back(story(language, 1, i));
  return result;
}

/// Bytes of tokenizer.model, and the tokenizer of the folder.
std::pair<Tokenizer, std::string> tokenizer_for(const std::vector<std::string>& documents) {
  if (const auto folder = setting("MODERNGPT2_BENCH_TOKENIZER"))
    return {Tokenizer::load(*folder), read_file(std::filesystem::path(*folder) / "tokenizer.model", 1 << 30)};
  TokenizerTraining training;
  training.vocab_size = setting("MODERNGPT2_BENCH_TEXT") ? 8000 : 1000;
  if (const auto size = setting("MODERNGPT2_BENCH_VOCABULARY")) training.vocab_size = std::atoi(size->c_str());
  std::size_t at = 0;
  const std::string model = train_sentencepiece(training, [&](std::string& document) {
    if (at == documents.size()) return false;
    document = documents[at++];
    return true;
  });
  const std::string where = "the trained model";
  const std::string json = tokenizer_json(parse_sentencepiece_model(model, where), where).dump();
  return {Tokenizer::parse(json, where), model};
}

Input make_input() {
  std::vector<std::string> texts = documents();
  auto [tokenizer, model] = tokenizer_for(texts);
  Input input{std::move(texts), 0, std::move(tokenizer), std::make_unique<sentencepiece::SentencePieceProcessor>()};
  for (const std::string& document : input.documents) input.bytes += document.size();
  if (const auto status = input.sentencepiece->LoadFromSerializedProto(model); !status.ok())
    throw Error("the SentencePiece model: {}", status.ToString());
  return input;
}

template <class Encode>
void run(benchmark::State& state, const Input& input, Encode&& encode) {
  std::vector<int> ids;
  std::size_t count = 0;
  for (auto _ : state)
    for (const std::string& document : input.documents) {
      ids.clear();
      encode(document, ids);
      count += ids.size();
    }
  state.SetBytesProcessed(static_cast<std::int64_t>(input.bytes) * state.iterations());
  state.counters["ids"] = static_cast<double>(count) / static_cast<double>(state.iterations());
}

}  // namespace

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const Input input = make_input();
  fmt::print(stderr, "{} documents, {} bytes, {} tokens in the vocabulary\n", input.documents.size(), input.bytes,
             input.tokenizer.vocab_size());
  const auto add = [&](const char* name, auto encode) {
    benchmark::RegisterBenchmark(name, [&input, encode](benchmark::State& state) {
      run(state, input, encode);
    })->Unit(benchmark::kMillisecond);
  };
  add("encode/moderngpt2",
      [&](const std::string& text, std::vector<int>& ids) { input.tokenizer.encode(text, ids, true); });
  add("encode/sentencepiece", [&](const std::string& text, std::vector<int>& ids) {
    if (!input.sentencepiece->Encode(text, &ids).ok()) std::abort();
  });
  benchmark::RunSpecifiedBenchmarks();
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
