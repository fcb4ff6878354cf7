#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/run/conversion.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"

namespace conversion_test {

using namespace moderngpt2;
namespace fs = std::filesystem;

inline const fs::path golden = fs::path(MODERNGPT2_TEST_DATA) / "golden";

std::vector<std::byte> bytes_of(const CheckpointTensors& file, const TensorInfo& info) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(info.bytes()));
  file.read(info, bytes);
  return bytes;
}

/// Whether two checkpoints have the same tensors, bit for bit.
void check_same_tensors(const fs::path& a, const fs::path& b) {
  const CheckpointTensors left(a), right(b);
  CHECK(left.tensors().size() == right.tensors().size());
  for (const TensorInfo& info : left.tensors()) {
    const TensorInfo* const other = right.find(info.name);
    REQUIRE_MESSAGE(other, info.name);
    CHECK(other->dtype == info.dtype);
    CHECK(other->shape == info.shape);
    CHECK_MESSAGE(bytes_of(left, info) == bytes_of(right, *other), info.name);
  }
}

ConversionResult convert(const fs::path& input, const fs::path& output, std::optional<ModelFormat> format = {},
                         std::optional<GgufDtype> dtype = {}, std::uint64_t max_shard_bytes = 5'000'000'000) {
  return convert_checkpoint({input, output, format, dtype, max_shard_bytes});
}

/// Copies a golden case and changes fields of its config.json.
void copy_case(const std::string& name, const fs::path& to, const Json& fields) {
  fs::copy(golden / name, to);
  Json config = read_json_file(to / "config.json");
  for (const auto& [key, value] : fields.items()) config[key] = value;
  write_json_file(to / "config.json", config);
}

bool is_hidden_leftover(const fs::path& folder) {
  for (const fs::path& entry : folder_entries(folder))
    if (entry.filename().string().starts_with('.')) return true;
  return false;
}

TEST_CASE("a conversion to gemma2 and back returns each golden case bit for bit") {
  const test::TemporaryFolder temporary;
  int converted = 0;
  for (const fs::path& folder : folder_entries(golden)) {
    if (!fs::exists(folder / "model.safetensors")) continue;
    CAPTURE(folder.string());
    const std::string name = folder.filename().string();
    const ConfigFile config = read_config(folder);
    if (gemma2_architecture(config.architecture).empty()) {
      CHECK_ERROR(convert(folder, temporary / name, ModelFormat::gemma2), "architectures", config.architecture);
      continue;
    }
    convert(folder, temporary / name, ModelFormat::gemma2);
    convert(temporary / name, temporary / (name + ".back"), ModelFormat::moderngpt2);
    check_same_tensors(folder, temporary / (name + ".back"));
    CHECK(read_json_file(folder / "config.json") == read_json_file(temporary / (name + ".back") / "config.json"));
    const Json gemma = read_json_file(temporary / name / "config.json");
    CHECK(gemma["query_pre_attn_scalar"] == Json(config.config.head_dim));
    CHECK(gemma["query_pre_attn_scalar"].is_number_integer());
    const bool has_originals = fs::exists(temporary / name / original_queries_name);
    CHECK(has_originals == (name == "gqa_softcap"));  // query_pre_attn_scalar 0.4, head_dim 8
    ++converted;
  }
  CHECK(converted > 8);
  CHECK(!is_hidden_leftover(temporary.path()));
}

TEST_CASE("a conversion to an F32 GGUF file and back returns the weights bit for bit") {
  const test::TemporaryFolder temporary;
  for (const std::string name : {"gqa_softcap", "mha", "head_dim_64"}) {
    CAPTURE(name);
    convert(golden / name, temporary / (name + ".gguf"), std::nullopt, GgufDtype::f32);
    convert(temporary / (name + ".gguf"), temporary / name);
    check_same_tensors(golden / name, temporary / name);
    // Through gemma2, whose scaled queries are restored first.
    convert(golden / name, temporary / (name + ".gemma"), ModelFormat::gemma2);
    convert(temporary / (name + ".gemma"), temporary / (name + ".2.gguf"));
    convert(temporary / (name + ".2.gguf"), temporary / (name + ".3"), ModelFormat::moderngpt2);
    check_same_tensors(golden / name, temporary / (name + ".3"));
  }
}

