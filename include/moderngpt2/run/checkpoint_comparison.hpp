#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gguf/tensor_types.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/shared_weights.hpp"
#include "moderngpt2/model/heads.hpp"

namespace moderngpt2 {

/// Text of which checkpoints are compared: some languages, numbers and code.
inline constexpr std::string_view comparison_text =
    "The quick brown fox jumps over the lazy dog. In 1969 two people walked on the moon; it took them 4 days to get "
    "there. 吾輩は猫である。名前はまだ無い。 Die Würde des Menschen ist unantastbar. for (int i = 0; i < 10; ++i) sum "
    "+= i * i;";

/// Difference between the outputs of two checkpoints for the same tokens.
struct OutputComparison {
  std::size_t tokens = 0;
  double maximum = 0;   ///< largest absolute difference of two logits
  double relative = 0;  ///< root mean square of the differences divided by that of the logits
  double limit = 0;     ///< maximum of `relative` that passes
  bool passes() const { return relative <= limit; }
};

/// Maximum of OutputComparison::relative for weights that are rounded to a type. Rounding errors of weights (2^-9
/// relative in bf16, about 10% of a block's standard deviation in q4_0) grow with the number of layers; outputs of
/// different models have 1.4.
constexpr double rounding_limit(GgufDtype dtype) {
  switch (dtype) {
    case GgufDtype::f32:
      return 1e-5;
    case GgufDtype::f16:
      return 0.01;
    case GgufDtype::q4_0:
      return 0.5;
    default:
      return 0.05;
  }
}

/// Outputs (T,n) in fp32 of a checkpoint for a sequence of ids: logits of a language model, otherwise the products of
/// the hidden states and each matrix of the head. Throws an Error for a checkpoint that cannot be loaded.
inline std::vector<float> checkpoint_outputs(const std::filesystem::path& path, const std::vector<int>& ids,
                                             int threads) {
  using M = CausalLM<any_shape>;
  const ConfigFile file = read_config(path);
  const CheckpointTensors tensors(path);
  Config config = file.config;
  const bool is_language_model = file.architecture == architectures[0];
  if (!is_language_model) config.tied_head = true;  // the model then consists of the transformer alone
  M model(config, cpu::Backend(threads));
  for (const ParameterInfo& p : model.parameters())
    detail::read_tensor(model.backend(), ParameterPlaces(model.weights()), p, tensors, *find_shared(tensors, file, p));
  const int time = int(ids.size());
  auto work = model.workspace(1, time, Mode::infer);
  const Rows<float> hidden = model.forward(work, ids, {.batch = 1, .time = time});
  std::vector<float> outputs;
  if (is_language_model) {
    outputs.resize(ids.size() * std::size_t(config.vocab_size));
    model.logits(Rows<float>(outputs.data(), time, config.vocab_size), Rows<const float>(hidden));
    return outputs;
  }
  for (const TensorInfo& info : tensors.tensors()) {
    const bool is_head = !info.name.starts_with("transformer.") && !info.name.starts_with("model.");
    if (!is_head || info.shape.size() != 2 || info.shape[1] != config.n_embd) continue;
    std::vector<float> row(std::size_t(config.n_embd));
    for (std::int64_t n = 0; n < info.shape[0]; ++n) {
      tensors.read_as(info, row.data(), n * config.n_embd, config.n_embd);
      for (int t = 0; t < time; ++t) {
        double sum = 0;
        for (int c = 0; c < config.n_embd; ++c) sum += double(row[std::size_t(c)]) * double(hidden.row(t)[c]);
        outputs.push_back(float(sum));
      }
    }
  }
  return outputs;
}

/// Compares outputs of two checkpoints (see checkpoint_outputs()).
inline OutputComparison compare_outputs(const std::vector<float>& expected, const std::vector<float>& found,
                                        std::size_t tokens, GgufDtype dtype) {
  OutputComparison result{.tokens = tokens, .limit = rounding_limit(dtype)};
  if (expected.size() != found.size())
    throw Error("the checkpoints have {} and {} outputs for the same tokens", expected.size(), found.size());
  double squares = 0, differences = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(double(expected[i]) - double(found[i]));
    if (std::isnan(difference)) return result.relative = HUGE_VAL, result.maximum = HUGE_VAL, result;
    result.maximum = std::max(result.maximum, difference);
    squares += double(expected[i]) * double(expected[i]);
    differences += difference * difference;
  }
  if (differences > 0) result.relative = std::sqrt(differences / std::max(squares, 1e-30));
  return result;
}

}  // namespace moderngpt2
