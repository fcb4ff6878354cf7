#pragma once

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/nearest_name.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2::detail {

/// Field of Accelerate's YAML that has no effect in this library.
struct AccelerateField {
  std::string_view name;
  std::string_view usual{};    ///< value without a warning; "*": any value
  std::string_view instead{};  ///< replacement, for the warning about other values
};

/// Fields of the file (ClusterConfig and SageMakerConfig of accelerate/commands/config/config_args.py).
inline constexpr AccelerateField accelerate_fields[]{
    {"compute_environment", "LOCAL_MACHINE", "this program runs where it is started"},
    {"debug"},
    {"main_training_function", "*"},
    {"enable_cpu_affinity", "*"},
    {"same_network", "*"},
    {"use_cpu", "", "use --device"},
    {"gpu_ids", "all", "use CUDA_VISIBLE_DEVICES"},
    {"machine_rank", "0", "the launcher places the processes"},
    {"num_machines", "1", "the launcher places the processes"},
    {"main_process_ip", "", "the launcher places the processes"},
    {"main_process_port", "", "the launcher places the processes"},
    {"rdzv_backend", "static", "the launcher places the processes"},
    {"mpirun_config", "", "the launcher places the processes"},
    {"gradient_accumulation_steps", "", "use --gradient_accumulation_steps"},
    {"dynamo_config", "", "this program is compiled"},
    {"dynamo_backend", "", "this program is compiled"},
    {"ipex_config", "", "not needed"},
    {"fp8_config", "", "use mixed_precision bf16"},
    {"tp_config", "", "no tensor parallelism, use --zero_stage"},
    {"parallelism_config", "", "use --zero_stage"},
    {"megatron_lm_config", "", "no tensor or pipeline parallelism, use --zero_stage"},
    {"use_xpu", "", "use --device"},
    {"downcast_bf16", "", "for TPUs"},
    {"tpu_name", "", "for TPUs"},
    {"tpu_zone", "", "for TPUs"},
    {"tpu_vm", "", "for TPUs"},
    {"tpu_env", "", "for TPUs"},
    {"tpu_use_cluster", "", "for TPUs"},
    {"tpu_use_sudo", "", "for TPUs"},
    {"command_file", "", "for TPUs"},
    {"commands", "", "for TPUs"},
};

/// Fields of deepspeed_config that are not settings of a run.
inline constexpr AccelerateField accelerate_deepspeed_fields[]{
    {"zero3_init_flag", "*"},
    {"deepspeed_multinode_launcher", "standard", "the launcher places the processes"},
    {"deepspeed_hostfile", "", "the launcher places the processes"},
    {"deepspeed_inclusion_filter", "", "the launcher places the processes"},
    {"deepspeed_exclusion_filter", "", "the launcher places the processes"},
    {"deepspeed_moe_layer_cls_names", "", "no layer is a mixture of experts"},
    {"offload_optimizer_device", "", "nothing is offloaded"},
    {"offload_param_device", "", "nothing is offloaded"},
    {"offload_optimizer_nvme_path", "", "nothing is offloaded"},
    {"offload_param_nvme_path", "", "nothing is offloaded"},
};

/// Fields of fsdp_config that are not settings of a run. Whole blocks are gathered, checkpoints have whole weights, and
/// they load at any number of processes.
inline constexpr AccelerateField accelerate_fsdp_fields[]{
    {"fsdp_version", "*"},
    {"fsdp_auto_wrap_policy", "*"},
    {"fsdp_transformer_layer_cls_to_wrap", "*"},
    {"fsdp_min_num_params", "*"},
    {"fsdp_backward_prefetch", "*"},
    {"fsdp_backward_prefetch_policy", "*"},
    {"fsdp_forward_prefetch", "*"},
    {"fsdp_use_orig_params", "*"},
    {"fsdp_sync_module_states", "*"},
    {"fsdp_cpu_ram_efficient_loading", "*"},
    {"fsdp_state_dict_type", "FULL_STATE_DICT", "weights are written whole, optimizer state by process"},
    {"fsdp_offload_params", "", "nothing is offloaded"},
};

/// Name of a field that is not honoured, for the warning, with its replacement, or with the nearest known name if
/// `fields` and `others` do not have it. Empty if `value` needs no warning.
std::string declined_accelerate_field(const std::string& prefix, const std::string& key, const std::string& value,
                                      std::span<const AccelerateField> fields, const std::vector<std::string>& others);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string declined_accelerate_field(const std::string& prefix, const std::string& key,
                                                        const std::string& value,
                                                        std::span<const AccelerateField> fields,
                                                        const std::vector<std::string>& others) {
  const auto row =
      std::find_if(fields.begin(), fields.end(), [&](const AccelerateField& field) { return field.name == key; });
  if (row != fields.end()) {
    if (row->usual == "*" || (!row->usual.empty() && row->usual == value)) return "";
    return row->instead.empty() ? prefix + key : fmt::format("{}{} ({})", prefix, key, row->instead);
  }
  std::vector<std::string> known = others;
  for (const AccelerateField& field : fields) known.emplace_back(field.name);
  const std::string nearest = nearest_name(key, known), name = prefix + printable(key, 80);
  return nearest.empty() ? name : fmt::format("{} (did you mean {}?)", name, nearest);
}

}  // namespace moderngpt2::detail

#endif
