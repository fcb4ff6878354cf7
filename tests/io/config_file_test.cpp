#include <chrono>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "backend/user_activations.hpp"
#include "expect_error.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const fs::path golden_cases = fs::path(MODERNGPT2_TEST_DATA) / "golden";

/// Parses the given fields and the model type.
ConfigFile parse(const std::string& fields) {
  const std::string comma = fields.empty() ? "" : ",";
  return parse_config(parse_json(R"({"model_type":"moderngpt2")" + comma + fields + "}", "c.json"), "c.json");
}

/// Activation that only one test registers.
struct IoSnake : moderngpt2::test::Snake {
  static constexpr std::string_view name = "io_snake";
};

ConfigFile parse_gemma(const std::string& fields) {
  return parse_config(parse_json(R"({"model_type":"gemma2",)" + fields + "}", "g.json"), "g.json");
}

}  // namespace

TEST_CASE("an empty config has GPT-2's defaults") {
  const ConfigFile file = parse("");
  const Config& c = file.config;
  CHECK(file.architecture == "ModernGPT2LMHeadModel");
  CHECK(c.vocab_size == 50257);
  CHECK(c.n_positions == 1024);
  CHECK(c.n_embd == 768);
  CHECK(c.n_layer == 12);
  CHECK(c.n_head == 12);
  CHECK(c.n_kv_head == 12);
  CHECK(c.head_dim == 64);
  CHECK(c.n_inner == 3072);
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(c.tied_head);
  CHECK(!c.attention_bias);
  CHECK(c.rms_norm_eps == 1e-6);
  CHECK(c.rope_theta == 10000.0);
  CHECK(c.rope_scaling_factor == 1.0);
  CHECK(c.query_scale() == 0.125);
  CHECK(!c.attn_logit_softcapping);
  CHECK(c.resid_pdrop == 0.1);
  CHECK(c.bos_token_id == 50256);
  CHECK(c.eos_token_id == 50256);
  CHECK(!c.pad_token_id);
  CHECK(c.num_labels == 2);
}

TEST_CASE("defaults follow the fields they depend on") {
  const Config c = parse(R"("n_embd":96,"n_head":6)").config;
  CHECK(c.n_kv_head == 6);
  CHECK(c.head_dim == 16);
  CHECK(c.n_inner == 384);
  const Config d = parse(R"("n_embd":96,"n_head":6,"num_key_value_heads":null,"head_dim":32,"n_inner":null)").config;
  CHECK(d.n_kv_head == 6);
  CHECK(d.head_dim == 32);
  CHECK(d.n_inner == 384);
  CHECK(parse(R"("n_embd":100,"n_head":6,"head_dim":8)").config.head_dim == 8);
}

TEST_CASE("Hugging Face's aliases") {
  const Config c = parse(R"("hidden_size":96,"num_hidden_layers":3,"num_attention_heads":6,"max_position_embeddings":77,
                            "n_inner":100,"hidden_act":"silu")")
                       .config;
  CHECK(c.n_embd == 96);
  CHECK(c.n_layer == 3);
  CHECK(c.n_head == 6);
  CHECK(c.n_positions == 77);
  CHECK(c.n_inner == 100);
  CHECK(c.activation == Activation::silu);
  CHECK(parse(R"("hidden_activation":"relu")").config.activation == Activation::relu);
  CHECK(parse(R"("hidden_size":96,"n_embd":96,"n_head":6)").config.n_embd == 96);
  CHECK(parse(R"("hidden_act":"gelu_new","activation_function":"gelu_pytorch_tanh")").config.activation ==
        Activation::gelu_tanh);
  CHECK(parse(R"("n_inner":100,"intermediate_size":null)").config.n_inner == 100);
  CHECK_ERROR(parse(R"("n_embd":96,"hidden_size":48)"), "c.json: n_embd is 96 but hidden_size is 48");
  CHECK_ERROR(parse(R"("hidden_act":"relu","activation_function":"silu")"), "activation_function", "hidden_act");
  CHECK_ERROR(parse(R"("hidden_act":"relu","hidden_activation":"silu")"), "hidden_act is", "hidden_activation is");
  CHECK_ERROR(parse(R"("n_inner":1,"intermediate_size":2)"), "intermediate_size is 2 but n_inner is 1");
  CHECK_ERROR(parse(R"("hidden_size":0)"), "hidden_size is 0");
}

