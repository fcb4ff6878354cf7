// GGUF files: accepted tensors lie inside the file and can be read, and the tokenizer encodes and decodes text.
#include <algorithm>

#include "fuzz.hpp"
#include "moderngpt2/io/gguf/export.hpp"
#include "moderngpt2/io/gguf/tensors.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

namespace {

constexpr std::string_view text = "ab  abc \n12 caf\xC3\xA9 <s> \xF0\x9F\x98\x80";

GgufMetadata vocabulary(bool byte_level) {
  std::vector<std::string> tokens{"<u>", "<s>", "a", "b", "ab", "c", "abc", "\xE2\x96\x81", "\xC4\xA0"};
  std::vector<std::int32_t> types{2, 3, 1, 1, 1, 1, 1, 1, 4};
  GgufMetadata keys;
  keys.add("tokenizer.ggml.model", GgufValue::text(byte_level ? "gpt2" : "llama"));
  keys.add("tokenizer.ggml.pre", GgufValue::text(byte_level ? "gpt-2" : "default"));
  if (byte_level)
    keys.add("tokenizer.ggml.merges", GgufValue::texts({"a b", "ab c"}));
  else
    keys.add("tokenizer.ggml.scores", GgufValue::numbers(std::vector<float>(40, -1.0f)));
  while (tokens.size() < 40) {
    tokens.push_back(fmt::format("<0x{:02X}>", tokens.size() * 6));
    types.push_back(6);
  }
  keys.add("tokenizer.ggml.tokens", GgufValue::texts(tokens));
  keys.add("tokenizer.ggml.token_type", GgufValue::numbers(types));
  keys.add("tokenizer.ggml.bos_token_id", GgufValue::number(std::uint32_t{1}));
  keys.add("tokenizer.ggml.add_bos_token", GgufValue::boolean(true));
  keys.add("tokenizer.chat_template", GgufValue::text("{{ bos_token }}"));
  return keys;
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  const ConfigFile config = parse_config({{"model_type", "moderngpt2"},
                                          {"vocab_size", 40},
                                          {"n_positions", 8},
                                          {"n_embd", 32},
                                          {"n_layer", 1},
                                          {"n_head", 2},
                                          {"n_inner", 32},
                                          {"query_pre_attn_scalar", 0.3}},
                                         "seed");
  const std::vector<float> values(4096, 0.3f);
  std::vector<TensorSource> tensors;
  for (const auto& tensor : detail::gguf_tensor_names(config.config))
    tensors.push_back(tensor_source(tensor.name, tensor.shape, values.data()));
  const std::filesystem::path path = folder() / "seed.gguf";
  for (const GgufDtype dtype : {GgufDtype::f32, GgufDtype::q4_0}) {
    write_gguf(path, config, tensors, dtype, vocabulary(dtype == GgufDtype::f32), "seed");
    seeds.add(read(path));
  }
  for (const bool byte_level : {false, true}) {
    write_gguf_file(path, vocabulary(byte_level), {});
    seeds.add(read(path));
  }
  seeds.words({"general.alignment", "split.count", "gemma2.attention.sliding_window", "gemma2.rope.scaling.type",
               "gemma2.attention.sliding_window_pattern", "moderngpt2.config", "moderngpt2.norm_weights",
               "moderngpt2.query_rounding", "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.eot_token_id",
               "llama-bpe", "qwen2", "deepseek-v3", "smollm", "GGUF"});
}

void fuzz::run(std::string_view input) {
  const std::filesystem::path path = file("fuzz.gguf", input);
  const GgufFile gguf(path);
  for (const GgufTensor& tensor : gguf.tensors()) {
    if (tensor.bytes > input.size()) fail("a tensor outside the file");
    float value = 0;
    (void)accepted([&] { return gguf.read_values(tensor, tensor.count - 1, 1, &value), 0; });
  }
  (void)accepted([&] {
    const GgufTensors tensors(path);
    std::vector<float> values(4096);
    for (const TensorInfo& info : tensors.tensors())
      tensors.read_as(info, values.data(), 0, std::min<std::int64_t>(info.count(), 4096));
    return 0;
  });
  (void)accepted([&] {
    const Tokenizer tokenizer = Tokenizer::load(path);
    const std::vector<int> ids = tokenizer.encode_prompt(text);
    for (const int id : ids)
      if (!tokenizer.has(id)) fail("an id without a token");
    (void)tokenizer.decode(ids);
    return 0;
  });
}
