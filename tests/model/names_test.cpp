#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "model_under_test.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/safetensors_reader.hpp"

using namespace moderngpt2;

namespace {

template <class Head>
std::map<std::string, std::vector<std::int64_t>> names_of(const Config& c) {
  std::map<std::string, std::vector<std::int64_t>> names;
  for (const ParameterInfo& p : Decoder<any_shape, Head>(c).list()) names[p.name] = p.shape;
  return names;
}

std::map<std::string, std::vector<std::int64_t>> names_of(const ConfigFile& file) {
  for (auto [head, names] :
       {std::pair{LanguageModelHead<dynamic>::architecture, &names_of<LanguageModelHead<dynamic>>},
        {DoubleHeads<dynamic>::architecture, &names_of<DoubleHeads<dynamic>>},
        {SequenceClassificationHead<dynamic>::architecture, &names_of<SequenceClassificationHead<dynamic>>},
        {TokenClassificationHead<dynamic>::architecture, &names_of<TokenClassificationHead<dynamic>>},
        {QuestionAnsweringHead<dynamic>::architecture, &names_of<QuestionAnsweringHead<dynamic>>}})
    if (file.architecture == head) return names(file.config);
  FAIL("unknown architecture ", file.architecture);
  return {};
}

}  // namespace

TEST_CASE("names and shapes are those of the reference's checkpoints") {
  int cases = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(MODERNGPT2_TEST_DATA) / "golden")) {
    if (!std::filesystem::exists(entry.path() / "model.safetensors")) continue;
    CAPTURE(entry.path().string());
    std::map<std::string, std::vector<std::int64_t>> stored;
    const SafetensorsFile file(entry.path() / "model.safetensors");
    for (const TensorInfo& t : file.tensors()) stored[t.name] = t.shape;
    const auto ours = names_of(read_config(entry.path()));
    for (const auto& tensor : stored) {
      const auto& name = tensor.first;
      const auto& shape = tensor.second;
      CAPTURE(name);
      CHECK(ours.contains(name));
      if (ours.contains(name)) CHECK(ours.at(name) == shape);
    }
    for (const auto& tensor : ours) CHECK_MESSAGE(stored.contains(tensor.first), tensor.first);
    ++cases;
  }
  CHECK(cases == 15);
}

TEST_CASE("initialisation: deviations, zeros, and numbers that depend on the seed only") {
  Config c = test::tiny_config();
  c.n_embd = 64, c.n_inner = 256, c.vocab_size = 300, c.tied_head = false;
  CausalLM<any_shape> m(c), same(c), other(c);
  m.initialize(1), same.initialize(1), other.initialize(2);
  CHECK(test::same_bits(m.weights(), same.weights()));
  CHECK_FALSE(test::same_bits(m.weights().matrices, other.weights().matrices));
  for (float x : m.weights().vectors) CHECK(x == 0);
  for (const ParameterInfo& p : m.parameters()) {
    if (!p.is_matrix()) continue;
    double squares = 0;
    for (std::int64_t i = 0; i < p.size; ++i) squares += double(m.weights().at(p)[i]) * m.weights().at(p)[i];
    const bool ends_half_block = p.name.ends_with("o_proj.weight") || p.name.ends_with("down_proj.weight");
    const double want = ends_half_block ? 0.02 / std::sqrt(2.0 * c.n_layer) : 0.02;
    CHECK_MESSAGE(
        std::sqrt(squares / double(p.size)) == doctest::Approx(want).epsilon(5 / std::sqrt(2.0 * double(p.size))),
        p.name);
  }
}
