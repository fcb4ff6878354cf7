#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gguf/export.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "support/temporary_folder.hpp"

namespace gguf_test {

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

const fs::path data = MODERNGPT2_TEST_DATA;

GgufMetadata no_tokenizer() {
  GgufMetadata keys;
  keys.add("tokenizer.ggml.model", GgufValue::text("none"));
  return keys;
}

std::vector<TensorSource> sources_of(const CheckpointTensors& file) {
  std::vector<TensorSource> list;
  for (const TensorInfo& info : file.tensors())
    list.push_back({info.name, info.dtype, info.shape,
                    [&](std::uint64_t offset, std::span<std::byte> out) { file.read(info, out, offset); }});
  return list;
}

/// A model in memory, by its config.
struct Model {
  ConfigFile config;
  std::vector<std::vector<float>> values;
  std::vector<TensorSource> sources;

  explicit Model(const Json& fields) {
    Json json = {{"model_type", "moderngpt2"},
                 {"vocab_size", 40},
                 {"n_positions", 16},
                 {"n_embd", 32},
                 {"n_layer", 2},
                 {"n_head", 2},
                 {"rope_theta", 12345.678}};
    json.update(fields);
    config = parse_config(json, "test");
    std::uint32_t state = 1;
    for (const auto& tensor : detail::gguf_tensor_names(config.config)) {
      std::vector<float>& list = values.emplace_back();
      const std::int64_t count = tensor.shape[0] * (tensor.shape.size() == 2 ? tensor.shape[1] : 1);
      for (std::int64_t i = 0; i < count; ++i) {
        state = state * 1664525 + 1013904223;
        const float spread = std::ldexp(1.0f, -int(state >> 28));  // 1 to 2^-15
        list.push_back((float(state >> 8 & 0xffff) / 32768 - 1) * spread);
      }
    }
    std::size_t i = 0;
    for (const auto& tensor : detail::gguf_tensor_names(config.config))
      sources.push_back(tensor_source(tensor.name, tensor.shape, values[i++].data()));
  }

  std::vector<float>& operator[](const std::string& name) {
    for (std::size_t i = 0; i < sources.size(); ++i)
      if (sources[i].name == name) return values[i];
    throw Error("no tensor {}", name);
  }

  FileRecord write(const fs::path& path, GgufDtype dtype = GgufDtype::f32) const {
    return write_gguf(path, config, sources, dtype, no_tokenizer(), "test");
  }
};

Model made(const Json& fields) { return Model(fields); }

/// Number of values whose bits differ.
std::size_t differences(const Model& model, const CheckpointTensors& file) {
  std::size_t n = file.tensors().size() == model.sources.size() ? 0 : 1;
  for (std::size_t t = 0; t < model.sources.size(); ++t) {
    const auto read = file.read_vector<float>(model.sources[t].name);
    for (std::size_t i = 0; i < read.size(); ++i)
      n += std::bit_cast<std::uint32_t>(read[i]) != std::bit_cast<std::uint32_t>(model.values[t][i]);
  }
  return n;
}

TEST_CASE("an F32 GGUF file returns every bit of the weights and the config") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  for (const char* name : {"mha", "gqa_softcap", "long", "head_dim_64"}) {
    const fs::path golden = data / "golden" / name;
    const CheckpointTensors before(golden);
    write_gguf(path, read_config(golden), sources_of(before), GgufDtype::f32, no_tokenizer(), name);
    const CheckpointTensors after(path);
    REQUIRE(after.tensors().size() == before.tensors().size());
    for (const TensorInfo& info : before.tensors()) {
      CHECK(after.at(info.name).shape == info.shape);
      const auto a = before.read_vector<float>(info.name), b = after.read_vector<float>(info.name);
      CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
    }
    CHECK(config_to_json(read_config(path)) == config_to_json(read_config(golden)));
  }
}

TEST_CASE("weights that w + 1 and the query scale round come back") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  for (const double scale : {0.1234567, 3.0, 0.25, 1e-20}) {
    Model model =
        made({{"query_pre_attn_scalar", scale}, {"rope_scaling", {{"rope_type", "linear"}, {"factor", 1.7}}}});
    std::vector<float>& norm = model["transformer.h.1.input_layernorm.weight"];
    norm[0] = 1e-30f, norm[1] = -0.0f, norm[2] = -1.0f, norm[3] = 1e30f, norm[4] = std::nextafter(-1.0f, 0.0f);
    std::vector<float>& query = model["transformer.h.1.attn.q_proj.weight"];
    query[0] = 1e-40f, query[1] = -0.0f, query[2] = 1e-30f, query[3] = -1.5e-38f, query[4] = 0.0f;
    model.write(path);
    const CheckpointTensors file(path);
    CHECK(differences(model, file) == 0);
    CHECK(config_to_json(read_config(path)) == config_to_json(model.config));
    const TensorInfo& info = file.at("transformer.h.1.attn.q_proj.weight");  // ranges, and raw bytes
    std::vector<float> part(100);
    file.read_as(info, part.data(), 3, 100);
    CHECK(std::memcmp(part.data(), &query[3], 400) == 0);
    file.read(info, std::as_writable_bytes(std::span(part)), 8);
    CHECK(std::memcmp(part.data(), &query[2], 400) == 0);
  }
}

