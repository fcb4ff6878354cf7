#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/run/check_request.hpp"
#include "moderngpt2/run/prepare.hpp"
#include "moderngpt2/run/quantized_evaluation.hpp"
#include "support/temporary_folder.hpp"
#include "support/tokenizer_json.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;

namespace quantized_evaluation_test {

/// Tiny model with rows of 32 and 64 values, a tokenizer of 64 ids and blocks of theirs.
struct Evaluated {
  test::TemporaryFolder temporary;
  TrainingRequest request;
  std::vector<std::string> said;
  TrainingHooks hooks{.say = [this](const std::string& line) { said.push_back(line); }};

  Evaluated() {
    Config config;
    config.vocab_size = 64, config.n_embd = 32, config.n_inner = 64, config.n_layer = 1;
    config.n_head = config.n_kv_head = 2, config.head_dim = 16, config.initializer_range = 0.3;
    CausalLM<any_shape> model(config);
    model.initialize(3);
    save_model(temporary / "model", model);
    Json json = test::empty_tokenizer_json();
    json["added_tokens"].push_back(test::special_token(0, "<pad>"));
    json["model"]["vocab"]["<pad>"] = 0;
    for (int i = 1; i < 64; ++i) json["model"]["vocab"]["t" + std::to_string(i)] = i;
    write_json_file(temporary / "model" / "tokenizer.json", json);
    test::make_data(temporary / "data");
    request.settings = test::tiny_settings(temporary / "out");
    request.model_path = temporary / "model";
    request.pre_tokenized_dataset_path = temporary / "data";
    request.eval_only = true;
    request.threads = 1;
  }
  double number_after(std::size_t line, const std::string& what) const {
    const std::string& text = said.at(line);
    const std::size_t at = text.find(what + " ");
    REQUIRE_MESSAGE(at != text.npos, text);
    return std::stod(text.substr(at + what.size() + 1));
  }
};

}  // namespace quantized_evaluation_test

using namespace quantized_evaluation_test;

TEST_CASE("a quantized model is evaluated beside bf16") {
  for (const WeightFormat format : {WeightFormat::q8_0, WeightFormat::q4_0}) {
    Evaluated e;
    e.request.weights = format;
    const PreparedRun<> run = prepare_run(e.request, e.hooks);
    REQUIRE(run.tokenizer);
    e.said.clear();
    CHECK(detail::evaluate_quantized(e.request, run, e.hooks) == 0);
    REQUIRE(e.said.size() == 4);  // settings, two results, difference
    const double quantized = e.number_after(1, "loss"), bf16 = e.number_after(2, "loss");
    CHECK(e.said[1].find("evaluation in " + std::string(weight_format_name(format))) == 0);
    CHECK(std::fabs(quantized - bf16) < (format == WeightFormat::q8_0 ? 0.02 : 0.3));
    CHECK(quantized != bf16);
    // bits per byte = nats per label * labels / ln 2 / bytes
    const std::int64_t bytes = detail::bytes_of_labels(run.data->eval, run.companions.config.config, [](int id) {
      return id == 0 ? 0 : int(std::to_string(id).size()) + 1;
    });
    CHECK(e.number_after(1, "bits per byte") ==
          doctest::Approx(quantized * e.number_after(1, "over") / std::log(2.0) / double(bytes)).epsilon(1e-5));
    CHECK(e.said[3].find("- bf16: bits per byte ") != std::string::npos);

    e.request.dry_run = true;
    e.said.clear();
    CHECK(detail::evaluate_quantized(e.request, run, e.hooks) == 0);
    CHECK(e.said.at(1).find("weights") != std::string::npos);
  }
}

TEST_CASE("requests that quantized weights do not allow") {
  const auto refused = [](auto change, const std::string& part) {
    Evaluated e;
    e.request.weights = WeightFormat::q4_0;
    bool classifier = false;
    change(e.request, classifier);
    CHECK_ERROR(detail::check_request(e.request, classifier, true, [](const std::string&) {}), part);
  };
  refused([](auto& r, bool&) { r.eval_only = false; }, "--weights q4_0: quantized weights cannot be trained");
  refused([](auto&, bool& classifier) { classifier = true; }, "language models");
  refused([](auto& r, bool&) { r.gpu = 0; }, "--device cpu");
  refused([](auto& r, bool&) { r.precision = PrecisionName::fp16; }, "--precision fp16");
  refused([](auto& r, bool&) { r.settings.zero_stage = 3, r.settings.world_size = 2; }, "zero_stage");
}
