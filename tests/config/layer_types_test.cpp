#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/config/presets.hpp"

using namespace moderngpt2;

namespace layer_types_test {

/// Layers from a word such as "sfs": s slides, f is full.
std::vector<AttentionType> layers(const std::string& word) {
  std::vector<AttentionType> types;
  for (char letter : word) types.push_back(letter == 's' ? AttentionType::sliding : AttentionType::full);
  return types;
}

/// Keys that queries see, counted one by one.
double counted_keys(const LayerWindows& windows, int time) {
  double keys = 0;
  for (int layer = 0; layer < windows.n_layer; ++layer)
    for (int t = 0; t < time; ++t)
      for (int key = 0; key <= t; ++key) keys += windows[layer] == 0 || key > t - windows[layer];
  return keys / time / windows.n_layer;
}

}  // namespace layer_types_test

using namespace layer_types_test;

TEST_CASE("layer types are the shortest pattern of a list") {
  for (const auto& [word, period] : {std::pair{"s", 1},
                                     {"ff", 1},
                                     {"sf", 2},
                                     {"sfs", 2},
                                     {"sfsf", 2},
                                     {"ffs", 3},
                                     {"sssssfsssssf", 6},
                                     {"ffss", 4},
                                     {"sfssfss", 3},
                                     {"ssfsssf", 4}}) {
    const std::vector<AttentionType> list = layers(word);
    const LayerTypes types(list);
    CAPTURE(word);
    CHECK(types.period() == period);
    int sliding = 0;
    for (int i = 0; i < int(list.size()); ++i) {
      CHECK(types[i] == list[std::size_t(i)]);
      sliding += list[std::size_t(i)] == AttentionType::sliding;
    }
    CHECK(types.sliding(int(list.size())) == sliding);
    CHECK(types[period * 1000] == list[0]);
  }
  CHECK(LayerTypes(layers("sfsf")) == LayerTypes());
  CHECK(LayerTypes(layers("fs")) != LayerTypes());
  static_assert(LayerTypes().sliding(5) == 3 && LayerTypes()[0] == AttentionType::sliding);
}

TEST_CASE("layer types of up to 512 layers have any pattern, longer ones a repeating one") {
  std::string word(512, 'f');
  word[511] = word[510] = word[63] = 's';
  const LayerTypes types(layers(word));
  CHECK(types.period() == 512);
  CHECK(types.sliding(512) == 3);
  CHECK(types[511 + 512] == AttentionType::sliding);
  CHECK(LayerTypes(layers(word + word)) == types);
  CHECK(LayerTypes(layers(std::string(100'000, 's'))).period() == 1);
  CHECK_ERROR(LayerTypes(layers(std::string(512, 'f') + "s")), "layer_types has 513 layers", "does not repeat");
  CHECK_ERROR(LayerTypes(layers(std::string(99'999, 'f') + "s")), "does not repeat within 512");
  CHECK_ERROR(LayerTypes(layers("")), "layer_types is empty");
}

TEST_CASE("windows of a config") {
  Config c;
  CHECK(c.window(0) == 0);
  c.sliding_window = 100;
  CHECK(c.window(0) == 100);
  CHECK(c.window(1) == 0);
  CHECK(c.window(10) == 100);
  c.layer_types = LayerTypes(layers("ffs"));
  CHECK(c.window(2) == 100);
  CHECK(c.window(10) == 0);
  c.n_positions = 101;
  CHECK(c.window(2) == 100);
  c.n_positions = 100;  // no query sees more keys
  CHECK(c.window(2) == 0);
  static_assert(small_config.window(0) == 0);
}

TEST_CASE("keys that queries see, on average") {
  for (const char* word : {"s", "f", "sf", "ffs"})
    for (int width : {1, 2, 7, 8, 9, 100})
      for (int time : {1, 2, 8, 33})
        for (int n_layer : {1, 2, 5}) {
          const LayerWindows windows{width, n_layer, LayerTypes(layers(word))};
          CHECK(windows.mean_keys(time) == doctest::Approx(counted_keys(windows, time)));
        }
  static_assert(LayerWindows{}.mean_keys(1023) == 512);
}
