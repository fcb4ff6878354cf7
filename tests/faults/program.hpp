#pragma once

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace moderngpt2::test {

namespace fs = std::filesystem;

inline std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Exit status and output of a process.
struct Ended {
  int status = 0;  ///< exit status, or minus the signal
  std::string out, err;
  long peak_kib = 0;  ///< maximum resident memory in KiB
};

using Environment = std::map<std::string, std::string>;

/// Starts a program of FOLDER_OF_PROGRAMS. Its output goes to `said`.out and `said`.err. `before` is called in the new
/// process.
template <class Before>
pid_t start(const std::vector<std::string>& command, const Environment& environment, const fs::path& said,
            Before&& before) {
  const pid_t child = fork();
  if (child != 0) return child;
  const auto redirect = [](int to, const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || dup2(fd, to) < 0) _exit(99);
    ::close(fd);
  };
  redirect(1, said.string() + ".out");
  redirect(2, said.string() + ".err");
  const int null = ::open("/dev/null", O_RDONLY);
  if (null > 0) dup2(null, 0);
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  before();
  const std::string program = std::string(MODERNGPT2_PROGRAMS) + "/" + command[0];
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments[0] = const_cast<char*>(program.c_str());
  arguments.push_back(nullptr);
  execv(program.c_str(), arguments.data());
  _exit(98);
}

inline Ended wait_for(pid_t child, const fs::path& said) {
  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), content(said.string() + ".out"),
          content(said.string() + ".err"), usage.ru_maxrss};
}

/// Runs a program and waits for its end.
template <class Before>
Ended run(const std::vector<std::string>& command, const Environment& environment, const fs::path& said,
          Before&& before) {
  return wait_for(start(command, environment, said, std::forward<Before>(before)), said);
}
inline Ended run(const std::vector<std::string>& command, const Environment& environment, const fs::path& said) {
  return run(command, environment, said, [] {});
}

}  // namespace moderngpt2::test