TEST_CASE("element types: rounding, scaled queries, shards") {
  const test::TemporaryFolder temporary;
  const fs::path source = golden / "gqa_softcap";
  const ConversionResult result = convert(source, temporary / "bf16", std::nullopt, GgufDtype::bf16);
  CHECK(result.dtype == GgufDtype::bf16);
  CHECK(result.to == ModelFormat::moderngpt2);
  const CheckpointTensors before(source), after(temporary / "bf16");
  for (const TensorInfo& info : before.tensors()) {
    CHECK(after.at(info.name).dtype == Dtype::bf16);
    const std::vector<float> a = before.read_vector<float>(info.name), b = after.read_vector<float>(info.name);
    CHECK(std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) { return float(bf16(x)) == y; }));
  }
  CHECK(read_json_file(temporary / "bf16" / "config.json")["torch_dtype"] == "bfloat16");
  // Rounding and the format may change together: the way back gives the rounded weights.
  convert(source, temporary / "gemma", ModelFormat::gemma2, GgufDtype::bf16, 4000);
  CHECK(fs::exists(temporary / "gemma" / "model.safetensors.index.json"));
  CHECK(read_json_file(temporary / "gemma" / "config.json")["dtype"] == "bfloat16");
  convert(temporary / "gemma", temporary / "back", ModelFormat::moderngpt2);
  check_same_tensors(temporary / "bf16", temporary / "back");
  // gemma2 to gemma2 keeps names, config and original queries.
  convert(temporary / "gemma", temporary / "whole");
  convert(temporary / "whole", temporary / "whole.back", ModelFormat::moderngpt2);
  check_same_tensors(temporary / "gemma", temporary / "whole");
  check_same_tensors(temporary / "bf16", temporary / "whole.back");
  CHECK(read_json_file(temporary / "gemma" / "config.json") == read_json_file(temporary / "whole" / "config.json"));
}

TEST_CASE("sliding windows and their pattern are kept in every format") {
  const test::TemporaryFolder temporary;
  for (const std::string name : {"2b_published", "27b_pattern"}) {
    CAPTURE(name);
    const fs::path source = fs::path(MODERNGPT2_TEST_DATA) / "gemma2" / name;
    convert(source, temporary / name, ModelFormat::moderngpt2);
    convert(temporary / name, temporary / (name + ".gemma"), ModelFormat::gemma2);
    const Config before = read_config(source).config, model = read_config(temporary / name).config;
    const Config after = read_config(temporary / (name + ".gemma")).config;
    for (int i = 0; i < before.n_layer; ++i) {
      CHECK(model.window(i) == before.window(i));
      CHECK(after.window(i) == before.window(i));
    }
  }
}

TEST_CASE("queries that another program has changed keep the factor of the export") {
  const test::TemporaryFolder temporary;
  convert(golden / "gqa_softcap", temporary / "gemma", ModelFormat::gemma2);
  fs::remove(temporary / "gemma" / original_queries_name);
  const ConversionResult result = convert(temporary / "gemma", temporary / "back", ModelFormat::moderngpt2);
  REQUIRE(result.notes.size() == 1);
  CHECK(test::contains(result.notes[0], original_queries_name));
  const ConfigFile config = read_config(temporary / "back");
  CHECK(!config.config.query_pre_attn_scalar);
  const std::string query = "transformer.h.0.attn.q_proj.weight";
  const auto before = CheckpointTensors(golden / "gqa_softcap").read_vector<float>(query);
  const auto after = CheckpointTensors(temporary / "back").read_vector<float>(query);
  const double factor = query_factor(read_config(golden / "gqa_softcap").config);
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i] == float(double(before[i]) * factor));
}

TEST_CASE("a power of two as factor needs no original queries") {
  const test::TemporaryFolder temporary;
  copy_case("head_dim_64", temporary / "model", {{"query_pre_attn_scalar", 0.5}, {"my_field", {1, 2}}});
  convert(temporary / "model", temporary / "gemma", ModelFormat::gemma2);
  CHECK(!fs::exists(temporary / "gemma" / original_queries_name));
  convert(temporary / "gemma", temporary / "back", ModelFormat::moderngpt2);
  check_same_tensors(temporary / "model", temporary / "back");
  CHECK(read_json_file(temporary / "model" / "config.json") == read_json_file(temporary / "back" / "config.json"));
}

