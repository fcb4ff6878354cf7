#include <array>
#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"

using namespace moderngpt2;

namespace layer_windows_test {

ConfigFile parse(const std::string& type, const std::string& fields) {
  return parse_config(parse_json(R"({"model_type":")" + type + "\"," + fields + "}", "c.json"), "c.json");
}
ConfigFile parse_ours(const std::string& fields) { return parse("moderngpt2", fields); }
ConfigFile parse_gemma(const std::string& fields) { return parse("gemma2", fields); }

/// Windows of the layers, such as "8 0 8".
std::string windows(const Config& c) {
  std::string text;
  for (int i = 0; i < c.n_layer; ++i) text += (i ? " " : "") + std::to_string(c.window(i));
  return text;
}

const std::string three = R"("n_layer":3,"n_positions":64,)";

}  // namespace layer_windows_test

using namespace layer_windows_test;

TEST_CASE("sliding windows of a config.json") {
  CHECK(windows(parse_ours(three + R"("n_head":12)").config) == "0 0 0");
  CHECK(windows(parse_ours(three + R"("sliding_window":null)").config) == "0 0 0");
  CHECK(windows(parse_ours(three + R"("sliding_window":8)").config) == "8 0 8");
  CHECK(windows(parse_ours(three + R"("sliding_window":8,"layer_types":null)").config) == "8 0 8");
  CHECK(windows(parse_ours(three + R"("sliding_window":64)").config) == "0 0 0");
  const std::string ffs = R"("layer_types":["full_attention","full_attention","sliding_attention"])";
  const ConfigFile file = parse_ours(three + R"("sliding_window":8,)" + ffs);
  CHECK(windows(file.config) == "0 0 8");
  CHECK(windows(parse_ours(three + R"("sliding_window":null,)" + ffs).config) == "0 0 0");
  const Json json = config_to_json(file);
  CHECK(json["sliding_window"] == 8);
  CHECK("{" + ffs + "}" == "{\"layer_types\":" + json["layer_types"].dump() + "}");
  CHECK(windows(parse_config(json, "c").config) == "0 0 8");
}

TEST_CASE("config.json has windows only if a layer slides") {
  ConfigFile file = parse_ours(three + R"("sliding_window":8)");
  CHECK(config_to_json(file).contains("layer_types"));
  file.config.sliding_window = 0;
  CHECK(!config_to_json(file).contains("layer_types"));
  CHECK(!config_to_json(file).contains("sliding_window"));
  const ConfigFile full = parse_gemma(R"("num_hidden_layers":1,"sliding_window":8,"layer_types":["full_attention"])");
  CHECK(!config_to_json(full).contains("sliding_window"));
  CHECK(!config_to_json(ConfigFile{}).contains("sliding_window"));
}

TEST_CASE("sliding windows that are no windows") {
  for (const char* window : {"0", "-1", "1.5", "\"8\"", "[8]", "134217729", "1e30"})
    CHECK_ERROR(parse_ours(three + R"("sliding_window":)" + window), "c.json: sliding_window");
  const auto types = [](const std::string& list) {
    return parse_ours(three + R"("sliding_window":8,"layer_types":)" + list);
  };
  for (const char* list : {"{}", "7", "\"full_attention\"", "true"})
    CHECK_ERROR(types(list), "c.json: layer_types must list the attention of each layer");
  CHECK_ERROR(types("[]"), "c.json: layer_types is empty");
  CHECK_ERROR(types("[1,2,3]"), "c.json: layer_types");
  CHECK_ERROR(types(R"(["sliding_attention","chunked_attention","full_attention"])"), "c.json: layer_types has",
              "chunked_attention", "known are full_attention and sliding_attention");
  CHECK_ERROR(types(R"(["sliding_attention"])"), "c.json: layer_types has 1 words for 3 layers");
  CHECK_ERROR(parse_ours(R"("n_layer":1,"layer_types":["sliding_attention"])"), "sliding_window is missing");
  CHECK(windows(parse_ours(R"("n_layer":1,"layer_types":["full_attention"])").config) == "0");
  std::string list = "[\"full_attention\"";
  for (int i = 1; i < 600; ++i) list += i == 599 ? ",\"sliding_attention\"]" : ",\"full_attention\"";
  CHECK_ERROR(parse_ours(R"("n_layer":600,"sliding_window":8,"layer_types":)" + list), "c.json: layer_types has 600",
              "does not repeat within 512");
}

TEST_CASE("published gemma2 configs have sliding windows") {
  // config.json of google/gemma-2-2b before layer_types existed.
  const ConfigFile old = parse_gemma(
      R"("architectures":["Gemma2ForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
         "attn_logit_softcapping":50.0,"bos_token_id":2,"cache_implementation":"hybrid","eos_token_id":1,
         "final_logit_softcapping":30.0,"head_dim":256,"hidden_act":"gelu_pytorch_tanh",
         "hidden_activation":"gelu_pytorch_tanh","hidden_size":2304,"initializer_range":0.02,
         "intermediate_size":9216,"max_position_embeddings":8192,"num_attention_heads":8,"num_hidden_layers":26,
         "num_key_value_heads":4,"pad_token_id":0,"query_pre_attn_scalar":256,"rms_norm_eps":1e-06,
         "rope_theta":10000.0,"sliding_window":4096,"torch_dtype":"float32","transformers_version":"4.42.4",
         "use_cache":true,"vocab_size":256000)");
  for (int i = 0; i < 26; ++i) CHECK(old.config.window(i) == (i % 2 == 0 ? 4096 : 0));
  const Json written = config_to_json(old);
  CHECK(written["layer_types"].size() == 26);
  CHECK(written["layer_types"][1] == "full_attention");
  CHECK(parse_config(written, "c").config.window(24) == 4096);
  CHECK(windows(parse_gemma(R"("num_hidden_layers":3)").config) == "4096 0 4096");
  CHECK(windows(parse_gemma(R"("num_hidden_layers":2,"sliding_window":16,
                               "layer_types":["full_attention","sliding_attention"])")
                    .config) == "0 16");
  CHECK(windows(parse_gemma(R"("num_hidden_layers":2,"sliding_window":null)").config) == "0 0");
}

TEST_CASE("a checkpoint has the windows of the run that resumes it") {
  Config c;
  c.n_layer = 4, c.n_positions = 64;
  Config wide = c, narrow = c, other = c;
  wide.sliding_window = 64;
  narrow.sliding_window = 8;
  other.sliding_window = 8, other.layer_types = LayerTypes(std::array{AttentionType::sliding});
  require_same_model(c, wide, "k");  // as wide as the context
  require_same_model(narrow, narrow, "k");
  CHECK_ERROR(require_same_model(c, narrow, "k"), "k: sliding_window differs", "0 in the checkpoint, 8 here");
  CHECK_ERROR(require_same_model(narrow, other, "k"), "k: layer_types differs");
  Config same = narrow;  // written otherwise
  same.layer_types = LayerTypes(std::array{AttentionType::sliding, AttentionType::full, AttentionType::sliding,
                                           AttentionType::full, AttentionType::full});
  require_same_model(narrow, same, "k");
  Config longer = wide;
  longer.n_positions = 128;
  require_same_model(wide, longer, "k");
  CHECK_ERROR(require_same_model(c, longer, "k"), "k: sliding_window differs");
}
