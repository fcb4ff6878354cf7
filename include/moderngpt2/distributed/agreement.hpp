#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <iterator>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// Thrown by all ranks together, so that none waits for another: what went wrong on at least one of them.
class CommonFailure : public Error {
 public:
  CommonFailure(const std::string& message, bool reported_here, int exit_status = 1)
      : Error(message), tells(reported_here), status(exit_status) {}

  bool tells;  ///< true on one rank: the others need not say it again
  int status;  ///< of the program, where `tells`
};

/// The largest of the ranks' numbers.
inline std::int64_t max_over_ranks(CommunicatorBase& ranks, std::int64_t number, const char* what) {
  if (ranks.size() > 1) ranks.all_reduce(&number, 1, ReduceOp::max, what).wait();
  return number;
}

/// The sums over the ranks of the 64-bit integers that a struct is made of.
template <class Struct>
Struct sum_over_ranks(CommunicatorBase& ranks, Struct own, const char* what) {
  static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) % sizeof(std::int64_t) == 0);
  if (ranks.size() == 1) return own;
  std::int64_t numbers[sizeof(Struct) / sizeof(std::int64_t)];
  std::memcpy(numbers, &own, sizeof own);
  ranks.all_reduce(numbers, std::int64_t(std::size(numbers)), ReduceOp::sum, what).wait();
  std::memcpy(&own, numbers, sizeof own);
  return own;
}

/// Runs f() on every rank, in which no collective may be left out by one that fails. Where it throws on any, all throw
/// a CommonFailure; with one rank, what f threw.
template <class F>
void run_or_fail_together(CommunicatorBase& ranks, const char* what, F&& f) {
  if (ranks.size() == 1) return f();
  int status = 0;
  std::string message;
  try {
    f();
  } catch (const JobEnded&) {
    throw;  // the others know
  } catch (const UsageError& error) {
    status = 2, message = error.what();
  } catch (const std::exception& error) {
    status = 1, message = error.what();
  } catch (...) {
    status = 1, message = "an exception of an unknown type";
  }
  const std::int64_t worst = max_over_ranks(ranks, status ? ranks.size() - ranks.rank() : 0, what);
  if (worst == 0) return;
  const std::int64_t teller = ranks.size() - worst;
  if (teller == ranks.rank()) throw CommonFailure(message, true, status);
  throw CommonFailure("rank " + std::to_string(teller) + " failed", false);
}

/// Throws what all ranks find out in the same moment, as a CommonFailure where there are several.
[[noreturn]] inline void fail_together(CommunicatorBase& ranks, const Error& error) {
  if (ranks.size() == 1) throw error;
  throw CommonFailure(error.what(), ranks.rank() == 0);
}

/// A text of rank 0, on all.
inline std::string broadcast_text(CommunicatorBase& ranks, std::string text, const char* what) {
  if (ranks.size() == 1) return text;
  std::int64_t size = ranks.rank() == 0 ? std::int64_t(text.size()) : 0;
  ranks.broadcast(&size, 1, 0, what).wait();
  text.resize(std::size_t(size));
  ranks.broadcast(text.data(), size, 0, what).wait();
  return text;
}

/// Something that all ranks must have alike, by its hash.
struct Fingerprint {
  const char* what = "";
  std::uint64_t hash = 0;
};

/// Throws a CommonFailure that names the first rank whose `own` differ from those of rank 0, and what it is.
inline void require_same(CommunicatorBase& ranks, std::span<const Fingerprint> own, const char* hint) {
  if (ranks.size() == 1) return;
  std::vector<std::uint64_t> all(std::size_t(ranks.size()) * own.size());
  for (std::size_t i = 0; i < own.size(); ++i) all[std::size_t(ranks.rank()) * own.size() + i] = own[i].hash;
  ranks.all_gather(all.data(), std::int64_t(own.size()), "hash checks").wait();
  for (std::size_t rank = 1; rank < std::size_t(ranks.size()); ++rank)
    for (std::size_t i = 0; i < own.size(); ++i)
      if (all[rank * own.size() + i] != all[i])
        fail_together(ranks, Error("rank {} has another {} than rank 0: {}", rank, own[i].what, hint));
}

}  // namespace moderngpt2::distributed