TEST_CASE("fields that the target cannot express are named, and nothing is written") {
  const test::TemporaryFolder temporary;
  const auto refused = [&](const std::string& name, const Json& fields, ModelFormat format,
                           std::initializer_list<std::string> parts) {
    const fs::path model = temporary / "model", output = temporary / "output";
    fs::remove_all(model);
    copy_case(name, model, fields);
    const std::string message = test::error_of([&] { convert(model, output, format); });
    for (const std::string& part : parts) CHECK_MESSAGE(test::contains(message, part), message, " lacks ", part);
    CHECK(!fs::exists(output));
  };
  refused("mha", {{"rms_norm_eps", 0.0}}, ModelFormat::gemma2, {"rms_norm_eps is 0", "1e-12"});
  refused("mha", {{"blocks", {{"mlp", {{"type", "mine"}}}}}}, ModelFormat::gemma2, {"blocks.mlp", "mine"});
  refused("head_double", Json::object(), ModelFormat::gemma2, {"ModernGPT2DoubleHeadsModel"});
  refused("relu", Json::object(), ModelFormat::gguf, {"activation_function", "relu"});
  refused("untied_gelu", Json::object(), ModelFormat::gguf, {"tie_word_embeddings"});
  refused("head_token", Json::object(), ModelFormat::gguf, {"architectures"});
  CHECK(!is_hidden_leftover(temporary.path()));
}

TEST_CASE("outputs that exist, values that overflow and stops leave nothing behind") {
  const test::TemporaryFolder temporary;
  fs::create_directories(temporary / "used");
  std::ofstream(temporary / "used" / "file") << "x";
  CHECK_ERROR(convert(golden / "mha", temporary / "used"), "is not empty");
  CHECK_ERROR(convert(golden / "mha", temporary / "used" / "file"), "is a file");
  CHECK_ERROR(convert(golden / "mha", temporary / "a.gguf", ModelFormat::gemma2), "GGUF");
  CHECK_ERROR(convert(golden / "mha", temporary / "a", ModelFormat::gemma2, GgufDtype::q8_0), "q8_0", "gguf");
  CHECK_ERROR(convert(temporary / "absent", temporary / "a"), "does not exist");

  fs::create_directories(temporary / "large");
  fs::copy_file(golden / "mha" / "config.json", temporary / "large" / "config.json");
  const CheckpointTensors tensors(golden / "mha");
  std::vector<TensorSource> sources;
  for (const TensorInfo& info : tensors.tensors()) sources.push_back(stored_source(tensors, info, info.name));
  const std::string victim = "transformer.h.1.mlp.up_proj.weight";
  for (TensorSource& source : sources)
    if (source.name == victim)
      source.fill = [](std::uint64_t, std::span<std::byte> out) {
        const float large = 1e6f;
        for (std::size_t i = 0; i < out.size(); i += 4) std::memcpy(out.data() + i, &large, 4);
      };
  write_safetensors(temporary / "large" / "model.safetensors", sources);
  CHECK_ERROR(convert(temporary / "large", temporary / "f16", std::nullopt, GgufDtype::f16), victim, "1000000", "F16");
  convert(temporary / "large", temporary / "empty", std::nullopt, GgufDtype::bf16);

  int calls = 0;
  const auto stop = [&](std::uint64_t, std::uint64_t) {
    if (++calls == 9) throw Error("stopped");
  };
  for (const char* name : {"stopped", "stopped.gguf"}) {
    calls = 0;
    CHECK_ERROR(convert_checkpoint({golden / "mha", temporary / name}, stop), "stopped");
    CHECK(!fs::exists(temporary / name));
  }
  CHECK(!is_hidden_leftover(temporary.path()));
}

TEST_CASE("tokenizer and generation config are carried along") {
  const test::TemporaryFolder temporary;
  const fs::path model = temporary / "model";
  copy_case("mha", model, Json::object());
  test::write_letter_tokenizer(model);
  std::ofstream(model / "chat_template.jinja") << "{{ messages[0].content }}";
  std::ofstream(model / "generation_config.json") << R"({"temperature": 0.25, "mine": 1})";
  write_json_file(model / "tokenizer_config.json", {{"tokenizer_class", "GPT2Tokenizer"}, {"eos_token", "<eos>"}});
  convert(model, temporary / "gemma", ModelFormat::gemma2);
  CHECK(read_json_file(temporary / "gemma" / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast");
  convert(temporary / "gemma", temporary / "back", ModelFormat::moderngpt2);
  for (const char* name : {"tokenizer.json", "chat_template.jinja", "generation_config.json"}) {
    CHECK(read_file(model / name) == read_file(temporary / "gemma" / name));
    CHECK(read_file(model / name) == read_file(temporary / "back" / name));
  }
  CHECK(read_json_file(model / "tokenizer_config.json") ==
        read_json_file(temporary / "back" / "tokenizer_config.json"));
}

}  // namespace conversion_test
