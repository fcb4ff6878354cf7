#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/loss_curve.hpp"

namespace moderngpt2 {

namespace detail {

inline std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

/// Summary such as "after 900 steps: training loss 1.52, evaluation loss 1.61".
inline std::string loss_summary(const LossCurve& curve, const std::vector<LossPoint>& smooth) {
  std::string text;
  double last = 0;
  if (!smooth.empty()) {
    text = fmt::format("training loss {:.3f}", smooth.back().loss);
    last = smooth.back().step;
  }
  if (!curve.evaluation.empty()) {
    text += fmt::format("{}evaluation loss {:.3f}", text.empty() ? "" : ", ", curve.evaluation.back().loss);
    last = std::max(last, curve.evaluation.back().step);
  }
  return fmt::format("after {:.0f} step{}: {}", last, last == 1 ? "" : "s", text);
}

/// Canvas of 2 x 4 dots per character (Unicode braille, from U+2800).
class BrailleCanvas {
 public:
  BrailleCanvas(int columns, int rows)
      : columns_(columns), rows_(rows), cells_(static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows)) {}

  int width() const { return 2 * columns_; }
  int height() const { return 4 * rows_; }

  void dot(int x, int y) {
    static constexpr unsigned char bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (x >= 0 && y >= 0 && x < width() && y < height()) cell(x / 2, y / 4) |= bits[y % 4][x % 2];
  }
  void line(int x0, int y0, int x1, int y1) {
    const int count = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int i = 0; i <= count; ++i)
      dot(x0 + static_cast<int>(std::lround(static_cast<double>(x1 - x0) * i / count)),
          y0 + static_cast<int>(std::lround(static_cast<double>(y1 - y0) * i / count)));
  }
  /// Draws an "o" over the character that contains this dot.
  void mark(int x, int y) {
    if (x >= 0 && y >= 0 && x < width() && y < height()) cell(x / 2, y / 4) = marked;
  }

  std::string row(int y) const {
    std::string out;
    for (int x = 0; x < columns_; ++x) {
      const unsigned bits = cells_[static_cast<std::size_t>(y * columns_ + x)];
      if (bits == marked)
        out += 'o';
      else if (bits == 0)
        out += ' ';
      else
        out += {'\xe2', static_cast<char>(0xa0 | (bits >> 6)), static_cast<char>(0x80 | (bits & 0x3f))};
    }
    return out;
  }

 private:
  static constexpr unsigned marked = 0x100;
  unsigned& cell(int x, int y) { return cells_[static_cast<std::size_t>(y * columns_ + x)]; }

  int columns_, rows_;
  std::vector<unsigned> cells_;
};

}  // namespace detail

/// Labels of a chart.
struct ChartText {
  std::string title, summary, y_axis;
  bool smooth = true;  ///< also draw the smoothed training curve
};

/// Draws values over training steps as a self-contained SVG: training values (light line and smoothed line) and
/// evaluation values (dots).
inline std::string curve_svg(const LossCurve& curve, const ChartText& words) {
  constexpr double width = 880, height = 440, left = 74, right = 850, top = 84, bottom = 382;
  constexpr std::size_t most_points = 1200;
  const detail::Axis steps = detail::step_axis(curve, 8), losses = detail::loss_axis(curve, 9);
  const auto x = [&](double step) { return left + (right - left) * steps.place(step); };
  const auto y = [&](double loss) { return bottom - (bottom - top) * losses.place(loss); };
  const std::vector<LossPoint> smooth = words.smooth ? detail::smoothed(curve.training) : curve.training;

  std::string svg = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0:g} {1:g}' width='{0:g}' height='{1:g}' role='img' "
      "font-family='system-ui, DejaVu Sans, sans-serif' font-size='13' fill='#57606a'>\n<title>{2}</title>\n"
      "<rect x='0.5' y='0.5' width='{3:g}' height='{4:g}' rx='8' fill='#ffffff' stroke='#d0d7de'/>\n"
      "<text x='{5:g}' y='34' font-size='18' font-weight='600' fill='#1f2328'>{2}</text>\n"
      "<text x='{5:g}' y='57'>{6}</text>\n",
      width, height, detail::xml_text(words.title), width - 1, height - 1, left, detail::xml_text(words.summary));
  for (const double tick : losses.ticks())
    svg += fmt::format(
        "<path d='M{0:g} {1:.1f}H{2:g}' stroke='#eaeef2'/>"
        "<text x='{3:g}' y='{4:.1f}' text-anchor='end'>{5}</text>\n",
        left, y(tick), right, left - 10, y(tick) + 4.5, losses.label(tick));
  for (const double tick : steps.ticks())
    svg += fmt::format(
        "<path d='M{0:.1f} {1:g}v5' stroke='#8c959f'/>"
        "<text x='{0:.1f}' y='{2:g}' text-anchor='middle'>{3}</text>\n",
        x(tick), bottom, bottom + 21, steps.label(tick));
  svg += fmt::format(
      "<path d='M{0:g} {1:g}H{2:g}' stroke='#8c959f'/>\n"
      "<text x='{3:g}' y='{4:g}' text-anchor='middle'>step</text>\n"
      "<text transform='translate(22 {5:g}) rotate(-90)' text-anchor='middle'>{6}</text>\n",
      left, bottom, right, (left + right) / 2, bottom + 44, (top + bottom) / 2, detail::xml_text(words.y_axis));

  const auto polyline = [&](const std::vector<LossPoint>& points, std::string_view colour, double thickness) {
    if (points.empty()) return;
    svg += fmt::format("<polyline fill='none' stroke='{}' stroke-width='{:g}' stroke-linejoin='round' points='", colour,
                       thickness);
    for (const LossPoint& point : detail::thinned(points, most_points))
      svg += fmt::format("{:.1f},{:.1f} ", x(point.step), y(point.loss));
    svg.back() = '\'';
    svg += "/>\n";
  };
  if (words.smooth) polyline(curve.training, "#a9cbf5", 1.1);
  polyline(smooth, "#0b5cc4", 2.2);
  for (const LossPoint& point : detail::thinned(curve.evaluation, 200))
    svg += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='4.2' fill='#d9480f' stroke='#ffffff' stroke-width='1.4'/>\n",
                       x(point.step), y(point.loss));

  if (!words.smooth) return svg + "</svg>\n";
  double key = right - (curve.training.empty() ? 92 : curve.evaluation.empty() ? 188 : 290);
  const auto legend = [&](std::string_view shape, std::string_view name, double space) {
    svg += fmt::format("<g transform='translate({:g} 30)'>{}<text x='26' y='4.5'>{}</text></g>\n", key, shape, name);
    key += space;
  };
  if (!curve.training.empty()) {
    legend("<path d='M0 0h20' stroke='#a9cbf5' stroke-width='2'/>", "training", 96);
    legend("<path d='M0 0h20' stroke='#0b5cc4' stroke-width='2.4'/>", "smoothed", 102);
  }
  if (!curve.evaluation.empty()) legend("<circle cx='10' r='4.2' fill='#d9480f'/>", "evaluation", 0);
  return svg + "</svg>\n";
}