TEST_CASE("sizes that no model has name file and field") {
  for (const std::string field : {"vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "num_key_value_heads",
                                  "head_dim", "intermediate_size", "num_labels"}) {
    for (const std::string value : {"0", "-1", "1000000000", "9999999999999", "18446744073709551615",
                                    "99999999999999999999", "1.5", "12.0", "\"12\"", "true", "[12]", "{}"})
      CHECK_ERROR(parse("\"" + field + "\":" + value), "c.json: " + field);
  }
  for (const std::string field : {"vocab_size", "n_positions", "n_embd", "n_layer", "n_head"})
    CHECK_ERROR(parse("\"" + field + "\":null"), field + " must be an integer, found null");
  CHECK_ERROR(parse(R"("n_embd":100,"n_head":6)"), "n_embd 100", "n_head 6", "head_dim");
  CHECK_ERROR(parse(R"("n_head":12,"num_key_value_heads":5)"), "c.json: n_head 12", "num_key_value_heads 5");
  CHECK_ERROR(parse(R"("n_embd":36,"n_head":12)"), "c.json: head_dim 3 is odd");
  CHECK_ERROR(parse(R"("n_embd":134217728,"n_head":1)"), "c.json: ");
  CHECK_ERROR(parse(R"("n_layer":134217728)"), "c.json: n_layer");
}

TEST_CASE("other fields of wrong types and ranges") {
  for (const char* fields : {R"("attention_bias":1)",
                             R"("attention_bias":null)",
                             R"("tie_word_embeddings":"yes")",
                             R"("rms_norm_eps":"1e-6")",
                             R"("rms_norm_eps":-1)",
                             R"("rope_theta":0)",
                             R"("resid_pdrop":1.0)",
                             R"("attn_pdrop":-0.1)",
                             R"("embd_pdrop":"0")",
                             R"("initializer_range":-1)",
                             R"("attn_logit_softcapping":0)",
                             R"("final_logit_softcapping":-3)",
                             R"("query_pre_attn_scalar":0)",
                             R"("activation_function":"tango")",
                             R"("activation_function":3)",
                             R"("problem_type":"hard")",
                             R"("summary_type":"attn")",
                             R"("summary_activation":"tango")",
                             R"("architectures":"X")",
                             R"("architectures":[])",
                             R"("architectures":["GPT2LMHeadModel"])",
                             R"("eos_token_id":-1)",
                             R"("eos_token_id":"2")",
                             R"("bos_token_id":[2])",
                             R"("pad_token_id":1.5)",
                             R"("eos_token_id":[2,-2])"}) {
    const std::string text = fields;
    CHECK_ERROR(parse(text), "c.json: ", text.substr(1, 8));  // names the field
  }
  CHECK_ERROR(parse_config(parse_json("[]", "c.json"), "c.json"), "c.json: an object is needed");
  CHECK_ERROR(parse_config(parse_json("{}", "c.json"), "c.json"), "model_type is missing");
  CHECK_ERROR(parse_config(parse_json(R"({"model_type":"llama"})", "c.json"), "c.json"), "model_type \"llama\"");
}

