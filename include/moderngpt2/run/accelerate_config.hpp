#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/yaml.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/run/accelerate_fields.hpp"
#include "moderngpt2/run/deepspeed_section.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"

namespace moderngpt2 {

/// Supported fields of an Accelerate YAML config, and the names of the others. Absent and "auto" fields are empty.
struct AccelerateConfig {
  std::string where;                       ///< path of the file, prefix of messages
  std::optional<std::string> precision{};  ///< mixed_precision; "no" becomes "fp32"
  std::optional<std::int64_t> num_processes{};
  std::optional<std::string> deepspeed_config_file{};         ///< field of deepspeed_config
  std::optional<std::int64_t> gradient_accumulation_steps{};  ///< field of deepspeed_config
  std::optional<double> gradient_clipping{};                  ///< field of deepspeed_config
  std::string zero_field = "deepspeed_config.zero_stage";     ///< name of the field that sets zero_stage
  std::optional<int> zero_stage{};                            ///< from deepspeed_config or fsdp_config
  bool zero_stage_is_default = false;                         ///< the file has no field for it: flags override it
  std::optional<bool> gradient_checkpointing{};               ///< fsdp_activation_checkpointing
  std::vector<std::string> ignored{};                         ///< fields that are not honoured

  /// Path of deepspeed_config_file: relative to the working directory, as Accelerate reads it, or else to the folder of
  /// this file.
  std::optional<std::filesystem::path> deepspeed_file() const;
  /// Drops the settings of deepspeed_config in favour of a file given by a flag, and adds them to `ignored`.
  void prefer_deepspeed_flag();
};

namespace detail {

/// One map of an Accelerate config. Converts values, and names the fields that are not honoured.
class AccelerateSection {
 public:
  /// `prefix`: path of the map in the file with a trailing dot; empty for the root.
  AccelerateSection(const YAML::Node& map, std::string prefix, AccelerateConfig& out);

  /// Value of a scalar field as text; empty if it is absent, null or "auto".
  std::optional<std::string> text(const std::string& key);
  std::optional<std::int64_t> integer(const std::string& key, std::int64_t minimum, std::int64_t maximum);
  std::optional<double> number(const std::string& key);
  std::optional<bool> boolean(const std::string& key);

  /// Marks a field as read.
  void know(const std::string& key) { read_.push_back(key); }

  /// Adds the fields that were not read and request something to the fields that are not honoured.
  void name_others(std::span<const AccelerateField> fields);

  /// Whether a value requests something. Null, false, no, none, 0 and maps of such values do not.
  static bool asks(const YAML::Node& value);

 private:
  [[noreturn]] void refuse(const std::string& key, std::string_view expected, const std::string& found) const {
    throw Error("{}: {}{} must be {}, found {}", out_.where, prefix_, key, expected, excerpt(found));
  }

