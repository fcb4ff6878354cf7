#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>

#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/version.hpp"

namespace moderngpt2 {

/// What a program runs on, as lines of text: processor, threads, memory, system, host, compiler, version.
inline std::string machine_text() {
  std::string processor = "unknown";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != line.npos) processor = line.substr(colon + 2);
    break;
  }
  const double memory = double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGESIZE));
  std::string text = fmt::format("processor: {}, {} threads\n", processor, available_threads());
  text += fmt::format("memory: {:.1f} GiB\n", memory / (1 << 30));
  utsname system{};
  if (::uname(&system) == 0)
    text +=
        fmt::format("system: {} {} {}\nhost: {}\n", system.sysname, system.release, system.machine, system.nodename);
#ifdef __clang__
  text += fmt::format("compiler: clang {}\n", __clang_version__);
#else
  text += fmt::format("compiler: g++ {}\n", __VERSION__);
#endif
  return text + fmt::format("ModernGPT2: {}\n", version);
}

}  // namespace moderngpt2
