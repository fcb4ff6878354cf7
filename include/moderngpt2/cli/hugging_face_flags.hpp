#pragma once

#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/cli/foreign_flag.hpp"
#include "moderngpt2/cli/option_text.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

namespace detail {

inline constexpr auto toggle = ForeignFlag::Form::toggle, value = ForeignFlag::Form::value,
                      list = ForeignFlag::Form::list;

}  // namespace detail

/// Flags of Hugging Face's TrainingArguments (Transformers 4.40 to 5) and of its example scripts that have no effect in
/// `train`. Flags with an effect are options or their aliases. docs/hugging_face_flags.md contains this table.
inline constexpr auto hugging_face_flags = [] {
  using detail::toggle, detail::value, detail::list;
  return std::to_array<ForeignFlag>({
      // Trainer: progress and logs
      {"disable_tqdm", toggle, "*", "the progress line goes to standard error: 2>/dev/null hides it"},
      {"log_level", value, "*", "rank 0 prints everything"},
      {"log_level_replica", value, "*", "rank 0 prints everything"},
      {"log_on_each_node", toggle, "*", "rank 0 prints everything"},
      {"logging_dir", value, "*", "the TensorBoard log is in OUTPUT_DIR/runs/NAME; --wandb_run_name sets NAME"},
      {"logging_nan_inf_filter", toggle, "*", "steps that are not finite are skipped and counted"},
      {"include_num_input_tokens_seen", value, "*", "trainer_state.json always has the number of tokens"},
      {"include_tokens_per_second", toggle, "*", "metrics.jsonl always has the tokens per second"},
      {"skip_memory_metrics", toggle, "*", "the planned memory and its peak are always printed"},
      {"debug", value, "*", "steps that are not finite are always reported"},
      {"project", value, "*", "trackio is not supported; --wandb_project names the wandb project"},
      {"trackio_space_id", value, "*", "trackio is not supported; see --report_to"},
      {"trackio_bucket_id", value, "*", "trackio is not supported; see --report_to"},
      {"trackio_static_space_id", value, "*", "trackio is not supported; see --report_to"},
      // Trainer: files and the Hub
      {"overwrite_output_dir", toggle, "*", "a run without --resume_from_checkpoint always starts anew"},
      {"save_safetensors", toggle, "True", "weights are always saved as safetensors",
       "pickles are not written. Leave the flag out"},
      {"save_on_each_node", toggle, "False", "rank 0 writes the checkpoint",
       "only rank 0 writes checkpoints. Use an --output_dir that all nodes share"},
      {"enable_jit_checkpoint", toggle, "*", "a checkpoint is always saved at SIGTERM"},
      {"restore_callback_states_from_checkpoint", toggle, "*", "Python callbacks are not supported"},
      {"ignore_data_skip", toggle, "False", "a resumed run continues at its position in the data",
       "a resumed run continues at its position in the data. Start a new run from the weights with --model_path"},
      {"push_to_hub", toggle, "False", "nothing is uploaded",
       "nothing is uploaded. Upload --output_dir after the run, with `hf upload`"},
      {"hub_model_id", value, "*", "nothing is uploaded"},
      {"hub_strategy", value, "*", "nothing is uploaded"},
      {"hub_token", value, "*", "nothing is uploaded"},
      {"hub_private_repo", toggle, "*", "nothing is uploaded"},
      {"hub_always_push", toggle, "*", "nothing is uploaded"},
      {"hub_revision", value, "*", "nothing is uploaded"},
      {"push_to_hub_model_id", value, "*", "nothing is uploaded"},
      {"push_to_hub_organization", value, "*", "nothing is uploaded"},
      {"push_to_hub_token", value, "*", "nothing is uploaded"},
      // Trainer: data
      {"remove_unused_columns", toggle, "*", "only the columns that the task needs are read"},
      {"dataloader_pin_memory", toggle, "*", "ignored: batches are read into buffers that are reused"},
      {"dataloader_prefetch_factor", value, "*",
       "ignored: the next step's batch is prefetched (see --dataloader_num_workers)"},
      {"dataloader_persistent_workers", toggle, "*", "one thread reads batches during the whole run"},
      {"dataloader_multiprocessing_context", value, "*", "batches are read by a thread, not by processes"},
      {"dataloader_in_order", toggle, "*", "batches always come in the order that --seed determines"},
      {"dataloader_drop_last", toggle, "False", "the last batch of an epoch is used even if it is smaller",
       "the last batch of an epoch is used even if it is smaller. Leave the flag out"},
      {"train_sampling_strategy", value, "random", "each epoch has its own random order",
       "each epoch has its own random order. Leave the flag out"},
      {"group_by_length", toggle, "False", "each epoch has its own random order",
       "grouping by length is not supported; rows are padded to the longest row of their batch. Leave the flag out"},
      {"length_column_name", value, "*", "examples are not grouped by length"},
      {"label_names", list, "", "", "labels are read from one column. Name it with --label_column"},
      {"data_seed", value, "", "", "--seed also determines the order of the data. Use that flag"},
      {"split_batches", toggle, "False", "--per_device_train_batch_size is the batch size of each process",
       "--per_device_train_batch_size is the batch size of each process. Divide the global batch size by the "
       "processes"},
      {"dispatch_batches", toggle, "*", "each process reads its own part of each batch"},
      // Trainer: optimizer and loss
      {"optim", value,
       "adamw|adamw_torch|adamw_torch_fused|adamw_hf|adamw_torch_xla|adamw_torch_npu_fused|adamw_apex_fused",
       "AdamW is the optimizer, in one fused pass",
       "only AdamW is built in. Leave the flag out, or add an optimizer in C++ (docs/api/own_parts.md)"},
      {"optim_args", value, "", "",
       "the hyperparameters of AdamW are --adam_beta1, --adam_beta2, --adam_epsilon and --weight_decay. Use these"},
      {"optim_target_modules", list, "", "", "AdamW updates all weights. Leave the flag out"},
      {"adafactor", toggle, "False", "AdamW is the optimizer", "only AdamW is built in. Leave the flag out"},
      {"average_tokens_across_devices", toggle, "True", "the loss is always the mean over the labels of all devices",
       "the loss is always the mean over the labels of all devices. Leave the flag out"},
      {"neftune_noise_alpha", value, "0", "no noise is added to embeddings",
       "no noise is added to embeddings. Leave the flag out"},
      // Trainer: speed and memory
      {"torch_compile", toggle, "*", "ignored: the program is already compiled"},
      {"torch_compile_backend", value, "*", "ignored: the program is already compiled"},
      {"torch_compile_mode", value, "*", "ignored: the program is already compiled"},
      {"torchdynamo", value, "*", "ignored: the program is already compiled"},
      {"jit_mode_eval", toggle, "*", "ignored: the program is already compiled"},
      {"use_ipex", toggle, "*", "ignored: the program is already compiled"},
      {"use_liger_kernel", toggle, "*", "kernels are already fused"},
      {"liger_kernel_config", value, "*", "kernels are already fused"},
      {"gradient_checkpointing_kwargs", value, "*", "--gradient_checkpointing has no options"},
      {"activation_checkpointing_kwargs", value, "*", "--gradient_checkpointing has no options"},
      {"torch_empty_cache_steps", value, "*", "all memory is allocated before the first step"},
      {"use_cache", toggle, "*", "training keeps no key-value cache"},
      {"auto_find_batch_size", toggle, "False", "the batch size is --per_device_train_batch_size",
       "the batch size is fixed. --dry_run prints the memory: choose --per_device_train_batch_size and "
       "--gradient_accumulation_steps"},
      {"fp16_opt_level", value, "*", "--fp16 and --bf16 have one implementation each"},
      {"fp16_backend", value, "*", "--fp16 and --bf16 have one implementation each"},
      {"half_precision_backend", value, "*", "--fp16 and --bf16 have one implementation each"},
      {"full_determinism", toggle, "*", "runs are always deterministic for a fixed number of threads and processes"},
      // Trainer: evaluation
      {"prediction_loss_only", toggle, "*", "evaluation always computes the loss and the scores of a task"},
      {"eval_accumulation_steps", value, "*", "scores are always accumulated batch by batch"},
      {"eval_do_concat_batches", toggle, "*", "scores are always accumulated batch by batch"},
      {"eval_use_gather_object", toggle, "*", "scores are always accumulated batch by batch"},
      {"batch_eval_metrics", toggle, "*", "scores are always accumulated batch by batch"},
      {"use_legacy_prediction_loop", toggle, "*", "scores are always accumulated batch by batch"},
      {"include_for_metrics", list, "*", "the scores of a task need no additional inputs"},
      {"include_inputs_for_metrics", toggle, "*", "the scores of a task need no additional inputs"},
      {"past_index", value, "-1", "the model has no memory between batches",
       "the model has no memory between batches. Leave the flag out"},
      {"do_predict", toggle, "False", "--eval_only --predictions_file FILE writes predictions",
       "--eval_only --predictions_file FILE writes predictions. Use these"},
      // Trainer: devices and processes
      {"ddp_find_unused_parameters", toggle, "*", "gradients are exchanged without PyTorch's DDP"},
      {"ddp_static_graph", toggle, "*", "gradients are exchanged without PyTorch's DDP"},
      {"ddp_broadcast_buffers", toggle, "*", "gradients are exchanged without PyTorch's DDP"},
      {"ddp_bucket_cap_mb", value, "*", "buckets hold about 25 MB; reduce_bucket_size of a DeepSpeed config sets them"},
      {"ddp_backend", value, "*", "processes communicate by MPI, GPUs by NCCL"},
      {"fsdp", list, "|False", "--zero_stage 3 shards weights, gradients and optimizer state",
       "--zero_stage shards a run. Use 3 for full_shard, 2 for shard_grad_op"},
      {"fsdp_config", value, "", "", "--zero_stage 3 shards weights, gradients and optimizer state. Use that flag"},
      {"fsdp_min_num_params", value, "", "",
       "--zero_stage 3 shards weights, gradients and optimizer state. Use that flag"},
      {"fsdp_transformer_layer_cls_to_wrap", value, "", "",
       "--zero_stage 3 shards weights, gradients and optimizer state. Use that flag"},
      {"sharded_ddp", value, "", "", "--zero_stage 3 shards weights, gradients and optimizer state. Use that flag"},
      {"parallelism_config", value, "", "",
       "--zero_stage 3 shards weights, gradients and optimizer state. Use that flag"},
      {"accelerator_config", value, "", "", "not supported. Use --accelerate_config for a YAML file of Accelerate"},
      {"use_mps_device", toggle, "False", "--device selects the device", "MPS is not supported. Use --device cpu"},
      {"tpu_num_cores", value, "*", "--device selects the device: cpu or cuda"},
      {"tpu_metrics_debug", toggle, "*", "--device selects the device: cpu or cuda"},
      {"xpu_backend", value, "*", "--device selects the device: cpu or cuda"},
      {"mp_parameters", value, "*", "--device selects the device: cpu or cuda"},
      {"ray_scope", value, "*", "--device selects the device: cpu or cuda"},
      // Example scripts: model
      {"model_type", value, "moderngpt2|gemma2", "the model type is read from config.json",
       "new models are of type moderngpt2. Leave the flag out"},
      {"config_overrides", value, "", "", "fields of the config have their own flags, such as --n_layer 12. Use these"},
      {"dtype", value, "auto|float32", "weights are converted to fp32 when they are read",
       "--bf16 and --fp16 set the precision. Use one of these"},
      {"torch_dtype", value, "auto|float32", "weights are converted to fp32 when they are read",
       "--bf16 and --fp16 set the precision. Use one of these"},
      {"low_cpu_mem_usage", toggle, "*", "weights are always read directly into place"},
      {"use_fast_tokenizer", toggle, "*", "tokenizer.json is always used"},
      {"cache_dir", value, "*", "nothing is downloaded, and no code from a model is run"},
      {"model_revision", value, "*", "nothing is downloaded, and no code from a model is run"},
      {"token", value, "*", "nothing is downloaded, and no code from a model is run"},
      {"use_auth_token", toggle, "*", "nothing is downloaded, and no code from a model is run"},
      {"trust_remote_code", toggle, "*", "nothing is downloaded, and no code from a model is run"},
      // Example scripts: data
      {"dataset_name", value, "", "",
       "nothing is downloaded. Save the data set (docs/recipes.md) and pass its files with --input"},
      {"dataset_config_name", value, "", "",
       "nothing is downloaded. Save the data set (docs/recipes.md) and pass its files with --input"},
      {"dataset_config", value, "", "",
       "nothing is downloaded. Save the data set (docs/recipes.md) and pass its files with --input"},
      {"task_name", value, "", "",
       "nothing is downloaded. Save the data set (docs/recipes.md) and pass its files with --input"},
      {"max_train_samples", value, "", "", "--max_input_lines_total N limits the input. Use that flag"},
      {"max_eval_samples", value, "", "",
       "--streaming_eval_samples N limits the held-out evaluation set. Use that flag"},
      {"preprocessing_num_workers", value, "*", "text is encoded by --threads threads"},
      {"overwrite_cache", toggle, "*", "changed text is always packed again"},
      {"keep_linebreaks", toggle, "*", "documents end with the eos token; --txt_document says what a document is"},
      {"pad_to_max_length", toggle, "*", "rows are padded to the longest row of their batch; the loss ignores padding"},
  });
}();

/// Table of the flags in Markdown, as in docs/hugging_face_flags.md.
std::string hugging_face_flags_markdown();

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_INLINE std::string hugging_face_flags_markdown() {
  std::string text = "| flag | without effect | otherwise an error |\n| --- | --- | --- |\n";
  for (const ForeignFlag& flag : hugging_face_flags) {
    const std::string_view accepted = flag.accepted;
    std::string values = accepted.starts_with('|') ? "\"\"" : "";
    for (const char c : accepted == "*" ? std::string_view() : accepted)
      values += c == '|' ? std::string("`, `") : std::string(1, c);
    if (!values.empty()) values = "`" + values + "`: ";
    text += fmt::format("| `{}` | {}{} | {} |\n", flag.name, values, detail::markdown_prose(flag.note),
                        detail::markdown_prose(flag.refusal));
  }
  return text;
}

}  // namespace moderngpt2

#endif