TEST_CASE("linear scaling of positions, in each of its spellings") {
  CHECK(parse(R"("rope_scaling":{"rope_type":"linear","factor":2.5})").config.rope_scaling_factor == 2.5);
  CHECK(parse(R"("rope_scaling":{"type":"linear","factor":4})").config.rope_scaling_factor == 4.0);
  CHECK(parse(R"("rope_scaling_factor":3)").config.rope_scaling_factor == 3.0);
  CHECK(parse(R"("rope_scaling":null,"rope_scaling_factor":3)").config.rope_scaling_factor == 3.0);
  CHECK(parse(R"("rope_scaling":{"rope_type":"default"})").config.rope_scaling_factor == 1.0);
  const Config c = parse(R"("rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":500.0})").config;
  CHECK(c.rope_scaling_factor == 2.0);
  CHECK(c.rope_theta == 500.0);
  CHECK_ERROR(parse(R"("rope_scaling":{"rope_type":"yarn","factor":2})"), "rope_scaling", "\"yarn\"");
  CHECK_ERROR(parse(R"("rope_scaling":{"type":"dynamic","factor":2})"), "\"dynamic\"");
  CHECK_ERROR(parse(R"("rope_scaling":{"type":"linear","rope_type":"default","factor":2})"), "rope_type is", "type is");
  CHECK_ERROR(parse(R"("rope_scaling":{"type":"linear"})"), "rope_scaling: factor is missing");
  CHECK_ERROR(parse(R"("rope_scaling":{"type":"linear","factor":0})"), "factor");
  CHECK_ERROR(parse(R"("rope_scaling":{"factor":2})"), "rope_type is missing");
  CHECK_ERROR(parse(R"("rope_scaling":2)"), "rope_scaling");
  CHECK_ERROR(parse(R"("rope_scaling":{"type":"linear","factor":2},"rope_scaling_factor":3)"), "rope_scaling",
              "factor of 2", "rope_scaling_factor", "3");
  CHECK_ERROR(parse(R"("rope_theta":1e4,"rope_parameters":{"rope_theta":500.0})"), "rope_theta", "rope_parameters");
  CHECK_ERROR(parse(R"("rope_parameters":{"factor":2})"), "rope_parameters", "rope_type is missing");
  CHECK(parse(R"("rope_scaling":{},"rope_parameters":{})").config.rope_scaling_factor == 1.0);
  CHECK(parse(R"("rope_theta":5.0,"rope_parameters":{"rope_theta":null,"rope_type":null})").config.rope_theta == 5.0);
  for (const std::string type : {"dynamic", "yarn", "longrope", "llama3", "proportional", "axial", "mrope", "su"})
    for (const char* key : {"rope_parameters", "rope_scaling"})
      CHECK_ERROR(parse(fmt::format(R"("{}":{{"rope_type":"{}","factor":2.0}})", key, type)), key,
                  "rope_type \"" + type + "\" is not supported");
  CHECK(parse(R"("rope_parameters":{"rope_type":"default","partial_rotary_factor":1.0})").config.rope_theta == 1e4);
  CHECK_ERROR(parse(R"("rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5})"),
              "partial_rotary_factor 0.5");
  CHECK_ERROR(parse(R"("rope_parameters":{"full_attention":{"rope_theta":7.0},"sliding_attention":null})"),
              "sliding_attention\" is null", "not supported");
  // One set for each kind of layer, as Transformers 5 writes them.
  const Config kinds = parse(R"("rope_parameters":{"full_attention":{"rope_type":"linear","factor":8,"rope_theta":7.0},
                                "sliding_attention":{"rope_type":"linear","factor":8,"rope_theta":7.0}})")
                           .config;
  CHECK(kinds.rope_scaling_factor == 8.0);
  CHECK(kinds.rope_theta == 7.0);
  CHECK_ERROR(
      parse(R"("rope_parameters":{"full_attention":{"rope_theta":7.0},"sliding_attention":{"rope_theta":8.0}})"),
      "rope_parameters", "kinds of layers");
  CHECK_ERROR(parse(R"("rope_parameters":{"full_attention":{"rope_theta":7.0},"rope_type":"default"})"),
              "rope_parameters", "kinds of layers");
}

