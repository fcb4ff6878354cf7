#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/model/heads.hpp"
#include "support/temporary_folder.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace quantized_generation_test {

template <class Block>
using QuantizedModel = CausalLM<any_shape, cpu::Backend, Quantized<Block>>;

/// Tiny model whose rows have multiples of 32 values, but whose matrices do not all consist of groups of 8 rows.
std::vector<Config> blocky_variants() {
  std::vector<Config> all = variants();
  for (Config& c : all) {
    c.n_embd = 32, c.n_inner = 96, c.head_dim = 8;
    if (c.n_kv_head == 1) c.head_dim = 16, c.n_head = 2, c.n_kv_head = 1;
  }
  all.push_back(all[0]);
  all.back().n_head = 16, all.back().n_kv_head = 2, all.back().head_dim = 2;  // k and v have 4 rows
  return all;
}

/// Quantized copy of a model, and that copy's values in fp32.
template <class Block>
struct Copies {
  QuantizedModel<Block> quantized;
  CpuModel values;

  explicit Copies(const CpuModel& model) : quantized(model.config()), values(model.config()) {
    const ParameterPlaces from(model.weights()), to(values.weights());
    const ParameterPlaces packed(quantized.weights());
    std::copy_n(model.weights().vectors.data(), model.weights().vectors.size(), values.weights().vectors.data());
    std::copy_n(model.weights().vectors.data(), model.weights().vectors.size(), quantized.weights().vectors.data());
    for (const ParameterInfo& p : model.parameters()) {
      if (!p.is_matrix()) continue;
      const float* const source = from.matrices + p.offset;
      write_parameter(quantized.backend(), packed.matrices + p.offset, p,
                      [&](std::int64_t first, std::int64_t n, float* x) { std::copy_n(source + first, n, x); });
      const Matrix<QuantizedValue<Block>> m{packed.matrices + p.offset, int(p.shape[0]), int(p.shape[1])};
      for (int r = 0; r < m.rows; ++r) dequantize_matrix_row(m, r, to.matrices + p.offset + std::int64_t(r) * m.cols);
    }
  }
};

const std::vector<int> prompt{5, 60, 0, 17, 17, 33, 2};

}  // namespace quantized_generation_test

using namespace quantized_generation_test;

TEST_CASE_TEMPLATE("logits of a quantized model are close to those of its values", Block, BlockQ8_0, BlockQ4_0) {
  for (const Config& config : blocky_variants()) {
    const CpuModel model = random_model<CpuModel>(config);
    Copies<Block> copies(model);
    const std::vector<float> expected = logits_after(copies.values, prompt);
    const std::vector<float> actual = logits_after(copies.quantized, prompt);
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(double(expected[i]) - double(actual[i]), 2);
      size += std::pow(double(expected[i]), 2);
    }
    CHECK(std::sqrt(difference / size) < 0.05);  // activations have 8 bits
    CHECK(difference > 0);
  }
}

TEST_CASE_TEMPLATE("the loss of a quantized model is that of its values", Block, BlockQ8_0, BlockQ4_0) {
  Config config = blocky_variants()[1];
  config.n_positions = 80;
  const CpuModel model = random_model<CpuModel>(config);
  Copies<Block> copies(model);
  std::vector<int> ids;
  for (int i = 0; i < 80; ++i) ids.push_back(i * 7 % config.vocab_size);
  const Pass<float> pass{.batch = 1, .time = 80};
  auto work = copies.quantized.workspace(1, 80, Mode::infer);
  auto other = copies.values.workspace(1, 80, Mode::infer);
  const double expected = copies.values.loss(other, ids.data(), {ids.data()}, pass);
  CHECK(double(copies.quantized.loss(work, ids.data(), {ids.data()}, pass)) == doctest::Approx(expected).epsilon(1e-5));
}

TEST_CASE_TEMPLATE("quantized models generate with a cache, in batches and with beams", Block, BlockQ8_0, BlockQ4_0) {
  for (const Config& config : blocky_variants()) {
    const CpuModel model = random_model<CpuModel>(config);
    Copies<Block> copies(model);
    const std::vector<int> expected = greedy_without_cache(copies.quantized, prompt, 20);
    CHECK(generate(copies.quantized, prompt, greedy(20)).tokens == expected);
    BatchGenerator texts(copies.quantized, {.slots = 3, .slot_tokens = 40});
    int done = 0;
    for (int i = 0; i < 5; ++i)
      texts.add({prompt, greedy(20)}, {.on_done = [&](RequestId, GenerationResult result) {
                  CHECK(result.tokens == expected);
                  ++done;
                }});
    while (texts.step()) {
    }
    CHECK(done == 5);
    GenerationOptions beams = greedy(12);
    beams.num_beams = 3;
    CHECK(beam_search(copies.quantized, prompt, beams, 1).at(0).tokens.size() == 12);
  }
}

TEST_CASE_TEMPLATE("weights are quantized while they are loaded", Block, BlockQ8_0, BlockQ4_0) {
  for (const Config& config : blocky_variants()) {
    const CpuModel model = random_model<CpuModel>(config);
    Copies<Block> copies(model);
    const TemporaryFolder folder;
    save_model(folder.path(), model);
    const auto loaded = load_model<QuantizedModel<Block>>(folder.path());
    const auto& weights = copies.quantized.weights().matrices;
    CHECK(std::memcmp(loaded.weights().matrices.data().bytes(), weights.data().bytes(),
                      std::size_t(bytes_of_elements<QuantizedValue<Block>>(weights.size()))) == 0);
  }
}

TEST_CASE("an error names a matrix that cannot be quantized") {
  try {
    QuantizedModel<BlockQ4_0> model(tiny_config());
    FAIL("16 values are no block");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("\"transformer.wte.weight\": rows of 16 values; q4_0") == 0);
  }
}
