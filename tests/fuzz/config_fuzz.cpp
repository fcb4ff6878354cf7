// config.json: an accepted config must be equal after writing and reading.
#include "json_mutator.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_config.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  for (const std::string& text : seeds.data("golden", "config.json")) seeds.add(text);
  for (const std::string& text : seeds.data("transformers", "config.json")) seeds.add(text);
  seeds.words({"rope_scaling_factor", "partial_rotary_factor", "full_attention", "sliding_attention", "auto_map",
               "quantization_config", "text_config", "hidden_activation", "hidden_act", "Gemma2Model"});
  seeds.words({"rope_scaling", "rope_parameters", "rope_theta", "linear", "llama3", "yarn", "factor", "gemma2",
               "id2label", "label2id", "num_labels", "problem_type", "layer_types", "sliding_window",
               "sliding_attention", "full_attention", "torch_dtype", "architectures"});
}

void fuzz::run(std::string_view input) {
  const ConfigFile config = parse_config(parse_json(input, "fuzz.json"), "fuzz.json");
  if (config.config.num_labels >= 1000) return;  // one name is written for each
  (void)accepted([&] { return generation_options_in(config, "fuzz.json"); });
  const Json written = config_to_json(config);
  const auto again = accepted([&] { return parse_config(written, "written.json"); });
  if (!again || config_to_json(*again) != written) fail("another config after writing and reading");
}