TEST_CASE("token ids: absent, null, a number, a list") {
  CHECK(!parse(R"("bos_token_id":null)").config.bos_token_id);
  CHECK(!parse(R"("eos_token_id":null)").config.eos_token_id);
  CHECK(parse(R"("pad_token_id":0)").config.pad_token_id == 0);
  const ConfigFile file = parse(R"("eos_token_id":[2,107])");
  CHECK(file.config.eos_token_id == 2);
  CHECK(file.eos_token_ids == std::vector<int>{2, 107});
  CHECK(config_to_json(file)["eos_token_id"] == Json({2, 107}));
  ConfigFile changed = file;
  changed.config.eos_token_id = 9;
  CHECK(config_to_json(changed)["eos_token_id"] == 9);
}

TEST_CASE("labels") {
  CHECK(parse(R"("num_labels":5)").config.num_labels == 5);
  CHECK(parse(R"("id2label":{"0":"a","1":"b","2":"c"},"label2id":{"a":0,"b":1,"c":2})").config.num_labels == 3);
  CHECK(parse(R"("id2label":null)").config.num_labels == 2);
  CHECK_ERROR(parse(R"("id2label":{"0":"a"},"num_labels":3)"), "num_labels gives 3", "id2label gives 1");
  CHECK_ERROR(parse(R"("id2label":{"0":"a"},"label2id":{"a":0,"b":1})"), "id2label gives 1", "label2id gives 2");
  CHECK_ERROR(parse(R"("id2label":{})"), "id2label");
  CHECK_ERROR(parse(R"("id2label":["a"])"), "id2label must be an object");
  CHECK(parse(R"("problem_type":"multi_label_classification")").config.problem_type == ProblemType::multi_label);
  CHECK(parse(R"("problem_type":null)").config.problem_type == ProblemType::automatic);
  ConfigFile file;
  file.architecture = "ModernGPT2ForTokenClassification";
  file.config.num_labels = 3;
  const Json json = config_to_json(file);
  CHECK(json["id2label"] == parse_json(R"({"0":"LABEL_0","1":"LABEL_1","2":"LABEL_2"})", ""));
  CHECK(parse_config(json, "c").config.num_labels == 3);
}

TEST_CASE("the golden configs are read and rewritten to the same") {
  int read = 0;
  for (const auto& entry : fs::directory_iterator(golden_cases)) {
    if (!entry.is_directory()) continue;
    ++read;
    const ConfigFile file = read_config(entry.path());
    const SafetensorsFile model(entry.path() / "model.safetensors");
    const Config& c = file.config;
    CHECK(model.at("transformer.wte.weight").shape == std::vector<std::int64_t>{c.vocab_size, c.n_embd});
    CHECK(model.at("transformer.h.0.attn.k_proj.weight").shape == std::vector<std::int64_t>{c.kv_width(), c.n_embd});
    CHECK(model.at("transformer.h.0.mlp.down_proj.weight").shape == std::vector<std::int64_t>{c.n_embd, c.n_inner});
    const Json before = read_json_file(entry.path() / "config.json"), after = config_to_json(file);
    for (const auto& field : before.items()) CHECK_MESSAGE(after.at(field.key()) == field.value(), field.key());
  }
  CHECK(read == 15);
}

