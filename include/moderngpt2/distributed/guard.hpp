#pragma once

#include <exception>
#include <new>
#include <utility>

#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// Returns f(); where it throws, ends the job on all ranks, which would wait for this one otherwise. What is thrown
/// before there are ranks, and JobEnded, which all of them throw, goes on as it is.
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
