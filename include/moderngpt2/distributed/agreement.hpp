#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// Failure of at least one rank. All ranks throw it together, so that none waits for another.
class CommonFailure : public Error {
 public:
  CommonFailure(const std::string& message, bool reported_here, int job_status = 1)
      : Error(message), is_reported_here(reported_here), status(job_status) {}

  bool is_reported_here;  ///< true on exactly one rank, which prints the message
  int status;             ///< exit status of the program
};

/// Maximum of `number` over all ranks. `what` names the operation in messages.
inline std::int64_t max_over_ranks(CommunicatorBase& ranks, std::int64_t number, const char* what) {
  if (ranks.size() > 1) ranks.all_reduce(&number, 1, ReduceOp::max, what).wait();
  return number;
}

/// Sums each member of a struct of 64-bit integers over all ranks.
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

/// Runs f() on every rank. If it throws on any rank, all ranks throw a CommonFailure: the lowest failed rank with its
/// message, the others with the number of that rank. With one rank, the exception passes through. f() must not issue
/// collectives that a failing rank would skip. `what` names the operation in messages.
template <class F>
void run_or_fail_together(CommunicatorBase& ranks, const char* what, F&& f) {
  if (ranks.size() == 1) return f();
  int status = 0;
  std::string message;
  try {
    f();
  } catch (const JobEnded&) {
    throw;  // all ranks throw it
  } catch (const UsageError& error) {
    status = 2, message = error.what();
  } catch (const std::exception& error) {
    status = 1, message = error.what();
  } catch (...) {
    status = 1, message = "an exception of an unknown type";
  }
  const std::int64_t worst = max_over_ranks(ranks, status ? ranks.size() - ranks.rank() : 0, what);
  if (worst == 0) return;
  const std::int64_t failed = ranks.size() - worst;
  if (failed == ranks.rank()) throw CommonFailure(message, true, status);
  throw CommonFailure("rank " + std::to_string(failed) + " failed", false);
}

/// Throws an error that all ranks detect at the same point: a CommonFailure, or with one rank the error itself.
/// E: Error or a class derived from it.
template <class E>
[[noreturn]] void fail_together(CommunicatorBase& ranks, const E& error) {
  if (ranks.size() == 1) throw error;
  throw CommonFailure(error.what(), ranks.rank() == 0, E::exit_status);
}

/// Broadcasts the text of rank 0 to all ranks.
inline std::string broadcast_text(CommunicatorBase& ranks, std::string text, const char* what) {
  if (ranks.size() == 1) return text;
  std::int64_t size = ranks.rank() == 0 ? std::int64_t(text.size()) : 0;
  ranks.broadcast(&size, 1, 0, what).wait();
  text.resize(std::size_t(size));
  ranks.broadcast(text.data(), size, 0, what).wait();
  return text;
}

/// Hash of a value that must be equal on all ranks.
struct Fingerprint {
  const char* what = "";  ///< name of the value in messages
  std::uint64_t hash = 0;
};

/// Compares fingerprints over all ranks. Throws a CommonFailure that names the first rank whose value differs from rank
/// 0's, the value, and `hint`.
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

/// Returns f(). If it throws on any rank, ends the job on all ranks, since they would otherwise wait for this one. With
/// one rank, exceptions pass through; so does JobEnded, which all ranks throw.
template <class F>
decltype(auto) end_job_on_error(CommunicatorBase& ranks, F&& f) {
  if (ranks.size() == 1) return std::forward<F>(f)();
  try {
    return std::forward<F>(f)();
  } catch (const JobEnded&) {
    throw;
  } catch (const std::bad_alloc&) {
    ranks.abort("out of memory", 1);
  } catch (const std::exception& error) {
    ranks.abort(error.what(), 1);
  } catch (...) {
    ranks.abort("an exception of an unknown type", 1);
  }
}

}  // namespace moderngpt2::distributed
