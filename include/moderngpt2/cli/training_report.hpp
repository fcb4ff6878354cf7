#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <sys/utsname.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/loss_curve.hpp"
#include "moderngpt2/cli/loss_picture.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/version.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/hooks.hpp"

namespace moderngpt2 {

/// Describes the machine in lines of text: processor, threads, memory, system, host, compiler, version.
inline std::string machine_text() {
  std::string processor = "unknown";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != line.npos) processor = line.substr(colon + 2);
    break;
  }
  const double memory = double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGESIZE));
  std::string text = fmt::format("processor: {}, {} threads\n", processor, available_threads());
  text += fmt::format("memory: {:.1f} GiB\n", memory / (1 << 30));
  utsname system{};
  if (::uname(&system) == 0)
    text +=
        fmt::format("system: {} {} {}\nhost: {}\n", system.sysname, system.release, system.machine, system.nodename);
#ifdef __clang__
  text += fmt::format("compiler: clang {}\n", __clang_version__);
#else
  text += fmt::format("compiler: g++ {}\n", __VERSION__);
#endif
  return text + fmt::format("ModernGPT2: {}\n", version);
}

namespace detail {

/// Reads a file with one JSON object per line; skips damaged lines. Empty if the file does not exist.
inline std::vector<Json> read_json_lines(const std::filesystem::path& path) {
  std::vector<Json> lines;
  if (!std::filesystem::exists(path)) return lines;
  const std::string text = read_file(path);
  for (const std::string_view line : complete_lines(text)) {
    try {
      Json json = parse_json(line, path.string());
      if (json.is_object()) lines.push_back(std::move(json));
    } catch (const Error&) {
    }
  }
  return lines;
}

/// Escapes text for HTML; line feeds are kept.
inline std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\n") : xml_text({&c, 1});
  return out;
}

}  // namespace detail

/// HTML report of a run, OUTPUT_DIR/report.html: one self-contained file with the curves of metrics.jsonl, the samples
/// of samples.jsonl, the settings, the model, the machine and the command line.
class TrainingReport {
 public:
  TrainingReport(RunDescription run, std::string command_line)
      : run_(std::move(run)), command_line_(std::move(command_line)) {}

  /// Writes the page atomically. Throws Error if it cannot be written.
  void write() const { write_file(run_.output_dir / "report.html", html()); }

  std::string html() const {
    const std::vector<Json> lines = detail::read_json_lines(run_.output_dir / "metrics.jsonl");
    const std::string title = "Training of " + run_.output_dir.string();
    std::string page = fmt::format(
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n<title>{0}</title>\n<style>\n"
        "body {{ font: 15px/1.5 system-ui, 'DejaVu Sans', sans-serif; color: #1f2328; background: #f6f8fa;"
        " max-width: 900px; margin: 2em auto; padding: 0 1em }}\n"
        "svg {{ width: 100%; height: auto; margin: .4em 0 }}\n"
        "pre, .sample {{ background: #fff; border: 1px solid #d0d7de; border-radius: 8px; padding: .8em 1em;"
        " overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }}\n"
        ".sample b {{ color: #0b5cc4 }}\n.sample small {{ color: #57606a; display: block }}\n</style></head>\n"
        "<body><h1>{0}</h1>\n<p>{1}</p>\n",
        detail::html_text(title), detail::html_text(state(lines)));
    page += chart(lines, "loss", "eval_loss", {"Loss", "", "nats per token", true});
    page += chart(lines, "learning_rate", "", {"Learning rate", "", "", false});
    page += chart(lines, "grad_norm", "", {"Gradient norm", "before clipping", "norm", true});
    page += chart(lines, "tokens_per_second", "", {"Throughput", "", "tokens a second", false});
    page += samples();
    page += section("Run", run_.settings);
    page += section("Command line", command_line_);
    page += section("Machine", machine_text());
    page += section("Memory plan", run_.memory);
    page += section("Model (config.json)", run_.config.dump(2, ' ', false, Json::error_handler_t::replace));
    return page + "</body></html>\n";
  }

 private:
  static std::string section(std::string_view title, std::string_view text) {
    return fmt::format("<h2>{}</h2>\n<pre>{}</pre>\n", title, detail::html_text(text));
  }

  static std::string state(const std::vector<Json>& lines) {
    std::string text = "no line in the log yet";
    for (const Json& line : lines)
      if (line.contains("loss") && line["loss"].is_number())
        text = fmt::format("step {}, epoch {:.2f}, loss {:.4f}", line.value("step", std::int64_t{0}),
                           line.value("epoch", 0.0), line["loss"].get<double>());
    for (auto line = lines.rbegin(); line != lines.rend(); ++line)
      if (line->contains("eval_loss") && (*line)["eval_loss"].is_number()) {
        text += fmt::format("; evaluation at step {}: loss {:.4f}", line->value("step", std::int64_t{0}),
                            (*line)["eval_loss"].get<double>());
        for (const auto& [name, value] : line->items())
          if (name.starts_with("eval_") && name != "eval_loss" && value.is_number())
            text += fmt::format(", {} {:.4g}", name.substr(5), value.get<double>());
        return text;
      }
    return text;
  }

  static std::string chart(const std::vector<Json>& lines, std::string_view key, std::string_view eval_key,
                           ChartText words) {
    LossCurve curve;
    for (const Json& line : lines) {
      detail::add_loss(curve.training, line, key, "metrics.jsonl");
      if (!eval_key.empty()) detail::add_loss(curve.evaluation, line, eval_key, "metrics.jsonl");
    }
    if (curve.training.empty() && curve.evaluation.empty()) return "";
    if (words.summary.empty() && !curve.training.empty())
      words.summary =
          key == "loss" ? detail::loss_summary(curve, detail::smoothed(curve.training))
                        : fmt::format("{:.4g} at step {:.0f}", curve.training.back().loss, curve.training.back().step);
    return curve_svg(curve, words);
  }

  /// Samples, latest first. A long run shows the latest hundred and the first ten.
  std::string samples() const {
    const std::vector<Json> all = detail::read_json_lines(run_.output_dir / "samples.jsonl");
    constexpr std::size_t latest = 100, first = 10;
    std::string page;
    for (std::size_t i = all.size(); i-- > 0;) {
      if (i >= first && i + latest < all.size()) continue;
      const auto text = [&](const char* key) { return detail::html_text(all[i].value(key, std::string())); };
      page += fmt::format("<div class='sample'><small>step {}</small><b>{}</b>{}</div>\n",
                          all[i].value("step", std::int64_t{0}), text("prompt"), text("completion"));
    }
    return page.empty() ? page : "<h2>Samples</h2>\n<p>Completions at the evaluations, latest first.</p>\n" + page;
  }

  RunDescription run_;
  std::string command_line_;
};

}  // namespace moderngpt2
