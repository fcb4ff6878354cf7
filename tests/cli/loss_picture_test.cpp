#include <cmath>
#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include "moderngpt2/cli/loss_picture.hpp"
#include "support/temporary_folder.hpp"

namespace {

using moderngpt2::Error;
using moderngpt2::loss_chart;
using moderngpt2::loss_svg;
using moderngpt2::LossCurve;
using moderngpt2::read_loss_curve;

LossCurve read_text(const std::string& text) {
  moderngpt2::test::TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl", std::ios::binary) << text;
  return read_loss_curve(folder / "metrics.jsonl");
}

std::string message_of(const std::string& text) {
  try {
    read_text(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size()) ++found;
  return found;
}

LossCurve falling(int steps) {
  LossCurve curve;
  for (int i = 1; i <= steps; ++i) {
    const double loss = 1 + 8 * std::exp(-i * 10.0 / steps);
    curve.training.push_back({static_cast<double>(i), loss});
    if (i % (steps / 4) == 0) curve.evaluation.push_back({static_cast<double>(i), loss + 0.1});
  }
  return curve;
}

/// The characters (not bytes) of a UTF-8 line.
std::size_t characters(std::string_view line) {
  std::size_t n = 0;
  for (const char c : line) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

TEST_CASE("a curve is read from the lines of metrics.jsonl") {
  const LossCurve curve = read_text(
      "{\"step\": 1, \"loss\": 9.5, \"learning_rate\": 1e-4, \"grad_norm\": 2, \"tokens_per_second\": 1000}\n"
      "\n"
      "{\"step\": 2, \"loss\": 8}\r\n"
      "{\"step\": 2, \"eval_loss\": 8.25}\n"
      "{\"step\": 3, \"loss\": null}\n"
      "{\"step\": 3, \"note\": \"no loss here\"}\n"
      "{\"step\": 4, \"los");
  REQUIRE(curve.training.size() == 2);
  CHECK(curve.training[1].step == 2);
  CHECK(curve.training[1].loss == 8);
  REQUIRE(curve.evaluation.size() == 1);
  CHECK(curve.evaluation[0].loss == 8.25);
}

TEST_CASE("steps that a resumed run logs again replace the earlier ones") {
  const LossCurve curve = read_text(
      "{\"step\": 1, \"loss\": 9}\n{\"step\": 2, \"loss\": 8}\n{\"step\": 3, \"loss\": 7}\n{\"step\": 2, \"loss\": "
      "6}\n");
  REQUIRE(curve.training.size() == 2);
  CHECK(curve.training[0].loss == 9);
  CHECK(curve.training[1].loss == 6);
}

TEST_CASE("a file that is no metrics file is refused in one line with its place") {
  const std::string broken = message_of("{\"step\": 1, \"loss\": 9}\nnot json\n");
  CHECK(broken.find("line 2") != std::string::npos);
  CHECK(broken.find('\n') == std::string::npos);
  CHECK(message_of("{\"loss\": 9}\n").find("step is missing") != std::string::npos);
  CHECK(message_of("{\"step\": 1.5, \"loss\": 9}\n").find("step") != std::string::npos);
  CHECK(message_of("{\"step\": 1, \"loss\": \"low\"}\n").find("loss must be a number") != std::string::npos);
  CHECK(message_of("[1]\n").find("line 1") != std::string::npos);
  CHECK(message_of("").find("no line has") != std::string::npos);
  CHECK(message_of("{\"step\": 1}\n").find("no line has") != std::string::npos);
  CHECK_THROWS_AS(read_loss_curve("/nonexistent/metrics.jsonl"), Error);
}

TEST_CASE("smoothing keeps the length, the start and the mean of the end") {
  LossCurve curve = falling(400);
  const auto smooth = moderngpt2::detail::smoothed(curve.training);
  REQUIRE(smooth.size() == 400);
  CHECK(smooth.front().loss == doctest::Approx(curve.training.front().loss));
  double mean = 0;
  for (std::size_t i = 389; i < 400; ++i) mean += curve.training[i].loss / 11;
  CHECK(smooth.back().loss == doctest::Approx(mean));
  const auto thin = moderngpt2::detail::thinned(curve.training, 100);
  REQUIRE(thin.size() == 100);
  CHECK(thin.front().step == doctest::Approx(2.5));
}

TEST_CASE("axes have round ticks") {
  const moderngpt2::detail::Axis loss(1.23, 9.7, 9, false);
  CHECK(loss.tick == doctest::Approx(1));
  CHECK(loss.low == doctest::Approx(1));
  CHECK(loss.high == doctest::Approx(10));
  CHECK(loss.label(3) == "3");
  const moderngpt2::detail::Axis fine(1.52, 1.58, 6, false);
  CHECK(fine.label(1.53) == "1.53");
  const moderngpt2::detail::Axis steps(0, 30000, 8, true);
  CHECK(steps.label(10000) == "10k");
  CHECK(steps.label(0) == "0");
  const moderngpt2::detail::Axis flat(2, 2, 6, false);
  CHECK(flat.high > flat.low);
  CHECK(moderngpt2::detail::Axis(0, 3, 8, true).tick == 1);
}

TEST_CASE("the SVG holds each part, escapes its title, and stays small for a long run") {
  const std::string svg = loss_svg(falling(200), "a < b & c");
  CHECK(svg.starts_with("<svg xmlns='http://www.w3.org/2000/svg'"));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, "<circle") == 4 + 1);  // and one in the legend
  CHECK(count(svg, "a &lt; b &amp; c") == 2);
  CHECK(svg.find("a < b") == std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(count(svg, "<text") == count(svg, "</text>"));
  CHECK(count(svg, "http") == 1);
  CHECK(loss_svg(falling(100000)).size() < 60000);
}

TEST_CASE("a single point makes a picture too") {
  LossCurve curve;
  curve.evaluation.push_back({0, 3.0});
  CHECK(loss_svg(curve).find("nan") == std::string::npos);
  CHECK(loss_chart(curve).find("after 0 steps: evaluation loss 3.000") != std::string::npos);
  curve = {};
  curve.training.push_back({1, 0.0});
  CHECK(loss_svg(curve).find("inf") == std::string::npos);
  CHECK(loss_chart(curve).find("after 1 step: training loss 0.000") != std::string::npos);
}

TEST_CASE("the chart fits into its columns and rows, and falls from left to right") {
  for (const auto& [columns, rows] : {std::pair{70, 16}, std::pair{30, 6}, std::pair{120, 40}}) {
    const std::string chart = loss_chart(falling(200), columns, rows);
    CAPTURE(chart);
    CHECK(count(chart, "\n") == static_cast<std::size_t>(rows));
    std::string_view rest = chart;
    for (int row = 0; row < rows - 2; ++row) {  // the key and the summary below may be longer
      const std::size_t end = rest.find('\n');
      CHECK(characters(rest.substr(0, end)) <= static_cast<std::size_t>(columns));
      rest.remove_prefix(end + 1);
    }
    CHECK(count(chart, "o") >= 1);
  }
  const std::string chart = loss_chart(falling(200));
  CHECK(characters(chart.substr(0, chart.find('\n'))) < 20);  // the top row: the start only
  CHECK_THROWS_AS(loss_chart(falling(8), 29, 16), Error);
  CHECK_THROWS_AS(loss_chart(falling(8), 70, 5), Error);
}

}  // namespace
