#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/host_name.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Hashes of one rank's results of a step. Steps are deterministic: a repetition gives the same hashes.
struct StepFingerprint {
  std::uint64_t computed = 0;  ///< loss of this rank's passes and, with several ranks, its gradients before reduction
  std::uint64_t reduced = 0;   ///< gradients that this rank updates weights with, and their squares
  std::uint64_t totals = 0;    ///< loss and gradient norm of all ranks

  bool operator==(const StepFingerprint&) const = default;
};

/// Detects hardware errors: repeats steps before they are applied and compares the results bit for bit. All ranks reach
/// the same result. Settings and hooks must outlive it. Threads: one at a time.
class StepVerifier {
 public:
  StepVerifier(const TrainingSettings& settings, const TrainingHooks& hooks, distributed::CommunicatorBase& ranks)
      : settings_(settings), hooks_(hooks), ranks_(ranks) {
    for (Result& result : results_) result.ranks.resize(std::size_t(ranks.size()));
  }

  bool is_on() const { return settings_.verify_steps > 0; }
  /// Whether `step` is computed twice regardless of its result.
  bool is_due(std::int64_t step) const { return is_on() && step % settings_.verify_steps == 0; }

  /// Verifies a step that has been computed and not applied: computes it again if it is due, or if the result is
  /// `suspicious` on any rank. `fingerprint()` returns this rank's StepFingerprint; `compute()` repeats the step and
  /// sets the report's results. If both results differ: throws a HardwareError (several ranks: a CommonFailure), or
  /// leaves a result that two of three computations agree on, by TrainingSettings::on_transient_error.
  template <class Fingerprint, class Compute>
  void verify(StepReport& report, bool suspicious, Fingerprint&& fingerprint, Compute&& compute) {
    if (!is_on()) return;
    report.transient_errors = errors_;
    if (!is_due(report.step) && !any(suspicious)) return;
    auto& [first, second, third] = results_;
    keep(first, report, fingerprint());
    compute();
    keep(second, report, fingerprint());
    if (!any(first != second)) {
      report.verified = true;
      return;
    }
    report.transient_errors = ++errors_;
    const std::string what = difference(report.step);
    if (settings_.on_transient_error == TransientErrorAction::stop || errors_ > 1) stop(what);
    compute();
    keep(third, report, fingerprint());
    if (any(third != first && third != second)) stop(what + ", and a third computation gave yet another result");
    if (hooks_.say)
      hooks_.say(
          fmt::format("warning: {}: the run continues with the result of two of three computations; another "
                      "such step ends it",
                      what));
  }

 private:
  /// Result of one computation of a step, on all ranks.
  struct Result {
    std::vector<StepFingerprint> ranks;
    double loss = 0, grad_norm = 0;

    bool operator!=(const Result& other) const { return ranks != other.ranks; }
  };

  /// Whether `own` is true on any rank.
  bool any(bool own) { return max_over_ranks(ranks_, own, "whether a step is computed again") > 0; }

  void keep(Result& result, const StepReport& report, const StepFingerprint& own) {
    result.loss = report.loss, result.grad_norm = report.grad_norm;
    result.ranks[std::size_t(ranks_.rank())] = own;
    if (ranks_.size() > 1) ranks_.all_gather(result.ranks.data(), 1, "hashes of the step").wait();
  }

  /// Describes which rank differs between the first two results, and how. Call it on all ranks.
  std::string difference(std::int64_t step);
  /// "rank 1 on HOST" for each rank whose `member` differs; "" if there is none.
  std::string ranks_that_differ(std::uint64_t StepFingerprint::*member,
                                const std::vector<std::array<char, 64>>& hosts) const;
  [[noreturn]] void stop(const std::string& what) const;

  const TrainingSettings& settings_;
  const TrainingHooks& hooks_;
  distributed::CommunicatorBase& ranks_;
  std::array<Result, 3> results_;
  std::int64_t errors_ = 0;  // steps whose first two results differ
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::string StepVerifier::ranks_that_differ(std::uint64_t StepFingerprint::*member,
                                                              const std::vector<std::array<char, 64>>& hosts) const {
  constexpr int most = 4;
  std::string text;
  int count = 0;
  for (std::size_t r = 0; r < hosts.size(); ++r) {
    if (results_[0].ranks[r].*member == results_[1].ranks[r].*member || ++count > most) continue;
    text += fmt::format("{}rank {} on {}", count > 1 ? ", " : "", r, hosts[r].data());
  }
  return count > most ? fmt::format("{} and {} more", text, count - most) : text;
}

MODERNGPT2_INLINE std::string StepVerifier::difference(std::int64_t step) {
  std::vector<std::array<char, 64>> hosts(std::size_t(ranks_.size()));
  std::array<char, 64>& own = hosts[std::size_t(ranks_.rank())];
  own = {};
  host_name().copy(own.data(), own.size() - 1);
  if (ranks_.size() > 1) ranks_.all_gather(hosts.data(), 1, "names of the machines").wait();
  const auto& [first, second, third] = results_;
  const auto number = [](double x) { return std::isnan(x) ? "nan" : fmt::format("{:.9g}", x); };  // NaN without a sign
  const auto text = [&](const Result& result) {
    return fmt::format("loss {} and gradient norm {}", number(result.loss), number(result.grad_norm));
  };
  std::string results = text(first);
  results += text(second) == results ? ", other gradients" : ", then " + text(second);
  if (ranks_.size() == 1)
    return fmt::format("transient: this machine computed step {} differently twice ({}; host {})", step, results,
                       own.data());
  if (const std::string who = ranks_that_differ(&StepFingerprint::computed, hosts); !who.empty())
    return fmt::format("transient: {} computed step {} differently twice ({})", who, step, results);
  std::string who = ranks_that_differ(&StepFingerprint::reduced, hosts), advice;
  if (who.empty())
    who = ranks_that_differ(&StepFingerprint::totals, hosts);
  else if (!is_due(step))
    advice = fmt::format("; {} 1 shows whether a rank or the network is at fault", Setting{"verify_steps"});
  return fmt::format("transient: {} received different sums in step {} twice ({}{})", who.empty() ? "some ranks" : who,
                     step, results, advice);
}

MODERNGPT2_INLINE void StepVerifier::stop(const std::string& what) const {
  fail_together(ranks_, HardwareError("{}: the step was not applied and nothing was saved. Test that machine's "
                                      "processor, GPU and memory, and continue on another with {} latest",
                                      what, Setting{"resume_from_checkpoint"}));
}

}  // namespace moderngpt2

#endif
