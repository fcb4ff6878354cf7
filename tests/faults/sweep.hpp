#pragma once

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "support/temporary_folder.hpp"

namespace moderngpt2::test {

/// Path of inject.cpp's library for LD_PRELOAD, which splits at spaces and colons: a link in a temporary folder, since
/// the path of the build folder may contain them.
inline const std::string& preloaded() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    const fs::path link = folder / "inject.so";
    fs::create_symlink(MODERNGPT2_INJECT, link);
    return link.string();
  }();
  return path;
}

/// Kind of fault: FAULT_MODE, FAULT_ERRNO and FAULT_CALLS of inject.cpp.
struct Kind {
  std::string name, mode;
  int error = 0;
  std::string calls{};

  bool is_harmless() const { return error == EINTR || mode == "short"; }
  bool is_deadly() const { return mode == "kill" || mode == "torn" || mode == "power"; }
};

inline const Kind interrupted_calls{"EINTR", "error", EINTR, ",open,read,pread,write,pwrite,fsync,flock,close,"};
inline const Kind short_calls{"short", "short", 0, ",read,pread,write,pwrite,"};
inline const Kind io_error{"EIO", "error", EIO};
inline const Kind disk_full{"ENOSPC", "full", ENOSPC, ",write,pwrite,writev,mkdir,fsync,"};
inline const Kind killed{"kill", "kill"};
inline const Kind killed_in_write{"torn", "torn", 0, ",write,pwrite,"};
inline const Kind power_lost{"power", "power"};
inline const Kind bit_flipped{"flip", "flip", 0, ",write,"};

/// Content of the injection's log.
struct Hit {
  std::string call;  ///< faulty call: "k name path"; empty: there were fewer
  long calls = 0;    ///< number of calls; 0: the process was killed
  long bytes_read = 0;

  explicit Hit(const fs::path& log) {
    std::ifstream file(log);
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("end ")) {
        calls = std::strtol(line.c_str() + 4, nullptr, 10);
        bytes_read = std::strtol(line.c_str() + line.rfind(' '), nullptr, 10);
      } else {
        call = line;
      }
    }
  }
};

/// Command whose calls are to fail.
struct Disturbed {
  std::vector<std::string> command;
  fs::path folder;     ///< calls on what lies in it count
  fs::path log, said;  ///< where the injection and the program write
  Environment more{};  ///< further variables

  /// Injects a fault into call `at`; 0: none.
  Ended run(const Kind& kind, long at) const {
    fs::remove(log);
    Environment environment{{"LD_PRELOAD", preloaded()}, {"FAULT_FOLDER", folder.string()},
                            {"FAULT_MODE", kind.mode},   {"FAULT_ERRNO", std::to_string(kind.error)},
                            {"FAULT_CALLS", kind.calls}, {"FAULT_AT", std::to_string(at)},
                            {"FAULT_LOG", log.string()}, {"FAULT_CLOCK", "50"}};
    environment.insert(more.begin(), more.end());
    return test::run(command, environment, said);
  }
};

/// Error lines of the output.
inline std::vector<std::string> error_lines(const std::string& err) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < err.size();) {
    const std::size_t end = std::min(err.find('\n', begin), err.size());
    const std::string line = err.substr(begin, end - begin);
    if (line.find(": error: ") != line.npos) lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

/// Checks the status, and that one error line names a file of `folder`.
inline void check_end(const Kind& kind, const Ended& ended, const fs::path& folder) {
  if (kind.is_deadly()) {
    CHECK(ended.status == -SIGKILL);
  } else if (kind.is_harmless()) {
    CHECK(ended.status == 0);
  } else {
    CHECK((ended.status == 0 || ended.status == 1));
    const std::vector<std::string> lines = error_lines(ended.err);
    CHECK(lines.size() == (ended.status == 0 ? 0 : 1));
    if (!lines.empty()) CHECK_MESSAGE(lines[0].find(folder.string()) != std::string::npos, "no file is named");
  }
}

/// Runs a command repeatedly, with a fault in another call each time. `prepare` runs before each; `check` receives its
/// end and the call. About a dozen calls are tried; with MODERNGPT2_FAULTS=all every call, with
/// MODERNGPT2_FAULTS=600-640 those.
template <class Prepare, class Check>
void sweep(const std::string& what, const Kind& kind, const Disturbed& disturbed, Prepare&& prepare, Check&& check) {
  const char* const wanted = std::getenv("MODERNGPT2_FAULTS");
  prepare();
  const Ended undisturbed = disturbed.run(kind, 0);
  REQUIRE_MESSAGE(undisturbed.status == 0, undisturbed.err);
  const long calls = Hit(disturbed.log).calls, stride = wanted ? 1 : std::max<long>(calls / 12, 1);
  long first = 1 + stride / 2, last = calls, tried = 0;
  if (wanted && std::sscanf(wanted, "%ld-%ld", &first, &last) == 2) last = std::min(last, calls);
  for (long at = first; at <= last; at += stride, ++tried) {
    prepare();
    const Ended ended = disturbed.run(kind, at);
    const Hit hit(disturbed.log);
    if (hit.call.empty()) break;
    CAPTURE(at);
    CAPTURE(hit.call);
    CAPTURE(ended.err);
    check(ended, hit);
  }
  CHECK(tried > 0);
  MESSAGE(what << ", " << kind.name << ": " << tried << " of " << calls << " calls");
}

}  // namespace moderngpt2::test
