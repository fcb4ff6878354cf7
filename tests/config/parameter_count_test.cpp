#include <cstdint>

#include <doctest/doctest.h>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/layers/heads/language_model.hpp"
#include "moderngpt2/model/decoder.hpp"

using namespace moderngpt2;

namespace {

template <ModelShape S>
constexpr std::int64_t parameters(const Config& c) {
  return Decoder<S, LanguageModelHead<S.n_embd, S.tied_head>>(c).count().elements;
}

constexpr int vocab = 32000;
constexpr Config small = size_config(12, 768, 12, vocab), medium = size_config(24, 1024, 16, vocab),
                 large = size_config(36, 1280, 20, vocab), xl = size_config(48, 1600, 25, vocab);

}  // namespace

TEST_CASE("parameter counts are constant expressions") {
  static_assert(parameters<small_shape>(small) == 137'859'840);
  static_assert(parameters<medium_shape>(medium) == 435'520'512);
  static_assert(parameters<large_shape>(large) == 984'864'000);
  static_assert(parameters<xl_shape>(xl) == 2'017'588'800);
  CHECK(parameters<any_shape>(small) == 137'859'840);
  CHECK(parameters<any_shape>(xl) == 2'017'588'800);
}

TEST_CASE("an untied head, biases and fewer key/value heads change the count") {
  Config c = small;
  c.tied_head = false;
  CHECK(parameters<any_shape>(c) == 137'859'840 + 32000 * 768);
  c.tied_head = true;
  c.attention_bias = true;
  CHECK(parameters<any_shape>(c) == 137'859'840 + 12 * 4 * 768);
  c.attention_bias = false;
  c.n_kv_head = 4;
  CHECK(parameters<any_shape>(c) == 137'859'840 - 12 * 2 * 768 * (768 - 256));
}

TEST_CASE("the list and the count agree") {
  Config c = small;
  c.n_layer = 2, c.attention_bias = true, c.tied_head = false;
  const Decoder<any_shape, LanguageModelHead<dynamic>> decoder(c);
  std::int64_t elements = 0, last_matrix = 0, last_vector = 0;
  for (const ParameterInfo& p : decoder.list()) {
    elements += p.size;
    CHECK(p.offset % parameter_alignment == 0);
    std::int64_t& last = p.is_matrix() ? last_matrix : last_vector;
    CHECK(p.offset == last);
    last = p.offset + padded_size(p.size);
  }
  CHECK(elements == decoder.count().elements);
  CHECK(last_matrix == decoder.count().matrices);
  CHECK(last_vector == decoder.count().vectors);
}
