#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/ascii.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/json_comments.hpp"
#include "moderngpt2/run/deepspeed_section.hpp"
#include "moderngpt2/training/deepspeed_schedule.hpp"
#include "moderngpt2/training/loss_scale.hpp"

namespace moderngpt2 {

/// Supported fields of a DeepSpeed JSON config. Absent and "auto" fields are empty; the flags' values then apply.
struct DeepSpeedConfig {
  struct Zero {
    std::optional<int> stage{};
    std::optional<std::int64_t> reduce_bucket_size{};  ///< elements; 1: the minimum, one block
  };

  std::string where;  ///< path of the file, prefix of messages
  std::optional<std::int64_t> train_batch_size, train_micro_batch_size_per_gpu, gradient_accumulation_steps;
  std::optional<double> gradient_clipping;
  std::optional<double> lr, beta1, beta2, eps, weight_decay;  ///< optimizer.params
  bool decoupled_weight_decay = true;                         ///< AdamW instead of Adam
  std::string scheduler;                                      ///< scheduler.type; empty: none
  std::optional<double> warmup_max_lr;
  std::optional<std::int64_t> warmup_num_steps, total_num_steps;
  Json scheduler_kwargs = Json::object();  ///< other parameters of the scheduler
  std::optional<bool> fp16, bf16;          ///< enabled
  LossScaling loss_scaling;
  Zero zero;
  std::vector<std::string> ignored;  ///< fields that are not honoured, each with the reason
};

/// Facts about a member of DeepSpeedConfig in addition to those of Field.
struct InDeepSpeed {
  std::string_view setting{};  ///< name of the TrainingSettings member that receives the value; empty: set by code
  bool own_format = false;     ///< read by code of its own, not by DeepSpeedSection::read()
};

/// Names each number of a config once: by the key and, as `section` of the row, by the path of its object. The visitor
/// is called with (member, const Field&, const InDeepSpeed&). `fp16` has the rows of LossScaling.
template <DescribedAs<DeepSpeedConfig> C, class Visitor>
void describe(C& c, Visitor&& visit) {
  constexpr const char *params = "optimizer.params.", *schedule = "scheduler.params.";
  constexpr InDeepSpeed by_hand{}, own{.own_format = true};
  visit(c.train_batch_size, {.name = "train_batch_size"}, by_hand);
  visit(c.train_micro_batch_size_per_gpu, {.name = "train_micro_batch_size_per_gpu"}, by_hand);
  visit(c.gradient_accumulation_steps, {.name = "gradient_accumulation_steps"}, by_hand);
  visit(c.gradient_clipping, {.name = "gradient_clipping"}, InDeepSpeed{"max_grad_norm"});
  visit(c.lr, {.name = "lr", .section = params}, InDeepSpeed{"learning_rate"});
  visit(c.beta1, {.name = "betas[0]", .section = params}, InDeepSpeed{"adam_beta1", true});
  visit(c.beta2, {.name = "betas[1]", .section = params}, InDeepSpeed{"adam_beta2", true});
  visit(c.eps, {.name = "eps", .section = params}, InDeepSpeed{"adam_epsilon"});
  visit(c.weight_decay, {.name = "weight_decay", .section = params}, InDeepSpeed{"weight_decay"});
  visit(c.warmup_max_lr, {.name = "warmup_max_lr", .section = schedule}, InDeepSpeed{"learning_rate", true});
  visit(c.warmup_num_steps, {.name = "warmup_num_steps", .section = schedule}, own);
  visit(c.total_num_steps, {.name = "total_num_steps", .section = schedule}, own);
}

namespace detail {

void read_deepspeed_optimizer(const Json& json, DeepSpeedConfig& out);

void read_deepspeed_scheduler(const Json& json, DeepSpeedConfig& out);

void read_deepspeed_precision(DeepSpeedSection& root, DeepSpeedConfig& out);

void read_deepspeed_zero(const Json& json, DeepSpeedConfig& out);

}  // namespace detail

/// Reads a DeepSpeed config from its JSON. Throws an Error that names `where` and the field for a value of the wrong
/// type or range, and for an unsupported optimizer or scheduler.
DeepSpeedConfig parse_deepspeed_config(const Json& json, const std::string& where);

/// Reads a DeepSpeed config file. Comments and trailing commas are allowed.
DeepSpeedConfig read_deepspeed_config(const std::filesystem::path& path);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE void read_deepspeed_optimizer(const Json& json, DeepSpeedConfig& out) {
  DeepSpeedSection section(json, "optimizer.", out.where);
  const auto type = section.get<std::string>("type");
  if (!type) throw Error("{}: optimizer.type is missing", out.where);
  const std::string name = lower_case(*type);
  if (name != "adam" && name != "adamw")
    throw Error("{}: optimizer.type is {}, supported are Adam and AdamW", out.where, excerpt(*type));
  const Json* params = section.find("params");
  section.decline({"legacy_fusion"}, "", out.ignored);
  section.name_unknown(out.ignored);
  if (!params) return;
  DeepSpeedSection values(*params, "optimizer.params.", out.where);
  values.read(out);
  if (out.eps == 0.0) throw Error("{}: optimizer.params.eps is 0, it must be positive", out.where);
  if (const Json* betas = values.find("betas"); betas && *betas != "auto") {
    if (!betas->is_array() || betas->size() != 2)
      throw Error("{}: optimizer.params.betas must be a list of two numbers, found {}", out.where,
                  betas->dump().substr(0, 40));
    for (const auto& [at, target] : {std::pair(0, &out.beta1), std::pair(1, &out.beta2)}) {
      const Json& beta = (*betas)[static_cast<std::size_t>(at)];
      if (beta != "auto") *target = json_as<double>(beta, "optimizer.params.betas", out.where);
      if (*target && !(**target >= 0 && **target < 1))
        throw Error("{}: optimizer.params.betas contains {}, it must be in [0, 1)", out.where, **target);
    }
  }
  const bool adam_w_mode = values.get<bool>("adam_w_mode").value_or(true);
  out.decoupled_weight_decay = name == "adamw" || adam_w_mode;  // as in DeepSpeed's engine
  values.know({"torch_adam", "fused", "foreach", "set_grad_none", "bias_correction"});
  if (values.get<bool>("bias_correction") == false)
    out.ignored.push_back("optimizer.params.bias_correction (always on)");
  values.decline({"amsgrad", "maximize"}, "", out.ignored);
  values.name_unknown(out.ignored);
}

MODERNGPT2_INLINE void read_deepspeed_scheduler(const Json& json, DeepSpeedConfig& out) {
  DeepSpeedSection section(json, "scheduler.", out.where);
  const auto type = section.get<std::string>("type");
  if (!type) throw Error("{}: scheduler.type is missing", out.where);
  for (const std::string_view name : deepspeed_schedule_names)
    if (lower_case(*type) == lower_case(std::string(name))) out.scheduler = name;
  if (out.scheduler.empty())
    throw Error("{}: scheduler.type is {}, supported are {}", out.where, excerpt(*type),
                fmt::join(deepspeed_schedule_names, ", "));
  const Json* params = section.find("params");
  section.name_unknown(out.ignored);
  if (!params) return;
  const bool cosine = out.scheduler == "WarmupCosineLR";
  DeepSpeedSection values(*params, "scheduler.params.", out.where);
  out.warmup_num_steps = values.get<std::int64_t>("warmup_num_steps");
  if (out.warmup_num_steps && *out.warmup_num_steps < 0)
    throw Error("{}: scheduler.params.warmup_num_steps is negative ({})", out.where, *out.warmup_num_steps);
  if (out.scheduler != "WarmupLR") out.total_num_steps = values.positive("total_num_steps");
  if (!cosine) out.warmup_max_lr = values.not_negative("warmup_max_lr");
  const auto keep = [&](const char* key, const auto& value) {
    if (value) out.scheduler_kwargs[key] = *value;
  };
  keep("warmup_type", values.get<std::string>("warmup_type"));
  if (!cosine) keep("warmup_min_lr", values.not_negative("warmup_min_lr"));
  if (cosine) keep("warmup_min_ratio", values.not_negative("warmup_min_ratio"));
  if (cosine) keep("cos_min_ratio", values.not_negative("cos_min_ratio"));
  if (values.get<std::int64_t>("last_batch_iteration").value_or(-1) != -1)
    out.ignored.push_back("scheduler.params.last_batch_iteration (use --resume_from_checkpoint)");
  values.name_unknown(out.ignored);
  (void)DeepSpeedSchedule(out.scheduler, out.scheduler_kwargs, 1, 1, 1);  // throws for an unknown warmup_type
}

MODERNGPT2_INLINE void read_deepspeed_precision(DeepSpeedSection& root, DeepSpeedConfig& out) {
  if (const Json* json = root.find("fp16")) {
    DeepSpeedSection fp16(*json, "fp16.", out.where);
    out.fp16 = fp16.get<bool>("enabled");
    describe(out.loss_scaling, [&]<class T>(T& member, const Field& field) {
      if constexpr (std::is_same_v<T, double>)
        member = fp16.not_negative(field.name).value_or(member);
      else if (field.at_least)
        member = T(fp16.positive(field.name).value_or(member));
      else
        member = fp16.get<T>(field.name).value_or(member);
    });
    fp16.know({"fused_mode"});
    fp16.decline({"auto_cast", "fp16_master_weights_and_grads"}, "weights and sums are kept in fp32", out.ignored);
    fp16.name_unknown(out.ignored);
  }
  const Json *bf16 = root.find("bf16"), *old = root.find("bfloat16");
  if (bf16 && old) throw Error("{}: bf16 and bfloat16 are the same: give one of them", out.where);
  if (const Json* json = bf16 ? bf16 : old) {
    DeepSpeedSection section(*json, bf16 ? "bf16." : "bfloat16.", out.where);
    out.bf16 = section.get<bool>("enabled");
    section.know({"immediate_grad_update", "check_grad_overflow"});
    std::vector<std::string> scaling;  // copied from fp16 in many files
    describe(out.loss_scaling, [&](const auto&, const Field& field) {
      if (section.find(field.name)) scaling.push_back(field.name);
    });
    if (!scaling.empty())
      out.ignored.push_back(fmt::format("{} of bf16 (bf16 has no loss scale)", fmt::join(scaling, ", ")));
    section.decline({"bf16_master_weights_and_grads", "bf16_optimizer_states"}, "they are kept in fp32", out.ignored);
    section.name_unknown(out.ignored);
  }
  if (out.fp16 == true && out.bf16 == true) throw Error("{}: fp16 and bf16 are both enabled: choose one", out.where);
}

MODERNGPT2_INLINE void read_deepspeed_zero(const Json& json, DeepSpeedConfig& out) {
  if (json.is_boolean()) {
    out.zero.stage = json.get<bool>() ? 1 : 0;
    return;
  }
  DeepSpeedSection section(json, "zero_optimization.", out.where);
  DeepSpeedConfig::Zero& zero = out.zero;
  if (const auto stage = section.get<std::int64_t>("stage")) {
    if (*stage < 0 || *stage > 3)
      throw Error("{}: zero_optimization.stage is {}, it is 0, 1, 2 or 3", out.where, *stage);
    zero.stage = static_cast<int>(*stage);
  }
  zero.reduce_bucket_size = section.count("reduce_bucket_size");
  if (zero.reduce_bucket_size == 0) zero.reduce_bucket_size = 1;  // each gradient by itself: the minimum, one block
  // In Transformers, "auto" is n_embd squared, which is less than a block.
  if (const Json* size = section.find("reduce_bucket_size"); size && *size == "auto") zero.reduce_bucket_size = 1;
  const auto gathered = section.count("allgather_bucket_size");
  if (gathered && std::max<std::int64_t>(*gathered, 1) != zero.reduce_bucket_size)
    out.ignored.push_back("zero_optimization.allgather_bucket_size (reduce_bucket_size applies to both)");
  section.fix("overlap_comm", true, "exchanges always overlap the backward pass", out.ignored);
  section.fix("round_robin_gradients", false, "each process has a slice of every bucket", out.ignored);
  section.fix("contiguous_gradients", true, "gradients always are", out.ignored);
  section.fix("reduce_scatter", true, "stages 1 and 2 always do", out.ignored);
  section.fix("allgather_partitions", true, "weights always are gathered", out.ignored);
  section.fix("load_from_fp32_weights", true, "they always are", out.ignored);
  section.fix("legacy_stage1", false, "stage 1 reduce-scatters", out.ignored);
  // DeepSpeed accepts its fields for stage 3 with and without the prefix stage3_.
  for (const char* key : {"stage3_gather_16bit_weights_on_model_save", "gather_16bit_weights_on_model_save",
                          "stage3_gather_fp16_weights_on_model_save"})
    section.fix(key, true, "whole weights are always written", out.ignored);
  const bool shards_weights = zero.stage == 3;
  const char* moved = shards_weights ? "half blocks are gathered, one ahead; norms and biases are replicated" : "";
  if (shards_weights) section.decline({"reduce_bucket_size"}, moved, out.ignored);
  section.decline(
      {"stage3_prefetch_bucket_size", "prefetch_bucket_size", "stage3_param_persistence_threshold",
       "param_persistence_threshold", "stage3_model_persistence_threshold", "model_persistence_threshold",
       "stage3_max_live_parameters", "max_live_parameters", "stage3_max_reuse_distance", "max_reuse_distance",
       "stage3_module_granularity_threshold", "module_granularity_threshold", "stage3_use_all_reduce_for_fetch_params",
       "use_all_reduce_for_fetch_params", "stage3_allgather_sequential", "allgather_sequential", "sub_group_size"},
      moved, out.ignored);
  // Accepted with any value: checkpoints fit any number of processes, no parameter is unused, and PyTorch internals
  // have no counterpart.
  section.know({"elastic_checkpoint", "ignore_unused_parameters", "memory_efficient_linear",
                "use_multi_rank_bucket_allreduce", "override_module_apply", "log_trace_cache_warnings",
                "enable_sanity_checks", "pipeline_loading_checkpoint", "leaf_module",
                "stage3_partition_stream_chunk_size", "partition_stream_chunk_size",
                "save_muon_momentum_buffer_in_memory"});
  for (const char* key : {"offload_optimizer", "offload_param"}) {
    const Json* offload = section.find(key);
    if (!offload) continue;
    DeepSpeedSection values(*offload, std::string("zero_optimization.") + key + ".", out.where);
    values.decline({"device"}, "nothing is offloaded", out.ignored);
  }
  section.decline({"cpu_offload", "cpu_offload_param", "cpu_offload_use_pin_memory"}, "nothing is offloaded",
                  out.ignored);
  section.decline_unless("zero_hpz_partition_size", 1, out.ignored);
  section.decline_unless("mics_shard_size", -1, out.ignored);
  section.decline({"zero_quantized_weights", "zero_quantized_nontrainable_weights", "zero_quantized_gradients",
                   "zeropp_loco_param", "mics_hierarchical_params_gather", "zenflow"},
                  "", out.ignored);
  section.name_unknown(out.ignored);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE DeepSpeedConfig parse_deepspeed_config(const Json& json, const std::string& where) {
  DeepSpeedConfig out;
  out.where = where;
  detail::DeepSpeedSection root(json, "", out.where);
  root.read(out);
  if (const Json* optimizer = root.find("optimizer")) detail::read_deepspeed_optimizer(*optimizer, out);
  if (const Json* scheduler = root.find("scheduler")) detail::read_deepspeed_scheduler(*scheduler, out);
  detail::read_deepspeed_precision(root, out);
  if (const Json* zero = root.find("zero_optimization")) detail::read_deepspeed_zero(*zero, out);
  if (const Json* types = root.find("data_types")) {
    detail::DeepSpeedSection section(*types, "data_types.", out.where);
    const auto sums = section.get<std::string>("grad_accum_dtype");
    if (sums && *sums != "fp32") out.ignored.push_back("data_types.grad_accum_dtype (gradients are summed in fp32)");
    section.name_unknown(out.ignored);
  }
  root.know({"zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "seq_parallel_comm_data_type",
             "vocabulary_size", "timers", "nebula", "data_parallel_size"});
  if (const auto type = root.get<std::string>("communication_data_type"); type && *type != "fp32" && *type != "none")
    out.ignored.push_back("communication_data_type (gradients are exchanged in fp32)");
  root.decline({"dataloader_drop_last"}, "the last, smaller batch is used", out.ignored);
  root.decline({"compile", "graph_harvesting"}, "this program is compiled", out.ignored);
  root.decline({"torch_autocast"}, "use --precision", out.ignored);
  root.decline_unless("sequence_parallel_size", 1, out.ignored);
  root.decline({"steps_per_print"}, "use --logging_steps", out.ignored);
  root.decline({"activation_checkpointing"}, "use --gradient_checkpointing", out.ignored);
  root.decline({"tensorboard", "wandb", "csv_monitor", "comet"}, "use --report_to", out.ignored);
  root.decline({"wall_clock_breakdown",
                "dump_state",
                "memory_breakdown",
                "flops_profiler",
                "comms_logger",
                "elasticity",
                "autotuning",
                "aio",
                "checkpoint",
                "seq_parallel_communication_data_type",
                "tensor_parallel",
                "eigenvalue",
                "quantize_training",
                "weight_quantization",
                "monitor_config",
                "use_node_local_storage",
                "prescale_gradients",
                "sparse_gradients",
                "sparse_attention",
                "amp",
                "data_efficiency",
                "curriculum_learning",
                "progressive_layer_drop",
                "compression_training",
                "hybrid_engine",
                "pipeline",
                "disable_allgather"},
               "", out.ignored);
  if (root.get<double>("gradient_predivide_factor").value_or(1) != 1)
    out.ignored.push_back("gradient_predivide_factor");
  root.name_unknown(out.ignored);
  return out;
}

MODERNGPT2_INLINE DeepSpeedConfig read_deepspeed_config(const std::filesystem::path& path) {
  return parse_deepspeed_config(read_commented_json_file(path), path.string());
}

}  // namespace moderngpt2

#endif