TEST_CASE("a rewrite keeps unknown fields in their order and replaces aliases") {
  TemporaryFolder t;
  write_file(t / "config.json", R"({"zeta":{"b":1,"a":[2]},"model_type":"moderngpt2","hidden_size":96,"n_head":6,
      "layer_norm_epsilon":1e-5,"rope_scaling_factor":2.0,"alpha":null})");
  ConfigFile file = read_config(t.path());
  file.config.n_layer = 3;
  write_config(t / "config.json", file);
  const Json json = read_json_file(t / "config.json");
  std::string order;
  for (const auto& item : json.items()) order += item.key() + " ";
  CHECK(order.starts_with("zeta model_type n_embd n_head layer_norm_epsilon rope_scaling_factor alpha "));
  CHECK(json["zeta"].dump() == R"({"b":1,"a":[2]})");
  CHECK(json["layer_norm_epsilon"] == 1e-5);
  CHECK(json["n_layer"] == 3);
  CHECK(!json.contains("hidden_size"));
  CHECK(json["rope_scaling"].dump() == R"({"rope_type":"linear","factor":2.0})");
  CHECK(json["rope_scaling_factor"] == 2.0);  // the Python original reads this key only
  file.config.rope_scaling_factor = 1;
  CHECK(!config_to_json(file).contains("rope_scaling_factor"));
  CHECK(config_to_json(file)["rope_scaling"].is_null());
  CHECK(read_config(t / "config.json").config.rope_scaling_factor == 2.0);
}

TEST_CASE("a new config is written with every field") {
  const Json json = config_to_json(ConfigFile{});
  CHECK(json.begin().key() == "architectures");
  CHECK(json["bos_token_id"].is_null());
  CHECK(json["rope_scaling"].is_null());
  CHECK(json["activation_function"] == "gelu_pytorch_tanh");
  CHECK(!json.contains("id2label"));
  CHECK(parse_config(json, "c").config.head_dim == 64);
}

TEST_CASE("each field of a config is read as it was written") {
  Config changed;
  describe(changed, []<class T>(T& member, const Field& field, const InConfig&) {
    if constexpr (std::is_same_v<T, int>)
      member = field.name == std::string_view("num_key_value_heads") ? 3 : member == 0 ? 7 : 2 * member;
    else if constexpr (std::is_same_v<T, double>)
      member /= 2;
    else if constexpr (std::is_same_v<T, bool>)
      member = !member;
    else if constexpr (std::is_same_v<T, std::optional<double>>)
      member = 3.5;
    else if constexpr (std::is_same_v<T, std::optional<int>>)
      member = 7;
    else if constexpr (std::is_same_v<T, std::optional<Activation>>)
      member = Activation::tanh;
    else if constexpr (std::is_same_v<T, LayerTypes>)
      member = LayerTypes(std::array{AttentionType::full, AttentionType::full, AttentionType::sliding});
    else if constexpr (std::is_same_v<T, BlocksConfig>)
      member.mlp.set_type("two_experts"), member.mlp.set("experts", 2), member.mlp.set("load", 0.01);
    else
      member = words_of(member)[1].second;
  });
  ConfigFile file;
  file.config = changed;
  const Config again = parse_config(config_to_json(file), "again").config;
  std::vector<Json> written;
  describe(changed,
           [&](const auto& member, const Field&, const InConfig&) { written.push_back(detail::field_json(member)); });
  std::size_t row = 0;
  const Config standard;
  describe(again, [&](const auto& member, const Field& field, const InConfig&) {
    CHECK_MESSAGE(detail::field_json(member) == written[row++], field.name);
  });
  row = 0;
  describe(standard, [&](const auto& member, const Field& field, const InConfig&) {
    CHECK_MESSAGE(detail::field_json(member) != written[row++], field.name);
  });
}

TEST_CASE("layers of the blocks") {
  CHECK(parse("").config.blocks.is_standard());
  CHECK(parse(R"("blocks":null)").config.blocks.is_standard());
  CHECK(parse(R"("blocks":{})").config.blocks.is_standard());
  const ConfigFile file = parse(R"("blocks":{"attention":{"window":64,"type":"sliding_window","eps":1e-5},
      "norm":{"type":"plain"}})");
  const BlocksConfig& blocks = file.config.blocks;
  CHECK(blocks.attention.type() == "sliding_window");
  CHECK(blocks.attention.size() == 2);
  CHECK(blocks.attention.field(1).value == 1e-5);
  CHECK(blocks.mlp.type() == "");
  CHECK(blocks.norm.type() == "plain");
  CHECK(config_to_json(file)["blocks"].dump() ==
        R"({"attention":{"type":"sliding_window","window":64,"eps":1e-05},"norm":{"type":"plain"}})");
  CHECK(!config_to_json(ConfigFile{}).contains("blocks"));
  ConfigFile standard = file;  // a model whose layers are the library's again
  standard.config.blocks = {};
  CHECK(!config_to_json(standard).contains("blocks"));
  CHECK_ERROR(require_library_layers(file.config, "m"), "m: blocks.attention is ", "sliding_window",
              "the program that");
  require_library_layers(standard.config, "m");
}

