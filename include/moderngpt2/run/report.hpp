#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/run/tensorboard.hpp"

namespace moderngpt2 {

/// Destinations of a run's metrics in addition to metrics.jsonl. `wandb` and `all` write a TensorBoard log and print
/// the command that uploads it.
enum class ReportTo : unsigned char { none, tensorboard, wandb, all };

/// Words of the values on a command line.
constexpr auto words_of(ReportTo) {
  using Word = std::pair<std::string_view, ReportTo>;
  return std::array{Word("none", ReportTo::none), Word("tensorboard", ReportTo::tensorboard),
                    Word("wandb", ReportTo::wandb), Word("all", ReportTo::all)};
}

/// Settings of the TensorBoard log and of its upload to wandb.
struct ReportSettings {
  ReportTo to = ReportTo::none;
  std::string project = "moderngpt2";
  std::string entity{};
  std::string run_name{};  ///< default: {project}-{size}
};

/// Returns the run's name, which is also the name of its log folder. Throws UsageError if it is no valid folder name.
std::string report_name(const ReportSettings& settings, const std::string& size);

namespace detail {

/// Quotes a word for a POSIX shell.
std::string shell_word(const std::string& word);

}  // namespace detail

/// Returns the program's command line, quoted for a POSIX shell.
std::string shell_command(int argc, const char* const* argv);

/// Writes metrics to a TensorBoard log in OUTPUT_DIR/runs/NAME. If writing fails, prints one warning and stops logging;
/// training continues. Threads: one at a time.
class TensorBoardReport {
 public:
  TensorBoardReport(const ReportSettings& settings, const std::filesystem::path& output_dir, const std::string& name,
                    std::int64_t step, std::function<void(const std::string&)> say);

  /// Adds a line of metrics.jsonl.
  void add(const Json& line);

  /// Prints the command that uploads the log to wandb, if ReportTo::wandb or all.
  void finish() const;

  /// Returns the shell command that uploads the log.
  std::string sync_command() const;

 private:
  ReportSettings settings_;
  std::string name_;
  std::filesystem::path folder_;
  std::function<void(const std::string&)> say_;
  std::optional<TensorBoardLog> log_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::string report_name(const ReportSettings& settings, const std::string& size) {
  const std::string name = settings.run_name.empty() ? fmt::format("{}-{}", settings.project, size) : settings.run_name;
  if (!is_plain_name(name))
    throw UsageError("--wandb_run_name: {} is not valid as the name of the log's folder", excerpt(name));
  return name;
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string shell_word(const std::string& word) {
  constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
  if (!word.empty() && word.find_first_not_of(plain) == word.npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string shell_command(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) line += (i > 0 ? " " : "") + detail::shell_word(argv[i]);
  return line;
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE TensorBoardReport::TensorBoardReport(const ReportSettings& settings,
                                                       const std::filesystem::path& output_dir, const std::string& name,
                                                       std::int64_t step, std::function<void(const std::string&)> say)
    : settings_(settings), name_(name), folder_(output_dir / "runs" / name), say_(std::move(say)) {
  log_.emplace(folder_, step);
  say_(fmt::format("TensorBoard: tensorboard --logdir {}", detail::shell_word((output_dir / "runs").string())));
  finish();
}

MODERNGPT2_INLINE void TensorBoardReport::add(const Json& line) {
  if (!log_) return;
  try {
    log_->add(get_field<std::int64_t>(line, "step", "metrics"), tensorboard_scalars(line));
  } catch (const Error& error) {
    say_(fmt::format("warning: TensorBoard logging stopped: {}", error.what()));
    log_.reset();
  }
}

MODERNGPT2_INLINE void TensorBoardReport::finish() const {
  if (settings_.to != ReportTo::wandb && settings_.to != ReportTo::all) return;
  say_("wandb: upload the log with: " + sync_command());
}

MODERNGPT2_INLINE std::string TensorBoardReport::sync_command() const {
  using detail::shell_word;
  std::string command = "wandb sync --sync-tensorboard --project " + shell_word(settings_.project);
  if (!settings_.entity.empty()) command += " --entity " + shell_word(settings_.entity);
  return command + " --id " + shell_word(name_) + " " + shell_word(folder_.string());
}

}  // namespace moderngpt2

#endif