TEST_CASE("llama.cpp's view of a file: w + 1, folded queries, caps") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  Model model = made({{"query_pre_attn_scalar", 0.5}, {"final_logit_softcapping", 20.0}});
  model.write(path);
  const GgufFile file(path);
  CHECK(file.metadata().get<double>("gemma2.attn_logit_softcapping") == 1e5);
  CHECK(file.metadata().get<double>("gemma2.final_logit_softcapping") == 20);
  CHECK(file.metadata().get<int>("gemma2.attention.sliding_window") == 16);
  CHECK(file.metadata().get<std::string>("general.name") == "test");
  for (const GgufTensor& tensor : file.tensors()) {
    float first = 0;
    file.read_values(tensor, 0, 1, &first);
    if (tensor.name == "blk.1.ffn_norm.weight")
      CHECK(first == model["transformer.h.1.pre_feedforward_layernorm.weight"][0] + 1.0f);
    if (tensor.name == "blk.0.attn_q.weight")
      CHECK(first == doctest::Approx(2 * model["transformer.h.0.attn.q_proj.weight"][0]));  // 0.5 * sqrt(16)
  }
}

TEST_CASE("shorter types: values, rows that do not fit, the embedding of q4_0") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  const Model model = made({{"n_inner", 48}});
  for (const GgufDtype dtype : {GgufDtype::f16, GgufDtype::bf16, GgufDtype::q8_0, GgufDtype::q4_0}) {
    model.write(path, dtype);
    const GgufFile file(path);
    CHECK(file.metadata().get<std::uint32_t>("general.file_type") == detail::gguf_dtype_entry(dtype).file_type);
    for (const GgufTensor& tensor : file.tensors()) {
      GgufDtype expected = dtype;
      if (tensor.dims.size() == 1) expected = GgufDtype::f32;
      if (dtype == GgufDtype::q4_0 && tensor.name == "token_embd.weight") expected = GgufDtype::q8_0;
      const bool quantized = dtype == GgufDtype::q8_0 || dtype == GgufDtype::q4_0;
      if (quantized && tensor.name.ends_with("ffn_down.weight")) expected = GgufDtype::f16;  // rows of 48
      CHECK(tensor.type == std::uint32_t(expected));
    }
    const CheckpointTensors tensors(path);
    for (std::size_t t = 0; t < model.sources.size(); ++t) {
      const auto read = tensors.read_vector<float>(model.sources[t].name);
      double worst = 0;
      for (std::size_t i = 0; i < read.size(); ++i)
        worst = std::max(worst, std::abs(double(read[i]) - double(model.values[t][i])));
      CHECK(worst <= (dtype == GgufDtype::q4_0 ? 0.13 : 0.005));
    }
    const bool is_half = dtype == GgufDtype::f16;
    CHECK((tensors.at("transformer.wte.weight").dtype == Dtype::f16) == is_half);
    if (is_half) CHECK(tensors.read_vector<f16>("transformer.wte.weight")[7].bits == f16(model.values[0][7]).bits);
  }
}

TEST_CASE("biases: those of o_proj must be zero") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  Model model = made({{"attention_bias", true}, {"query_pre_attn_scalar", 0.3}});
  CHECK_ERROR(model.write(path), "attention_bias", "transformer.h.0.attn.o_proj.bias", "o_proj");
  CHECK(!fs::exists(path));
  for (const char* name : {"transformer.h.0.attn.o_proj.bias", "transformer.h.1.attn.o_proj.bias"})
    for (float& value : model[name]) value = 0;
  model.write(path);
  CHECK(read_config(path).config.attention_bias);
  CHECK(differences(model, CheckpointTensors(path)) == 0);
}