TEST_CASE("layers of the blocks that no program wrote") {
  CHECK_ERROR(parse(R"("blocks":[])"), "c.json: blocks must be an object");
  CHECK_ERROR(parse(R"("blocks":"gpt")"), "c.json: blocks must be an object");
  CHECK_ERROR(parse(R"("blocks":{"embedding":{"type":"x"}})"), "known are attention, mlp and norm");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{}})"), "c.json: blocks.mlp", "type");
  CHECK_ERROR(parse(R"("blocks":{"mlp":7})"), "blocks.mlp");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":7}})"), "blocks.mlp", "type");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":""}})"), "is not the name of a layer");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":"a\nb"}})"), "is not the name of a layer");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":")" + std::string(65, 'x') + R"("}})"), "is not the name of a layer");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":"x","":1}})"), "is not the name of a field");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":"x",")" + std::string(9999, 'y') + R"(":1}})"),
              "not the name of a field");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":"x","a":"1"}})"), "blocks.mlp", "a must be");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":"x","a":null}})"), "blocks.mlp", "a must be");
  CHECK_ERROR(parse(R"("blocks":{"mlp":{"type":"x","a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}})"),
              "blocks.mlp: more than 8 fields");
}

TEST_CASE("a head of the user's own is read by those who know it") {
  ConfigFile file;
  file.architecture = "MyHead";
  const Json json = config_to_json(file);
  CHECK(parse_config(json, "c", "MyHead").architecture == "MyHead");
  CHECK_ERROR(parse_config(json, "c"), "c: architecture ", "MyHead", "is unknown");
  CHECK_ERROR(parse_config(json, "c", "OtherHead"), "MyHead", "is unknown");
}

TEST_CASE("a registered activation is read and written by its name") {
  CHECK_ERROR(parse(R"("hidden_act":"io_snake")"), "c.json: hidden_act \"io_snake\" is unknown",
              "gelu_pytorch_tanh, gelu, ", "register_activation()");
  const Activation a = register_activation<IoSnake>();
  const ConfigFile file = parse(R"("hidden_act":"io_snake","activation_function":"io_snake",
                                   "summary_activation":"io_snake")");
  CHECK(file.config.activation == a);
  CHECK(file.config.summary_activation == a);
  const Json json = config_to_json(file);
  CHECK(json["activation_function"] == "io_snake");
  CHECK(json["summary_activation"] == "io_snake");
  CHECK(parse_config(json, "c").config.activation == a);
  CHECK_ERROR(parse(R"("hidden_act":"io_snake","activation_function":"silu")"), "activation_function", "hidden_act");
  CHECK(parse_gemma(R"("sliding_window":8192,"hidden_act":"io_snake","hidden_activation":"io_snake")")
            .config.activation == a);
}

