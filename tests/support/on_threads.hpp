#pragma once

#include <barrier>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace moderngpt2::test {

/// Calls f(i) for i < count on a thread each, all from the same moment on. Rethrows the first exception.
template <class F>
void on_threads(int count, F&& f) {
  std::barrier start(count);
  std::vector<std::exception_ptr> thrown(std::size_t(count), nullptr);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      try {
        f(i);
      } catch (...) {
        thrown[std::size_t(i)] = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& each : thrown)
    if (each) std::rethrow_exception(each);
}

/// Calls f() on another thread and waits for its end. Returns the message of what it threw, or "".
inline std::string on_other_thread(const std::function<void()>& f) {
  std::string message;
  std::thread([&] {
    try {
      f();
    } catch (const std::exception& e) {
      message = e.what();
    }
  }).join();
  return message;
}

}  // namespace moderngpt2::test