TEST_CASE("what the format cannot express is refused by the field's name") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  const auto refused = [&](const Json& fields, const char* field) {
    CHECK_ERROR(gguf_from_config(made(fields).config, "model.gguf"), "model.gguf", field, "llama.cpp");
  };
  refused({{"tie_word_embeddings", false}}, "tie_word_embeddings");
  refused({{"activation_function", "silu"}}, "activation_function");
  refused({{"architectures", {"ModernGPT2ForTokenClassification"}}}, "architectures");
  Model model = made(Json::object());
  model["transformer.h.0.mlp.up_proj.weight"][5] = 70000;
  CHECK_ERROR(model.write(path, GgufDtype::f16), "blk.0.ffn_up.weight", "70000", "f16");
  model["transformer.h.0.mlp.up_proj.weight"][5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_ERROR(model.write(path, GgufDtype::q8_0), "blk.0.ffn_up.weight", "nan", "q8_0");
  model.sources.pop_back();
  CHECK_ERROR(model.write(path), "transformer.ln_f.weight");
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("sliding windows and their pattern") {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  for (const Json& types : {Json{"sliding_attention", "full_attention", "sliding_attention"},
                            Json{"full_attention", "sliding_attention", "sliding_attention"}}) {
    const Model model = made({{"n_layer", 3}, {"sliding_window", 5}, {"layer_types", types}});
    model.write(path);
    CHECK(read_config(path).config.sliding_window == 5);
    CHECK(read_config(path).json["layer_types"] == types);
    CHECK(differences(model, CheckpointTensors(path)) == 0);
  }
}

TEST_CASE("a file of llama.cpp's converter is read") {
  const fs::path path = data / "gguf" / "foreign.gguf";
  const ConfigFile file = read_config(path);
  const Config& c = file.config;
  CHECK(c.n_layer == 3);
  CHECK(c.head_dim == 16);
  CHECK(c.n_kv_head == 1);
  CHECK(c.rms_norm_eps == 1e-6);
  CHECK(c.attn_logit_softcapping == 50.0);
  CHECK(c.final_logit_softcapping == 30.0);
  CHECK(c.window(0) == 8);
  CHECK(c.window(1) == 0);
  CHECK(c.window(2) == 8);
  CHECK(c.embd_pdrop == 0);
  CHECK(c.bos_token_id == 2);
  CHECK(c.pad_token_id == 0);
  CHECK(file.eos_token_ids == std::vector<int>{1, 270});  // <eos>, <end_of_turn>
  const CheckpointTensors tensors(path);
  const auto expected = [](std::int64_t i, std::int64_t seed) { return float((i * 37 + seed * 11) % 127 - 63) / 64; };
  const auto query = tensors.read_vector<float>("transformer.h.1.attn.q_proj.weight");
  const auto norm = tensors.read_vector<float>("transformer.h.2.post_feedforward_layernorm.weight");
  const auto gate = tensors.read_vector<float>("transformer.h.0.mlp.gate_proj.weight");
  for (std::int64_t i = 0; i < 32; ++i) {
    CHECK(query[std::size_t(i)] == expected(i, 5));
    CHECK(norm[std::size_t(i)] == expected(i, 15));
    CHECK(gate[std::size_t(i)] == doctest::Approx(expected(i, 10)).epsilon(0.01));
  }
}

TEST_CASE("Gemma 2 27B: 46 layers, whose query scale is not that of head_dim") {
  CHECK(detail::gguf_query_scale(46, 4608, 32, 128) == 1.0 / 12);
  CHECK(detail::gguf_query_scale(42, 3584, 16, 256) == 1.0 / 16);
  const TemporaryFolder folder;
  const fs::path path = folder / "model.gguf";
  const Model model = made({{"n_layer", 46}, {"n_embd", 64}, {"n_head", 2}, {"head_dim", 8}, {"n_inner", 4}});
  model.write(path);
  CHECK(differences(model, CheckpointTensors(path)) == 0);
}

TEST_CASE("models that are not read are named") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.gguf";
  GgufMetadata keys;
  keys.add("general.architecture", GgufValue::text("llama"));
  write_gguf_file(path, keys, {});
  CHECK_ERROR(read_config(path), "architecture", "llama", "gemma2");
  CHECK_ERROR(CheckpointTensors(path), "architecture", "llama");

  const auto changed = [&](const std::function<void(std::string&)>& change, auto... parts) {
    const Model model = made(Json::object());
    model.write(path);
    std::string bytes = read_file(path);
    change(bytes);
    write_file(path, bytes);
    CHECK_ERROR(CheckpointTensors(path), "x.gguf", parts...);
  };
  const auto replace = [](const char* from, const char* to) {
    return [=](std::string& bytes) { bytes.replace(bytes.find(from), std::strlen(to), to); };
  };
  changed(replace("blk.1.ffn_up.weight", "blk.1.ffn_pu.weight"), "blk.1.ffn_up.weight", "missing");
  changed(replace("gemma2.block_count", "gemma2.block_xount"), "gemma2.block_count is missing");
  changed([](std::string& bytes) { bytes[bytes.find("blk.1.ffn_up.weight") + 19 + 4 + 16] = 12; }, "Q4_K",
          "is not read");
  changed([](std::string& bytes) { bytes[bytes.find("gemma2.feed_forward_length") + 26 + 4] = 64; }, "shape");
}

}  // namespace gguf_test
