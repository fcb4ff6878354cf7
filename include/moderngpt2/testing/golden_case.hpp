#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/safetensors.hpp"

// Golden cases: folders with config.json, model.safetensors, case.json (the computation) and expected.safetensors (the
// results of the PyTorch reference). docs/testing.md describes the format and the tolerances.
namespace moderngpt2::golden {

/// Golden case, read from its folder.
struct Case {
  std::filesystem::path folder;
  ConfigFile config;
  Json description;
  SafetensorsFile expected;

  explicit Case(const std::filesystem::path& path)
      : folder(path),
        config(read_config(path)),
        description(read_json_file(path / "case.json")),
        expected(path / "expected.safetensors") {
    require_library_layers(config.config, path.string());
  }

  bool has(const std::string& name) const { return expected.find(name) != nullptr; }
  std::vector<double> values(const std::string& name) const { return expected.read_vector<double>(name); }
  std::vector<int> integers(const std::string& name) const { return expected.read_vector<int>(name); }
  const std::vector<std::int64_t>& shape(const std::string& name) const { return expected.at(name).shape; }
  bool uses_mask() const {
    const Json* mask = find_field(description, "attention_mask", "case.json");
    return mask && *mask == true && has("attention_mask");
  }
  int logits_stride() const { return get_field_or<int>(description, "logits_stride", 1, "case.json"); }
};

/// Results of a model, by the names of expected.safetensors.
struct Results {
  std::map<std::string, std::vector<double>> values;
  std::vector<int> greedy;
};

/// Worst error of one tensor, or of all tensors of one kind.
struct Comparison {
  std::string what;
  double worst = 0;
  double limit = 0;
  std::string where;  ///< tensor with the worst error
  bool passed() const { return worst <= limit; }
};

/// Tolerances of results, relative to the largest magnitude unless stated otherwise.
struct Limits {
  double activation;  ///< hidden states and logits
  double loss;
  double gradient;       ///< L2 norm of the error, relative to that of the gradient
  double tiny_gradient;  ///< absolute tolerance for gradients with a smaller norm
  double training_loss;  ///< absolute
  double norm;           ///< gradient norm of a training step
  double weight_share;   ///< share of weights that differ by more than 2e-4 after training
  double greedy_margin;  ///< tokens whose logit leads by less may differ
};
inline constexpr Limits fp32_limits{1e-4, 1e-5, 1e-4, 1e-6, 1e-4, 1e-3, 1e-3, 1e-3};
/// Tolerances for bf16. The first steps of AdamW move weights by about the sign of their gradients, which bf16 does not
/// resolve for small gradients: weights after training are not compared.
inline constexpr Limits bf16_limits{3e-2, 1e-2, 1e-1, 1e-6, 1e-2, 1e-1, 1, 5e-2};
/// Tolerances for fp16 and tf32, which have three more mantissa bits than bf16.
inline constexpr Limits fp16_limits{6e-3, 3e-3, 2e-2, 1e-6, 3e-3, 2e-2, 1, 1e-2};

constexpr const Limits& limits_of(PrecisionName precision) {
  if (precision == PrecisionName::fp32) return fp32_limits;
  return precision == PrecisionName::bf16 ? bf16_limits : fp16_limits;
}

namespace detail {

inline constexpr double weight_limit = 2e-4;

/// Returns an error value, infinity for NaN.
inline double error_of(double value) { return std::isnan(value) ? std::numeric_limits<double>::infinity() : value; }

/// Largest difference over rows with counts[row], relative to the largest magnitude in the tensor.
inline double largest_error(const std::vector<double>& actual, const std::vector<double>& expected,
                            const std::vector<bool>& counts) {
  double worst = 0, magnitude = 0;
  const std::size_t width = counts.empty() ? expected.size() : expected.size() / counts.size();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    magnitude = std::max(magnitude, std::abs(expected[i]));
    if (!counts.empty() && !counts[i / width]) continue;
    worst = std::max(worst, error_of(std::abs(actual[i] - expected[i])));
  }
  return worst == 0 ? 0 : worst / magnitude;
}

/// L2 error relative to the expected norm. The absolute error of a tiny gradient is scaled to the same limit.
inline double gradient_error(const std::vector<double>& actual, const std::vector<double>& expected,
                             const Limits& limits) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  if (std::sqrt(norm) < limits.tiny_gradient)
    return error_of(std::sqrt(difference) / limits.tiny_gradient * limits.gradient);
  return error_of(std::sqrt(difference / norm));
}

/// Share of elements that differ from the expected by more than `weight_limit`.
inline double share_of_outliers(const std::vector<double>& actual, const std::vector<double>& expected) {
  std::size_t outliers = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) outliers += !(std::abs(actual[i] - expected[i]) <= weight_limit);
  return double(outliers) / double(expected.size());
}

