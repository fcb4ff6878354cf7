#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace gemma2_test {

const std::filesystem::path folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "gemma2";
const std::vector<std::string> names{"2b_published", "9b_left_padding", "27b_gradients", "27b_pattern"};

/// A Gemma 2 model and what stock Transformers makes of it (see make_cases.py of the folder).
struct StockCase {
  CpuModel model;
  std::vector<int> ids, mask, text;  ///< inputs (B,T) of the logits, prompt of 8 tokens with its greedy completion
  std::vector<float> logits;         ///< (B,T,V)
  int rows, time;

  explicit StockCase(const std::string& name) : model(load_model<CpuModel>(folder / name, cpu::Backend(1))) {
    const SafetensorsFile file(folder / name / "expected.safetensors");
    ids = file.read_vector<int>("input_ids"), mask = file.read_vector<int>("attention_mask");
    text = file.read_vector<int>("greedy"), logits = file.read_vector<float>("logits");
    time = int(file.at("input_ids").shape[1]), rows = int(ids.size()) / time;
  }
  std::vector<int> prompt() const { return {text.begin(), text.begin() + 8}; }
  std::vector<int> completion() const { return {text.begin() + 8, text.end()}; }
  GenerationOptions options() const { return greedy(int(text.size()) - 8); }
};

}  // namespace gemma2_test

using namespace gemma2_test;

TEST_CASE("logits of Gemma 2 models with sliding windows are those of Transformers") {
  for (const std::string& name : names) {
    CAPTURE(name);
    StockCase c(name);
    const int vocab = c.model.config().vocab_size;
    CHECK(c.time > c.model.config().sliding_window);
    std::vector<float> got(c.logits.size());
    std::vector<std::int8_t> mask(c.mask.begin(), c.mask.end());
    auto work = c.model.workspace(c.rows, c.time, Mode::infer);
    const Rows<float> hidden =
        c.model.forward(work, c.ids.data(), {.batch = c.rows, .time = c.time, .key_mask = mask.data()});
    c.model.logits(Rows<float>(got.data(), c.rows * c.time, vocab), Rows<const float>(hidden));
    float worst = 0, largest = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(c.logits[i]));
      if (mask[i / std::size_t(vocab)]) worst = std::max(worst, std::abs(got[i] - c.logits[i]));
    }
    CHECK(worst < 1e-4f * largest);
  }
}

TEST_CASE("greedy completions of Gemma 2 models with sliding windows are those of Transformers") {
  for (const std::string& name : names) {
    CAPTURE(name);
    StockCase c(name);
    for (const int chunk : {1, 3, 512}) {
      GenerationOptions options = c.options();
      options.prefill_chunk = chunk;
      CHECK(generate(c.model, c.prompt(), options).tokens == c.completion());
    }
    // Beside longer and shorter texts, in passes of one token for each text.
    BatchGenerator texts(c.model, {.slots = 3});
    std::vector<std::vector<int>> tokens(4);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::vector<int> prompt = i == 2 ? c.prompt() : std::vector<int>(c.text.begin(), c.text.begin() + int(3 + 7 * i));
      GenerationOptions options = c.options();
      options.max_new_tokens = int(c.text.size() - prompt.size());
      texts.add({prompt, options}, {.on_done = [&, i](RequestId, GenerationResult r) { tokens[i] = r.tokens; }});
      texts.step();
    }
    while (texts.step()) {
    }
    CHECK(tokens[2] == c.completion());
  }
}
