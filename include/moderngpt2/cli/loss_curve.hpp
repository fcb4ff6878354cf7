#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Loss at a training step.
struct LossPoint {
  double step = 0;
  double loss = 0;  ///< nats per token
};

/// Training and evaluation losses of a run, by ascending step.
struct LossCurve {
  std::vector<LossPoint> training, evaluation;
};

namespace detail {

/// Appends the loss under `key`, if any. A resumed run logs some steps again; the later line replaces the earlier.
inline void add_loss(std::vector<LossPoint>& points, const Json& line, std::string_view key, const std::string& where) {
  const std::optional<double> loss = get_optional_field<double>(line, key, where);
  if (!loss || !std::isfinite(*loss)) return;
  const double step = static_cast<double>(get_field<std::int64_t>(line, "step", where));
  while (!points.empty() && points.back().step >= step) points.pop_back();
  points.push_back({step, *loss});
}

}  // namespace detail

/// Reads the metrics.jsonl that `train` writes: one object per line, with "step" and "loss" or "eval_loss"; other
/// fields are ignored. A last line without a newline is incomplete and left out. Throws Error that names the line for
/// other content, and for a file without any loss.
inline LossCurve read_loss_curve(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  LossCurve curve;
  std::size_t number = 0;
  for (const std::string_view line : complete_lines(text)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    const Json object = parse_json(line, where);
    detail::add_loss(curve.training, object, "loss", where);
    detail::add_loss(curve.evaluation, object, "eval_loss", where);
  }
  if (curve.training.empty() && curve.evaluation.empty())
    throw Error("{}: no line has \"loss\" or \"eval_loss\". Expected the metrics.jsonl of a training run",
                path.string());
  return curve;
}

namespace detail {

/// Moving average over 1/40 of the curve to each side, less near the steep beginning to keep its shape. The last point
/// is the mean of the last 1/40.
inline std::vector<LossPoint> smoothed(const std::vector<LossPoint>& points) {
  std::vector<double> sums(points.size() + 1, 0.0);
  for (std::size_t i = 0; i < points.size(); ++i) sums[i + 1] = sums[i] + points[i].loss;
  std::vector<LossPoint> out(points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t before = std::min(points.size() / 40, i);
    const std::size_t end = i + std::min(before, points.size() - 1 - i) + 1;
    out[i].loss = (sums[end] - sums[i - before]) / static_cast<double>(end - (i - before));
  }
  return out;
}

/// Reduces points to at most `most`, each the mean of consecutive points.
inline std::vector<LossPoint> thinned(const std::vector<LossPoint>& points, std::size_t most) {
  const std::size_t group = (points.size() + most - 1) / most;
  if (group <= 1) return points;
  std::vector<LossPoint> out;
  for (std::size_t i = 0; i < points.size(); i += group) {
    const std::size_t end = std::min(points.size(), i + group);
    LossPoint mean;
    for (std::size_t j = i; j < end; ++j) mean.step += points[j].step, mean.loss += points[j].loss;
    out.push_back({mean.step / static_cast<double>(end - i), mean.loss / static_cast<double>(end - i)});
  }
  return out;
}

/// Axis with round ticks: multiples of 1, 2 or 5 times a power of ten.
struct Axis {
  double low = 0, high = 1, tick = 1;

  Axis(double least, double most, int ticks, bool whole) {
    if (!(most > least)) most = least + (whole ? 1 : std::max(1e-6, std::abs(least) * 0.1));
    const double rough = (most - least) / ticks;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double part = rough / power;
    tick = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
    if (whole) tick = std::max(1.0, tick);
    low = std::floor(least / tick + 1e-9) * tick;
    high = whole ? most : std::ceil(most / tick - 1e-9) * tick;
  }

  /// Position of a value: 0 at the low end, 1 at the high end.
  double place(double value) const { return (value - low) / (high - low); }

  std::vector<double> ticks() const {
    std::vector<double> out;
    for (int i = 0; low + i * tick <= high + tick * 1e-6; ++i) out.push_back(low + i * tick);
    return out;
  }

  /// Tick label with the necessary decimals; thousands of steps as "12k".
  std::string label(double value) const {
    if (tick >= 1000 && std::fmod(tick, 1000) < 0.5) return value < 0.5 ? "0" : fmt::format("{:.0f}k", value / 1000);
    const int decimals = static_cast<int>(std::max(0.0, std::ceil(-std::log10(tick) - 1e-9)));
    return fmt::format("{:.{}f}", value, decimals);
  }
};

inline Axis step_axis(const LossCurve& curve, int ticks) {
  double last = 1;
  for (const auto* points : {&curve.training, &curve.evaluation}) {
    if (!points->empty()) last = std::max(last, points->back().step);
  }
  return Axis(0, last, ticks, true);
}

inline Axis loss_axis(const LossCurve& curve, int ticks) {
  std::optional<double> least, most;
  for (const auto* points : {&curve.training, &curve.evaluation}) {
    for (const LossPoint& point : *points) {
      least = std::min(least.value_or(point.loss), point.loss);
      most = std::max(most.value_or(point.loss), point.loss);
    }
  }
  return Axis(least.value_or(0), most.value_or(1), ticks, false);
}

}  // namespace detail

}  // namespace moderngpt2