/// Every `stride`-th position of (B,T,width), as in expected.safetensors.
inline std::vector<double> strided(const std::vector<double>& values, int rows, int time, int stride) {
  if (stride == 1) return values;
  const std::size_t width = values.size() / (std::size_t(rows) * std::size_t(time));
  std::vector<double> out;
  for (int b = 0; b < rows; ++b)
    for (int t = 0; t < time; t += stride) {
      const auto from = values.begin() + std::ptrdiff_t((std::size_t(b) * std::size_t(time) + std::size_t(t)) * width);
      out.insert(out.end(), from, from + std::ptrdiff_t(width));
    }
  return out;
}

/// 1 if a token differs before the first one with a margin below greedy_margin, else 0.
inline double greedy_error(const Case& c, const std::vector<int>& actual, double greedy_margin) {
  const std::vector<int> expected = c.integers("greedy");
  const std::vector<double> margin = c.values("greedy.margin");
  const std::size_t prompt = expected.size() - margin.size();
  for (std::size_t i = 0; i < margin.size(); ++i) {
    if (margin[i] < greedy_margin) return 0;
    if (prompt + i >= actual.size() || actual[prompt + i] != expected[prompt + i]) return 1;
  }
  return 0;
}

}  // namespace detail

/// Compares results with a case: one Comparison for each kind of tensor. A tensor without result fails.
inline std::vector<Comparison> compare(const Case& c, const Results& results, const Limits& limits = fp32_limits) {
  using namespace detail;
  const std::vector<int> ids = c.integers("input_ids");
  const int time = int(c.shape("input_ids").back()), rows = int(ids.size()) / time;
  std::vector<bool> counts;
  if (c.uses_mask())
    for (int m : c.integers("attention_mask")) counts.push_back(m != 0);

  std::vector<Comparison> all;
  auto add = [&](const std::string& what, double limit, double error, const std::string& tensor) {
    auto found = std::find_if(all.begin(), all.end(), [&](const Comparison& one) { return one.what == what; });
    if (found == all.end()) found = all.insert(all.end(), Comparison{what, -1, limit, tensor});
    if (error > found->worst) found->worst = error, found->where = tensor;
  };
  for (const TensorInfo& info : c.expected.tensors()) {
    const std::string& name = info.name;
    const bool is_input = name == "input_ids" || name == "labels" || name == "attention_mask" ||
                          name == "train.batches" || name == "greedy.margin" || name == "start_positions" ||
                          name == "end_positions" || name == "mc_token_ids" || name == "mc_labels";
    if (is_input) continue;
    if (name == "greedy") {
      add("greedy tokens", 0, greedy_error(c, results.greedy, limits.greedy_margin), name);
      continue;
    }
    const std::vector<double> expected = c.values(name);
    const auto found = results.values.find(name);
    const double missing = std::numeric_limits<double>::infinity();
    std::vector<double> actual = found == results.values.end() ? std::vector<double>{} : found->second;
    if (name == "logits" && !actual.empty()) actual = strided(actual, rows, time, c.logits_stride());
    const bool fits = actual.size() == expected.size();
    const auto error = [&](auto&& measure) { return fits ? measure(actual, expected) : missing; };
    if (name.starts_with("grad.")) {
      add("gradients", limits.gradient,
          error([&](const auto& a, const auto& e) { return gradient_error(a, e, limits); }), name);
    } else if (name.starts_with("train.final.")) {
      add("weights after training (share off by more than 2e-4)", limits.weight_share, error(share_of_outliers), name);
    } else if (name == "train.losses") {
      add("training losses", limits.training_loss, error([](const auto& a, const auto& e) {
            double worst = 0;
            for (std::size_t i = 0; i < e.size(); ++i) worst = std::max(worst, error_of(std::abs(a[i] - e[i])));
            return worst;
          }),
          name);
    } else if (name == "train.grad_norms") {
      add("gradient norms", limits.norm, error([](const auto& a, const auto& e) { return largest_error(a, e, {}); }),
          name);
    } else if (name == "loss" || name == "mc_loss") {
      add(name, limits.loss, error([](const auto& a, const auto& e) { return largest_error(a, e, {}); }), name);
    } else {
      // Hidden states and logits; a mask counts only where the tensor has a row for every position.
      const bool by_position = !counts.empty() && c.logits_stride() == 1 && info.shape.size() >= 2 &&
                               info.count() % std::int64_t(counts.size()) == 0 && info.shape[1] == time;
      const std::string what = name.starts_with("hidden.") ? "hidden states" : name;
      add(what, limits.activation, error([&](const auto& a, const auto& e) {
            return largest_error(a, e, by_position ? counts : std::vector<bool>{});
          }),
          name);
    }
  }
  return all;
}

}  // namespace moderngpt2::golden
