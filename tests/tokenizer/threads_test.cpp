#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/on_threads.hpp"

using namespace moderngpt2;

TEST_CASE("eight threads encode and decode with the same tokenizers") {
  const std::filesystem::path folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer";
  for (const char* name : {"bpe", "unigram", "flags"}) {
    CAPTURE(name);
    const Tokenizer tokenizer = Tokenizer::load(folder / name);
    std::vector<std::string> texts, decoded;
    std::vector<std::vector<int>> ids;
    for (const Json& one : read_json_file(folder / name / "cases.json")) {
      texts.push_back(one["text"].get<std::string>());
      ids.push_back(tokenizer.encode(texts.back()));
      decoded.push_back(tokenizer.decode(ids.back()));
    }
    std::vector<int> wrong(8, 0);
    test::on_threads(8, [&](int thread) {
      const Tokenizer copy = tokenizer;
      for (std::size_t k = 0; k < texts.size(); ++k) {
        const std::size_t i = (k + std::size_t(thread) * 13) % texts.size();
        StreamDecoder stream(copy, false);
        std::string streamed;
        for (const int id : ids[i]) streamed += stream.put(id);
        wrong[std::size_t(thread)] += tokenizer.encode(texts[i]) != ids[i] || tokenizer.decode(ids[i]) != decoded[i] ||
                                      streamed + stream.finish() != decoded[i];
      }
    });
    CHECK(wrong == std::vector<int>(8, 0));
  }
}