TEST_CASE("a gemma2 config is read through its own defaults") {
  const ConfigFile file = parse_gemma(R"("max_position_embeddings":4096,"architectures":["Gemma2ForCausalLM"])");
  const Config& c = file.config;
  CHECK(file.model_type == "gemma2");
  CHECK(file.architecture == "ModernGPT2LMHeadModel");
  CHECK(c.vocab_size == 256000);
  CHECK(c.n_embd == 2304);
  CHECK(c.n_layer == 26);
  CHECK(c.n_head == 8);
  CHECK(c.n_kv_head == 4);
  CHECK(c.head_dim == 256);
  CHECK(c.n_inner == 9216);
  CHECK(c.attn_logit_softcapping == 50.0);
  CHECK(c.final_logit_softcapping == 30.0);
  CHECK(c.query_scale() == doctest::Approx(1.0 / 16));
  CHECK(!c.query_pre_attn_scalar);
  CHECK(c.eos_token_id == 1);
  CHECK(c.bos_token_id == 2);
  CHECK(c.pad_token_id == 0);
  CHECK(c.attn_pdrop == 0.0);
  CHECK(c.resid_pdrop == 0.0);
  CHECK(config_to_json(file)["model_type"] == "moderngpt2");
  CHECK(c.window(0) == 0);  // as wide as the context
  CHECK(parse_config(config_to_json(file), "c").config.attn_logit_softcapping == 50.0);

  const Config d =
      parse_gemma(R"("hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
      "head_dim":16,"query_pre_attn_scalar":144,"attn_logit_softcapping":null,"final_logit_softcapping":null,
      "max_position_embeddings":64,"layer_types":["full_attention","full_attention"],"sliding_window":8,
      "hidden_act":"silu","hidden_activation":"silu","attention_dropout":0.25)")
          .config;
  CHECK(d.query_scale() == doctest::Approx(1.0 / 12));
  CHECK(!d.attn_logit_softcapping);
  CHECK(d.activation == Activation::silu);
  CHECK(d.attn_pdrop == 0.25);
  CHECK(d.n_positions == 64);
}

TEST_CASE("a gemma2 config that computes something else is refused") {
  CHECK_ERROR(parse_gemma(R"("num_hidden_layers":2,"layer_types":["full_attention"])"), "layer_types");
  CHECK_ERROR(parse_gemma(R"("num_hidden_layers":1,"layer_types":["chunked"])"), "layer_types");
  CHECK_ERROR(parse_gemma(R"("sliding_window":8192,"hidden_act":"silu")"), "hidden_act without hidden_activation");
  CHECK_ERROR(parse_gemma(R"("sliding_window":8192,"hidden_act":"silu","hidden_activation":null)"), "hidden_act");
  CHECK_ERROR(parse_gemma(R"("sliding_window":8192,"query_pre_attn_scalar":-1)"), "query_pre_attn_scalar");
  CHECK_ERROR(parse_gemma(R"("sliding_window":8192,"use_bidirectional_attention":true)"), "use_bidirectional");
  CHECK_ERROR(parse_gemma(R"("sliding_window":8192,"architectures":["Gemma2ForQuestions"])"), "Gemma2ForQuestions");
  CHECK(parse_gemma(R"("sliding_window":null)").config.n_positions == 8192);
}

TEST_CASE("a gemma2 config without hidden_activation computes gelu_pytorch_tanh, as in Transformers") {
  for (const std::string fields : {R"("hidden_act":"gelu","hidden_activation":null)", R"("hidden_act":"gelu")"}) {
    const ConfigFile file = parse_gemma(R"("sliding_window":8192,)" + fields);
    CHECK(file.config.activation == Activation::gelu_tanh);
    REQUIRE(file.notes.size() == 1);
    CHECK(test::contains(file.notes[0], "g.json: hidden_act \"gelu\" is ignored"));
    CHECK(config_to_json(file)["activation_function"] == "gelu_pytorch_tanh");
  }
  for (const std::string fields :
       {R"("hidden_activation":null)", R"("hidden_act":null,"hidden_activation":null)",
        R"("hidden_act":"gelu_new","hidden_activation":null)", R"("hidden_act":"gelu_pytorch_tanh")"}) {
    const ConfigFile file = parse_gemma(R"("sliding_window":8192,)" + fields);
    CHECK(file.config.activation == Activation::gelu_tanh);
    CHECK(file.notes.empty());
  }
  CHECK(parse_gemma(R"("sliding_window":8192,"attention_dropout":null)").config.attn_pdrop == 0.0);
}

