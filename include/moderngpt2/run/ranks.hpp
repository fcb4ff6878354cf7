#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/request_fields.hpp"
#include "moderngpt2/training/state.hpp"

// Runs of several processes: preparation on each rank, comparison of their inputs, output of rank 0 only.
namespace moderngpt2 {

/// Hooks of a rank: rank 0 reports everything, the others only poll signals and record times.
inline TrainingHooks hooks_of_rank(const TrainingHooks& hooks, const distributed::CommunicatorBase& ranks) {
  if (ranks.rank() == 0) return hooks;
  return {.say = [](const std::string&) {}, .stop = hooks.stop, .on_span = hooks.on_span};
}

/// Calls f() and returns its status. After a failure of all ranks, one of them reports it through hooks.complain and
/// all return the same status; an error on one rank alone ends the job.
template <class F>
int status_on_ranks(distributed::CommunicatorBase& ranks, const TrainingHooks& hooks, F&& f) {
  return distributed::end_job_on_error(ranks, [&] {
    int status = 0;
    try {
      return f();
    } catch (const distributed::CommonFailure& failure) {
      if (failure.is_reported_here) {
        status = failure.status;
        if (hooks.complain) hooks.complain(failure.what());
      }
    }
    return int(max_over_ranks(ranks, status, "the end"));
  });
}

namespace detail {

/// Adds the sizes of a data set and up to 16 of its blocks to a hash.
inline void add_data(FileHash& hash, const BlockDataset& data) {
  const auto add = [&](const auto* values, std::size_t count) { hash.add(std::as_bytes(std::span(values, count))); };
  const std::int64_t sizes[]{data.size(), data.block_size()};
  add(sizes, 2);
  constexpr std::int64_t looks = 16;
  std::vector<std::int32_t> ids(std::size_t(data.block_size()));
  std::vector<std::int8_t> mask(ids.size());
  for (std::int64_t i = 0; i < std::min(looks, data.size()); ++i) {
    data.get(data.size() * i / looks, ids, mask);
    add(ids.data(), ids.size());
    add(mask.data(), mask.size());
  }
}

/// Adds the sizes of a set of examples and up to 16 of them to a hash.
template <class Store>
void add_data(FileHash& hash, const ExampleRange<Store>& data) {
  const auto add = [&](const auto* values, std::size_t count) { hash.add(std::as_bytes(std::span(values, count))); };
  const std::int64_t sizes[]{data.size(), data.block_size(), data.sequences()};
  add(sizes, 3);
  if (data.size() == 0) return;
  const auto divisors = data.divisors();  // number of labels
  add(&divisors, 1);
  constexpr std::int64_t looks = 16;
  for (std::int64_t i = 0; i < std::min(looks, data.size()); ++i)
    for (int k = 0; k < data.sequences(); ++k) {
      const std::span<const int> row = data.store().rows[data.place(data.size() * i / looks) * data.sequences() + k];
      add(row.data(), row.size());
    }
}

inline std::uint64_t hash_of(std::string_view text) {
  FileHash hash;
  hash.add(std::as_bytes(std::span(text)));
  return hash.value();
}

/// Returns fingerprints of the inputs that must be the same on all ranks.
template <class Task>
std::vector<distributed::Fingerprint> fingerprints(const TrainingRequest& request, const PreparedRun<Task>& run) {
  const TrainingSettings& s = request.settings;
  FileHash tokenizer, data;
  for (const auto& [name, content] : run.companions.tokenizer.files) tokenizer.add(std::as_bytes(std::span(content)));
  if (run.data) add_data(data, run.data->train), add_data(data, run.data->eval);
  return {{"command line", hash_of(common_values(request))},
          {"config.json", hash_of(config_to_json(run.companions.config).dump())},
          {"tokenizer", tokenizer.value()},
          {"data set", data.value()},
          {"checkpoint", hash_of(run.checkpoint ? to_json(run.checkpoint->state, s).dump() : "")}};
}

}  // namespace detail

/// Calls prepare(request) on rank 0, which packs the text of the request if any, then on the others. Throws an Error if
/// the ranks' fingerprints differ.
template <class Prepare>
auto prepare_on_ranks(const TrainingRequest& request, distributed::CommunicatorBase& ranks, Prepare&& prepare) {
  const bool is_first = ranks.rank() == 0;
  decltype(prepare(request)) run;
  std::int64_t reason = 0;
  const double timeout = ranks.timeout_seconds();
  if (request.text) ranks.set_timeout(1e9);  // packing has no time limit
  run_or_fail_together(ranks, "preparing the run", [&] {
    try {
      if (is_first) run = prepare(request);
    } catch (const PackingStopped& stopped) {
      reason = stopped.reason;
    }
  });
  reason = max_over_ranks(ranks, reason, "preparing the run");
  if (reason) throw PackingStopped{int(reason)};
  ranks.set_timeout(timeout);
  const std::string checkpoint =
      broadcast_text(ranks, run.checkpoint ? run.checkpoint->folder.string() : "", "the checkpoint's name");
  run_or_fail_together(ranks, "preparing the run", [&] {
    if (is_first) return;
    TrainingRequest own = request;
    own.resume_from_checkpoint.reset();
    if (!checkpoint.empty()) own.resume_from_checkpoint = checkpoint;
    own.checkpoint_is_verified = true;
    run = prepare(own);
  });
  if (ranks.size() > 1)
    require_same(ranks, detail::fingerprints(request, run), "all must see the same files and get the same flags");
  return run;
}

}  // namespace moderngpt2
