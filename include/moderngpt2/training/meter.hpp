#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/machine_share.hpp"

namespace moderngpt2 {

/// Resident memory of this process in bytes; 0 if /proc is not available.
std::uint64_t resident_bytes();

/// Peak resident memory of this process in bytes; 0 if /proc is not available.
std::uint64_t peak_resident_bytes();

/// Measures a 1024 x 1024 x 1024 matrix product on a CPU backend and returns the highest FLOP/s of the products within
/// `seconds`: an upper limit for training on this machine.
template <class T, class Backend>
double measure_matmul(Backend& backend, double seconds = 0.2) {
  constexpr int rows = 1024, width = 1024;
  FlatBuffer<T> x(std::int64_t{rows} * width), w(std::int64_t{width} * width), y(std::int64_t{rows} * width);
  std::fill_n(x.data(), x.size(), T(0.5f));
  std::fill_n(w.data(), w.size(), T(0.25f));
  const double begin = seconds_now();
  double best = 0;
  for (int i = 0; i < 2 || seconds_now() - begin < seconds; ++i) {
    const double start = seconds_now();
    matmul(backend, Rows<T>(y.data(), rows, width), Rows<const T>(x.data(), rows, width),
           Matrix<const T>{w.data(), width, width});
    const double taken = seconds_now() - start;
    if (i > 0 && taken > 0) best = std::max(best, 2.0 * rows * width * width / taken);
  }
  // The heap keeps freed memory of this size; return its pages to the system.
  for (FlatBuffer<T>* buffer : {&x, &w, &y})
    zero_and_release(reinterpret_cast<std::byte*>(buffer->data()), std::size_t(buffer->size()) * sizeof(T));
  return best;
}

/// Adds a run's speed and memory to a log line. Only these fields depend on the clock and the machine.
void add_speed(Json& line, const RunSpeed& speed);

/// Speed and memory as text, without tokens/s and remaining time: "MFU 93%, 2% waiting for data, 0.45 GiB".
std::string speed_text(const RunSpeed& speed, std::string_view separator);

/// Speed of a matrix product alone, from which the MFU of a run is computed.
struct MatmulRate {
  double flops_per_second = 0;        ///< sum over all processes; 0: not measured
  std::function<double()> measure{};  ///< measures it again, in 0.2 s; empty: not possible
};

/// Measures the speed of a process's training steps. If training appears to be faster than a matrix product alone, the
/// machine was busy when the product was measured: speed() measures it again, at most three times. Threads: one at a
/// time.
class Meter {
 public:
  Meter(double flops_per_token, MatmulRate matmul_rate)
      : flops_per_token_(flops_per_token), matmul_rate_(std::move(matmul_rate)) {}

  void add(double seconds, double data_seconds, std::int64_t tokens);

  RunSpeed speed(std::int64_t steps_left);

  /// Resets the interval since the last log line; the estimate of the remaining time keeps all steps. Returns a note if
  /// other programs take the processors (MachineShare).
  std::optional<std::string> begin() {
    seconds_ = data_seconds_ = tokens_ = 0;
    return machine_.note();
  }

 private:
  double flops_per_token_;
  MatmulRate matmul_rate_;
  int measurements_left_ = 3;
  MachineShare machine_;
  double seconds_ = 0, data_seconds_ = 0, tokens_ = 0;  // since the last log line
  double run_seconds_ = 0;
  std::int64_t run_steps_ = 0;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0, resident = 0;
  if (!(file >> pages >> resident)) return 0;
  return resident * std::uint64_t(std::max(::sysconf(_SC_PAGESIZE), 1L));
}

MODERNGPT2_INLINE std::uint64_t peak_resident_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) << 10;
  return 0;
}

MODERNGPT2_INLINE void add_speed(Json& line, const RunSpeed& speed) {
  line["tokens_per_second"] = std::round(speed.tokens_per_second * 10) / 10;
  if (speed.matmul_utilization > 0) line["matmul_utilization"] = std::round(speed.matmul_utilization * 1e4) / 1e4;
  line["data_wait"] = std::round(speed.data_wait * 1e4) / 1e4;
  if (const std::uint64_t bytes = resident_bytes()) line["resident_bytes"] = bytes;
  line["seconds_left"] = std::round(speed.seconds_left);
}

MODERNGPT2_INLINE std::string speed_text(const RunSpeed& speed, std::string_view separator) {
  std::vector<std::string> parts;
  if (speed.matmul_utilization > 0) parts.push_back(fmt::format("MFU {:.0f}%", 100 * speed.matmul_utilization));
  if (speed.data_wait >= 0.01) parts.push_back(fmt::format("{:.0f}% waiting for data", 100 * speed.data_wait));
  if (const std::uint64_t bytes = resident_bytes())
    parts.push_back(fmt::format("{:.2f} GiB", double(bytes) / (1 << 30)));
  return fmt::format("{}", fmt::join(parts, separator));
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE void Meter::add(double seconds, double data_seconds, std::int64_t tokens) {
  seconds_ += seconds, data_seconds_ += data_seconds, tokens_ += double(tokens);
  run_seconds_ += seconds, ++run_steps_;
}

MODERNGPT2_INLINE RunSpeed Meter::speed(std::int64_t steps_left) {
  RunSpeed speed;
  speed.tokens_per_second = seconds_ > 0 ? tokens_ / seconds_ : 0;
  speed.data_wait = seconds_ > 0 ? data_seconds_ / seconds_ : 0;
  double& rate = matmul_rate_.flops_per_second;
  const double reached = speed.tokens_per_second * flops_per_token_;
  if (rate > 0 && reached > rate && matmul_rate_.measure && measurements_left_ > 0) {
    --measurements_left_;
    rate = std::max(rate, matmul_rate_.measure());
  }
  if (rate > 0) speed.matmul_utilization = reached / rate;
  if (run_steps_ > 0) speed.seconds_left = run_seconds_ / double(run_steps_) * double(steps_left);
  return speed;
}

}  // namespace moderngpt2

#endif
