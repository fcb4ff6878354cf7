#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/run/model_settings.hpp"

using namespace moderngpt2;

TEST_CASE("model fields set windows") {
  const auto apply = [](const std::string& fields, const Json& values) {
    ModelFields given;
    for (const auto& [name, value] : values.items()) given[name] = value;
    Json json = parse_json(R"({"model_type":"moderngpt2","n_positions":64)" + fields + "}", "c.json");
    given.apply(json);
    const Config c = parse_config(json, "c.json").config;
    std::string windows;
    for (int i = 0; i < c.n_layer; ++i) windows += (i ? " " : "") + std::to_string(c.window(i));
    return windows;
  };
  const Json three_layers = {{"n_layer", 3}, {"sliding_window", 8}};
  const std::string file = R"(,"num_hidden_layers":2,"sliding_window":4,
                              "layer_types":["full_attention","sliding_attention"])";
  CHECK(apply("", three_layers) == "8 0 8");
  CHECK(apply(file, {{"sliding_window", 8}}) == "0 8");
  CHECK(apply(file, {{"sliding_window", 0}}) == "0 0");
  CHECK(apply(file, three_layers) == "0 8 0");
  CHECK(apply(file, {{"n_layer", 5}}) == "0 4 0 4 0");
  CHECK(apply(file, {{"n_layer", 1}}) == "0");
  CHECK(apply(file, {{"layer_types", {"sliding_attention"}}}) == "4 4");
  CHECK(apply(file, {{"layer_types", {"full_attention"}}}) == "0 0");
  CHECK(apply("", {{"n_layer", 4},
                   {"sliding_window", 8},
                   {"layer_types", {"sliding_attention", "full_attention", "full_attention"}}}) == "8 0 0 8");
  CHECK_ERROR(apply("", {{"layer_types", {"sliding_attention"}}}), "sliding_window is missing");
  CHECK_ERROR(apply("", {{"layer_types", {"sliding"}}}), "layer_types has \"sliding\"");
  CHECK_ERROR(apply(R"(,"n_layer":1,"layer_types":["full_attention"])", {{"sliding_window", 8}}), "no layer slides");
  CHECK_ERROR(apply(file, {{"n_layer", 134217728}}), "n_layer");
}
