#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#if !__has_include(<yaml-cpp/yaml.h>)
#error "moderngpt2: <yaml-cpp/yaml.h> not found: link moderngpt2::data (find_package(moderngpt2 COMPONENTS data))"
#endif
#include <yaml-cpp/yaml.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/nearest_name.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"

namespace moderngpt2 {

/// Supported fields of an Accelerate YAML config, and the names of the others.
struct AccelerateConfig {
  std::string where;                       ///< path of the file, prefix of messages
  std::optional<std::string> precision{};  ///< mixed_precision; "no" becomes "fp32"
  std::optional<std::int64_t> num_processes{};
  std::vector<std::string> ignored{};  ///< fields that are not honoured
};

namespace detail {

using FieldText = std::pair<std::string_view, std::string_view>;

/// Fields that are ignored without a warning if they have this value; empty: any value.
inline constexpr FieldText plain_accelerate_fields[]{{"compute_environment", "LOCAL_MACHINE"},
                                                     {"distributed_type", "NO"},
                                                     {"distributed_type", "MULTI_CPU"},
                                                     {"distributed_type", "MULTI_GPU"},
                                                     {"distributed_type", "DEEPSPEED"},
                                                     {"machine_rank", "0"},
                                                     {"num_machines", "1"},
                                                     {"gpu_ids", "all"},
                                                     {"main_training_function", "main"},
                                                     {"rdzv_backend", "static"},
                                                     {"same_network", ""},
                                                     {"enable_cpu_affinity", ""}};

/// Fields that are ignored with a warning, and what to use instead.
inline constexpr FieldText declined_accelerate_fields[]{
    {"deepspeed_config", "use --deepspeed_config"},
    {"gradient_accumulation_steps", "use --gradient_accumulation_steps"},
    {"use_cpu", "use --device"},
    {"num_machines", "the launcher places the processes"},
    {"machine_rank", "the launcher places the processes"},
    {"main_process_ip", "the launcher places the processes"},
    {"main_process_port", "the launcher places the processes"}};

/// Name of a field that is not honoured, with the reason or the nearest known name.
std::string declined_accelerate_field(const std::string& key);

}  // namespace detail

/// Parses the text of a config. Throws an Error that names `where` and the field or line.
AccelerateConfig parse_accelerate_config(const std::string& text, const std::string& where);

AccelerateConfig read_accelerate_config(const std::filesystem::path& path);

/// Applies an Accelerate config to a run of `ranks` processes. `wish`: precision that a DeepSpeed config requests, if
/// any. Throws UsageError if the two precisions contradict each other.
LauncherEffect apply_accelerate_config(const AccelerateConfig& config, int ranks, const TypedFlags& flags,
                                       const std::optional<std::string>& wish);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string declined_accelerate_field(const std::string& key) {
  std::vector<std::string> known{"mixed_precision", "num_processes"};
  for (const auto& [name, instead] : declined_accelerate_fields) {
    if (name == key) return fmt::format("{} ({})", key, instead);
    known.emplace_back(name);
  }
  for (const auto& [name, value] : plain_accelerate_fields) known.emplace_back(name);
  const std::string nearest = nearest_name(key, known);
  return nearest.empty() || nearest == key ? key : fmt::format("{} (did you mean {}?)", key, nearest);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE AccelerateConfig parse_accelerate_config(const std::string& text, const std::string& where) {
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw Error("{}:{}: not valid YAML: {}", where, error.mark.line + 1, error.msg);
  }
  if (!root.IsMap()) throw Error("{}: not a map of fields, as accelerate config writes it", where);
  AccelerateConfig out;
  out.where = where;
  std::set<std::string> seen;
  for (const auto& entry : root) {
    std::string key;
    std::string value;
    try {
      key = entry.first.as<std::string>();
      if (entry.second.IsScalar()) value = entry.second.as<std::string>();
    } catch (const YAML::Exception& error) {
      throw Error("{}:{}: a field that cannot be read: {}", where, error.mark.line + 1, error.msg);
    }
    if (!seen.insert(key).second)
      throw Error("{}:{}: {} occurs twice", where, entry.first.Mark().line + 1, excerpt(key));
    if (key == "mixed_precision") {
      if (value == "no" || value == "No" || value == "false" || value == "False") value = "fp32";
      if (entry.second.IsNull()) continue;
      if (value != "fp32" && value != "fp16" && value != "bf16")
        throw Error("{}: mixed_precision is {}, known are no, fp16 and bf16", where, excerpt(value));
      out.precision = value;
    } else if (key == "num_processes") {
      try {
        out.num_processes = entry.second.as<std::int64_t>();
      } catch (const YAML::Exception&) {
        throw Error("{}: num_processes must be an integer", where);
      }
      if (*out.num_processes < 1) throw Error("{}: num_processes is {}", where, *out.num_processes);
    } else {
      const auto& plain = detail::plain_accelerate_fields;
      const bool usual = std::any_of(std::begin(plain), std::end(plain), [&](const detail::FieldText& field) {
        return field.first == key && (field.second.empty() || field.second == value);
      });
      const bool off = entry.second.IsNull() || value == "false" || value == "no" || value == "False" ||
                       (!entry.second.IsScalar() && entry.second.size() == 0);
      if (!usual && !off) out.ignored.push_back(detail::declined_accelerate_field(key));
    }
  }
  return out;
}

MODERNGPT2_INLINE AccelerateConfig read_accelerate_config(const std::filesystem::path& path) {
  return parse_accelerate_config(read_file(path, std::uint64_t{1} << 20), path.string());
}

MODERNGPT2_INLINE LauncherEffect apply_accelerate_config(const AccelerateConfig& config, int ranks,
                                                         const TypedFlags& flags,
                                                         const std::optional<std::string>& wish) {
  LauncherEffect effect{config.precision, {}};
  const auto other = flags.precision ? flags.precision : wish;
  if (effect.precision == "fp32" && other) effect.precision = other;  // "no" is the default of `accelerate config`
  if (effect.precision && other && *effect.precision != *other)
    throw UsageError("{}: mixed_precision is {}, but flags or DeepSpeed config say {}: remove one", config.where,
                     *effect.precision, *other);
  if (config.num_processes && *config.num_processes != ranks)
    effect.lines.push_back(
        fmt::format("warning: {}: num_processes is {}, this run has {}", config.where, *config.num_processes, ranks));
  if (!config.ignored.empty())
    effect.lines.push_back(fmt::format("warning: {}: not honoured: {}", config.where, fmt::join(config.ignored, ", ")));
  return effect;
}

}  // namespace moderngpt2

#endif