  YAML::Node map_;
  std::string prefix_;
  AccelerateConfig& out_;
  std::vector<std::string> read_;
};

void read_accelerate_precision(AccelerateSection& root, AccelerateConfig& out);

void read_accelerate_deepspeed(const YAML::Node& map, AccelerateConfig& out);

/// Sets the ZeRO stage that corresponds to FSDP's sharding strategy.
void read_accelerate_fsdp(const YAML::Node& map, AccelerateConfig& out);

}  // namespace detail

/// Parses the text of a config. Throws an Error that names `where` and the field or line.
AccelerateConfig parse_accelerate_config(const std::string& text, const std::string& where);

AccelerateConfig read_accelerate_config(const std::filesystem::path& path);

/// Applies an Accelerate config to the settings of a run of `ranks` processes. `wish`: precision that a DeepSpeed
/// config requests, if any. Throws UsageError if the two precisions, or the file and given flags, contradict each
/// other.
LauncherEffect apply_accelerate_config(const AccelerateConfig& config, int ranks, TrainingSettings& s,
                                       const TypedFlags& flags, const std::optional<std::string>& wish);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::optional<std::filesystem::path> AccelerateConfig::deepspeed_file() const {
  if (!deepspeed_config_file) return std::nullopt;
  const std::filesystem::path path(*deepspeed_config_file);
  std::error_code ignored_error;
  if (std::filesystem::exists(path, ignored_error)) return path;
  return std::filesystem::path(where).parent_path() / path;
}

MODERNGPT2_INLINE void AccelerateConfig::prefer_deepspeed_flag() {
  if (zero_field != "deepspeed_config.zero_stage") return;
  if (gradient_accumulation_steps || gradient_clipping || zero_stage)
    ignored.push_back("deepspeed_config (the file of --deepspeed_config applies)");
  gradient_accumulation_steps.reset(), gradient_clipping.reset(), zero_stage.reset();
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE AccelerateSection::AccelerateSection(const YAML::Node& map, std::string prefix, AccelerateConfig& out)
    : map_(map), prefix_(std::move(prefix)), out_(out) {
  for (const auto& entry : map)
    if (!entry.first.IsScalar()) throw Error("{}:{}: a field without a name", out.where, entry.first.Mark().line + 1);
}

MODERNGPT2_INLINE std::optional<std::string> AccelerateSection::text(const std::string& key) {
  read_.push_back(key);
  for (const auto& entry : map_) {
    if (entry.first.Scalar() != key || entry.second.IsNull()) continue;
    if (!entry.second.IsScalar()) refuse(key, "one value", entry.second.IsMap() ? "a map" : "a list");
    if (entry.second.Scalar() == "auto") return std::nullopt;
    return entry.second.Scalar();
  }
  return std::nullopt;
}

MODERNGPT2_INLINE std::optional<std::int64_t> AccelerateSection::integer(const std::string& key, std::int64_t minimum,
                                                                         std::int64_t maximum) {
  const auto found = text(key);
  if (!found) return std::nullopt;
  std::int64_t value = 0;
  if (!YAML::convert<std::int64_t>::decode(YAML::Node(*found), value)) refuse(key, "an integer", *found);
  if (value < minimum || value > maximum)
    throw Error("{}: {}{} is {}, it must be {} to {}", out_.where, prefix_, key, value, minimum, maximum);
  return value;
}

MODERNGPT2_INLINE std::optional<double> AccelerateSection::number(const std::string& key) {
  const auto found = text(key);
  if (!found) return std::nullopt;
  double value = 0;
  const bool valid = YAML::convert<double>::decode(YAML::Node(*found), value);
  if (!valid || !(value >= 0 && value < 1e30)) refuse(key, "a number from 0", *found);
  return value;
}

MODERNGPT2_INLINE std::optional<bool> AccelerateSection::boolean(const std::string& key) {
  const auto found = text(key);
  if (!found) return std::nullopt;
  bool value = false;
  if (!YAML::convert<bool>::decode(YAML::Node(*found), value)) refuse(key, "true or false", *found);
  return value;
}

MODERNGPT2_INLINE void AccelerateSection::name_others(std::span<const AccelerateField> fields) {
  for (const auto& entry : map_) {
    const std::string& key = entry.first.Scalar();
    if (std::find(read_.begin(), read_.end(), key) != read_.end() || !asks(entry.second)) continue;
    if (out_.ignored.size() >= max_listed_fields) {
      out_.ignored.push_back(prefix_ + printable(key, 80));
      continue;
    }
    const std::string value = entry.second.IsScalar() ? entry.second.Scalar() : "";
    const std::string text = declined_accelerate_field(prefix_, key, value, fields, read_);
    if (!text.empty()) out_.ignored.push_back(text);
  }
}

MODERNGPT2_INLINE bool AccelerateSection::asks(const YAML::Node& value) {
  if (!value.IsScalar())
    return std::any_of(value.begin(), value.end(),
                       [&](const auto& item) { return value.IsMap() ? asks(item.second) : true; });
  bool on = true;
  std::string text = value.Scalar();
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  if (YAML::convert<bool>::decode(YAML::Node(text), on)) return on;
  return !text.empty() && text != "none";
}

MODERNGPT2_INLINE void read_accelerate_precision(AccelerateSection& root, AccelerateConfig& out) {
  out.precision = root.text("mixed_precision");
  const auto fp16 = root.boolean("fp16");  // in old files
  if (!out.precision && fp16) out.precision = *fp16 ? "fp16" : "no";
  if (!out.precision) return;
  std::string& value = *out.precision;
  if (value == "no" || value == "No" || value == "NO" || value == "false" || value == "False") value = "fp32";
  if (value != "fp32" && value != "fp16" && value != "bf16")
    throw Error("{}: mixed_precision is {}, known are no, fp16 and bf16", out.where, excerpt(value));
}

MODERNGPT2_INLINE void read_accelerate_deepspeed(const YAML::Node& map, AccelerateConfig& out) {
  AccelerateSection section(map, "deepspeed_config.", out);
  out.deepspeed_config_file = section.text("deepspeed_config_file");
  const auto accumulation = section.integer("gradient_accumulation_steps", 1, std::int64_t{1} << 30);
  const auto clipping = section.number("gradient_clipping");
  const auto stage = section.integer("zero_stage", 0, 3);
  if (section.boolean("zero3_save_16bit_model") == false && stage == 3)
    out.ignored.push_back("deepspeed_config.zero3_save_16bit_model (whole weights are always written)");
  section.name_others(accelerate_deepspeed_fields);
  if (out.deepspeed_config_file) {  // an error in Accelerate
    if (accumulation || clipping || stage)
      out.ignored.push_back("other fields of deepspeed_config (the file of deepspeed_config_file applies)");
    return;
  }
  out.gradient_accumulation_steps = accumulation;
  out.gradient_clipping = clipping;
  if (stage) out.zero_stage = static_cast<int>(*stage);
}

MODERNGPT2_INLINE void read_accelerate_fsdp(const YAML::Node& map, AccelerateConfig& out) {
  AccelerateSection section(map, "fsdp_config.", out);
  auto strategy = section.text("fsdp_sharding_strategy");
  auto reshard = section.text("fsdp_reshard_after_forward");  // FSDP 2: true or false; also the names of FSDP 1
  bool reshards = true;
  if (reshard && !YAML::convert<bool>::decode(YAML::Node(*reshard), reshards)) strategy = reshard, reshard.reset();
  static constexpr std::pair<std::string_view, int> stages[]{
      {"FULL_SHARD", 3}, {"SHARD_GRAD_OP", 2}, {"NO_SHARD", 0}, {"HYBRID_SHARD", 3}, {"HYBRID_SHARD_ZERO2", 2}};
  out.zero_field =
      reshard || !strategy ? "fsdp_config.fsdp_reshard_after_forward" : "fsdp_config.fsdp_sharding_strategy";
  out.zero_stage = reshards ? 3 : 2;
  out.zero_stage_is_default = !reshard && !strategy;
  if (strategy && !reshard) {
    int number = 0;
    for (const auto& [name, stage] : stages) {
      ++number;  // ShardingStrategy of PyTorch counts from 1
      if (*strategy == name || *strategy == std::to_string(number)) {
        out.zero_stage = stage;
        if (name.starts_with("HYBRID"))
          out.ignored.push_back(fmt::format("{} ({} over all processes, not by machine)", out.zero_field, name));
        number = -100;
      }
    }
    if (number > 0)
      throw Error("{}: {} is {}, known are FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, HYBRID_SHARD and HYBRID_SHARD_ZERO2",
                  out.where, out.zero_field, excerpt(*strategy));
  }
  out.gradient_checkpointing = section.boolean("fsdp_activation_checkpointing");
  if (out.gradient_checkpointing == false) out.gradient_checkpointing.reset();
  section.name_others(accelerate_fsdp_fields);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE AccelerateConfig parse_accelerate_config(const std::string& text, const std::string& where) {
  const YAML::Node map = load_yaml(text, where);
  if (!map.IsMap()) throw Error("{}: expected a map of fields, as written by accelerate config", where);
  AccelerateConfig out;
  out.where = where;
  detail::AccelerateSection root(map, "", out);
  detail::read_accelerate_precision(root, out);
  out.num_processes = root.integer("num_processes", -1, 1 << 30);  // -1: left to the launcher
  if (out.num_processes == 0) throw Error("{}: num_processes is 0, expected at least 1", where);
  if (out.num_processes == -1) out.num_processes.reset();
  const std::string type = root.text("distributed_type").value_or("");
  for (const auto& [key, needed, read] :
       {std::tuple("deepspeed_config", "DEEPSPEED", &detail::read_accelerate_deepspeed),
        std::tuple("fsdp_config", "FSDP", &detail::read_accelerate_fsdp)}) {
    root.know(key);
    const YAML::Node section = map[key];
    const bool has_fields = section && section.IsMap() && section.size() > 0;
    if (section && !section.IsMap() && !section.IsNull()) throw Error("{}: {} must be a map", where, key);
    if (type == needed || (type.empty() && has_fields))
      read(has_fields ? section : YAML::Node(YAML::NodeType::Map), out);
    else if (has_fields && detail::AccelerateSection::asks(section))
      out.ignored.push_back(fmt::format("{} (distributed_type is {})", key, printable(type, 40)));
  }
  const std::string_view plain[]{"", "NO", "MULTI_CPU", "MULTI_GPU", "DEEPSPEED", "FSDP"};
  if (std::find(std::begin(plain), std::end(plain), type) == std::end(plain))
    out.ignored.push_back(
        fmt::format("distributed_type {} (processes are data-parallel, see --zero_stage)", printable(type, 40)));
  root.name_others(detail::accelerate_fields);
  return out;
}

MODERNGPT2_INLINE AccelerateConfig read_accelerate_config(const std::filesystem::path& path) {
  return parse_accelerate_config(read_file(path, std::uint64_t{1} << 20), path.string());
}

MODERNGPT2_INLINE LauncherEffect apply_accelerate_config(const AccelerateConfig& config, int ranks, TrainingSettings& s,
                                                         const TypedFlags& flags,
                                                         const std::optional<std::string>& wish) {
  LauncherEffect effect{config.precision, {}};
  const auto other = flags.precision ? flags.precision : wish;
  if (effect.precision == "fp32" && other) effect.precision = other;  // "no" is the default of `accelerate config`
  if (effect.precision && other && *effect.precision != *other)
    throw UsageError("{}: mixed_precision is {}, but flags or DeepSpeed config say {}: remove one", config.where,
                     *effect.precision, *other);
  detail::SettingsFromFile from(config.where, flags);
  const auto set = [&](const char* field, const auto& value, auto& target, const char* flag) {
    from.set(std::string(field), value, target, flag);
  };
  set("deepspeed_config.gradient_accumulation_steps", config.gradient_accumulation_steps, s.gradient_accumulation_steps,
      "gradient_accumulation_steps");
  set("deepspeed_config.gradient_clipping", config.gradient_clipping, s.max_grad_norm, "max_grad_norm");
  set("fsdp_config.fsdp_activation_checkpointing", config.gradient_checkpointing, s.gradient_checkpointing,
      "gradient_checkpointing");
  if (!config.zero_stage_is_default || !flags.typed("zero_stage"))
    detail::set_zero_stage(config.zero_field, config.zero_stage, ranks, s, effect, from);
  if (const std::string changes = from.finish(); !changes.empty()) effect.lines.push_back(changes);
  if (config.num_processes && *config.num_processes != ranks)
    effect.lines.push_back(
        fmt::format("warning: {}: num_processes is {}, this run has {}", config.where, *config.num_processes, ranks));
  if (!config.ignored.empty()) effect.lines.push_back(detail::not_honoured_text(config.where, config.ignored));
  return effect;
}

}  // namespace moderngpt2

#endif