/// Draws the losses of a run as a self-contained SVG.
inline std::string loss_svg(const LossCurve& curve, std::string_view title = "Loss by training step") {
  return curve_svg(curve, {.title = std::string(title),
                           .summary = detail::loss_summary(curve, detail::smoothed(curve.training)),
                           .y_axis = "nats per token"});
}

/// Draws the losses as plain text for a terminal, `columns` x `rows` characters including axes: smoothed training loss
/// in braille dots, evaluation losses as "o". Throws Error for a size below 30 x 6.
inline std::string loss_chart(const LossCurve& curve, int columns = 70, int rows = 16) {
  constexpr int margin = 8, feet = 4;
  if (columns < 30 || rows < 6) throw Error("a chart needs at least 30 x 6 characters, not {} x {}", columns, rows);
  detail::BrailleCanvas canvas(columns - margin - 1, rows - feet);
  const detail::Axis steps = detail::step_axis(curve, 6), losses = detail::loss_axis(curve, 9);
  const auto x = [&](double step) { return static_cast<int>(std::lround(steps.place(step) * (canvas.width() - 1))); };
  const auto y = [&](double loss) {
    return static_cast<int>(std::lround((1 - losses.place(loss)) * (canvas.height() - 1)));
  };
  const std::vector<LossPoint> smooth = detail::smoothed(curve.training);
  for (std::size_t i = 0; i < smooth.size(); ++i) {
    const LossPoint& from = smooth[i > 0 ? i - 1 : 0];
    canvas.line(x(from.step), y(from.loss), x(smooth[i].step), y(smooth[i].loss));
  }
  for (const LossPoint& point : curve.evaluation) canvas.mark(x(point.step), y(point.loss));

  std::vector<std::string> labels(static_cast<std::size_t>(rows - feet));
  for (const double tick : losses.ticks()) labels[static_cast<std::size_t>(y(tick) / 4)] = losses.label(tick);
  std::string text;
  for (int row = 0; row < rows - feet; ++row) {
    const std::string& label = labels[static_cast<std::size_t>(row)];
    std::string line = fmt::format("{:>{}} {}{}", label, margin - 1, label.empty() ? "│" : "┤", canvas.row(row));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }

  std::string axis, names(static_cast<std::size_t>(columns), ' ');
  for (int column = 0; column < columns - margin - 1; ++column) axis += "─";
  for (const double tick : steps.ticks()) {
    const std::string label = steps.label(tick);
    const int middle = margin + 1 + x(tick) / 2;
    const int begin = std::min(middle - static_cast<int>(label.size()) / 2, columns - static_cast<int>(label.size()));
    names.replace(static_cast<std::size_t>(begin), label.size(), label);
    axis.replace(static_cast<std::size_t>(3 * (x(tick) / 2)), 3, "┬");
  }
  names.erase(names.find_last_not_of(' ') + 1);
  std::string keys = curve.training.empty() ? "" : "⠒⠒ training";
  if (!curve.evaluation.empty()) keys += keys.empty() ? "o evaluation" : "  o evaluation";
  text += std::string(margin, ' ') + "└" + axis + "\n" + names + "\n";
  const std::string indent(margin + 1, ' ');
  return text + indent + keys + " loss by step\n" + indent + detail::loss_summary(curve, smooth) + "\n";
}

}  // namespace moderngpt2