TEST_CASE("fields of other programs are refused by name or named in a note") {
  CHECK_ERROR(parse(R"("quantization_config":{"quant_method":"gptq","bits":4})"), "c.json: quantization_config",
              "quantized by \"gptq\"");
  CHECK_ERROR(parse(R"("compression_config":{"format":"int-quantized"})"), "compression_config", "quantized, which");
  CHECK(parse(R"("quantization_config":null)").notes.empty());
  const auto nested = [](const char* json) { return parse_config(parse_json(json, "p.json"), "p.json"); };
  CHECK_ERROR(nested(R"({"model_type":"paligemma","text_config":{"model_type":"gemma2"}})"), "p.json: text_config",
              "(\"gemma2\")", "Save it alone");
  CHECK(parse(R"("text_config":null)").notes.empty());

  const ConfigFile code = parse(R"("auto_map":{"AutoConfig":"configuration_x.XConfig"},"_name_or_path":"/a/b")");
  REQUIRE(code.notes.size() == 1);
  CHECK(test::contains(code.notes[0], "c.json: auto_map is ignored"));
  CHECK(config_to_json(code)["auto_map"]["AutoConfig"] == "configuration_x.XConfig");
  CHECK(config_to_json(code)["_name_or_path"] == "/a/b");

  for (const ConfigFile& file : {parse(R"("architectures":["ModernGPT2Model"])"),
                                 parse_gemma(R"("sliding_window":8192,"architectures":["Gemma2Model"])")}) {
    CHECK(file.architecture == "ModernGPT2LMHeadModel");
    REQUIRE(file.notes.size() == 1);
    CHECK(test::contains(file.notes[0], "Model has no head: it is read as a language model"));
    CHECK(config_to_json(file)["architectures"][0] == "ModernGPT2LMHeadModel");
  }
}

TEST_CASE("a checkpoint with another head is not the same model") {
  ConfigFile language, choice;
  choice.architecture = "ModernGPT2DoubleHeadsModel";
  require_same_model(language, language, "m");
  CHECK_ERROR(require_same_model(choice, language, "m"), "m: the checkpoint is a ModernGPT2DoubleHeadsModel",
              "trains a ModernGPT2LMHeadModel", "model_path");
}

TEST_CASE("names of gemma2 tensors") {
  CHECK(gemma2_name("transformer.wte.weight") == "model.embed_tokens.weight");
  CHECK(gemma2_name("transformer.h.11.attn.q_proj.bias") == "model.layers.11.self_attn.q_proj.bias");
  CHECK(gemma2_name("transformer.h.0.mlp.down_proj.weight") == "model.layers.0.mlp.down_proj.weight");
  CHECK(gemma2_name("transformer.h.3.post_feedforward_layernorm.weight") ==
        "model.layers.3.post_feedforward_layernorm.weight");
  CHECK(gemma2_name("transformer.ln_f.weight") == "model.norm.weight");
  CHECK(gemma2_name("lm_head.weight") == "lm_head.weight");
  CHECK(gemma2_name("classifier.bias") == "score.bias");
}

TEST_CASE("a config with many unknown keys or labels is read and written in linear time") {
  std::string fields = R"("n_embd":96)";
  for (int i = 0; i < 100'000; ++i) fields += fmt::format(R"(,"x{}":1)", i);
  const auto start = std::chrono::steady_clock::now();
  const ConfigFile file = parse(fields);
  const Json written = config_to_json(file);
  CHECK(written.size() > 100'000);
  CHECK(written["x99999"] == 1);
  CHECK(written["n_embd"] == 96);
  ConfigFile classifier = parse("");
  classifier.config.num_labels = 100'000;
  CHECK(config_to_json(classifier)["id2label"].size() == 100'000);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}
