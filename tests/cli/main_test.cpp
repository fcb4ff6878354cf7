#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <new>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/core/start_thread.hpp"
#include "moderngpt2/io/file.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

struct Outcome {
  int status;
  std::string errors;
};

/// Runs `program` in a process of its own, with `output` as its standard output.
Outcome run(int (*program)(int, char**), const char* output = "/dev/null") {
  int errors[2];
  REQUIRE(pipe(errors) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const int out = open(output, O_WRONLY);
    int closed[2];
    if (out >= 0)
      dup2(out, 1);
    else if (pipe(closed) == 0)
      dup2(closed[1], 1), close(closed[0]), close(closed[1]);
    dup2(errors[1], 2);
    char name[] = "/some/where/tool";
    char* argv[] = {name, nullptr};
    _exit(run_main(1, argv, program));
  }
  close(errors[1]);
  Outcome outcome{0, ""};
  char buffer[4096];
  for (ssize_t n; (n = read(errors[0], buffer, sizeof buffer)) > 0;)
    outcome.errors.append(buffer, static_cast<size_t>(n));
  close(errors[0]);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return outcome;
}

int print_much(int, char**) {
  for (int i = 0; i < 100000; ++i) std::puts("a line");
  return 0;
}

}  // namespace

TEST_CASE("what a program throws becomes one line and a status") {
  CHECK(run([](int, char**) { return 0; }).status == 0);
  CHECK(run([](int, char**) { return 7; }).status == 7);
  const Outcome error = run([](int, char**) -> int { throw Error("file {}: bad", 3); });
  CHECK(error.status == 1);
  CHECK(error.errors == "tool: error: file 3: bad\n");
  const Outcome usage = run([](int, char**) -> int { throw UsageError("no option --x"); });
  CHECK(usage.status == 2);
  CHECK(usage.errors == "tool: error: no option --x\nTry 'tool --help'.\n");
  const Outcome setting = run([](int, char**) -> int { throw Error("{} is too small", Setting{"block_size"}); });
  CHECK(setting.errors == "tool: error: --block_size is too small\n");
  const Outcome memory = run([](int, char**) -> int { throw std::bad_alloc(); });
  CHECK(memory.status == 1);
  CHECK(memory.errors.starts_with("tool: error: out of memory"));
  CHECK(run([](int, char**) -> int { throw 3; }).status == 1);
  CHECK(run([](int, char**) -> int { throw ExitRequest{5, "text"}; }).status == 5);
}

TEST_CASE("a full disk and a closed pipe behind standard output") {
  const Outcome full = run(print_much, "/dev/full");
  CHECK(full.status == 1);
  CHECK(full.errors.starts_with("tool: error: cannot write to standard output"));
  CHECK(std::count(full.errors.begin(), full.errors.end(), '\n') == 1);
  const Outcome noticed = run(
      [](int argc, char** argv) {
        print_much(argc, argv);
        flush_standard_output();
        return 0;
      },
      "/dev/full");
  CHECK(noticed.status == 1);
  CHECK(std::count(noticed.errors.begin(), noticed.errors.end(), '\n') == 1);
  const Outcome closed = run(print_much, "/no/such/output");
  CHECK(closed.status == 141);
  CHECK(closed.errors.empty());
}

TEST_CASE("the first interrupt is noted, the second leaves at once") {
  const auto once = [](int, char**) {
    catch_interrupts();
    if (interrupted()) return 9;
    raise(SIGTERM);
    return interrupted();
  };
  CHECK(run(once).status == SIGTERM);
  const auto twice = [](int, char**) {
    catch_interrupts();
    raise(SIGINT);
    raise(SIGINT);
    return 0;
  };
  CHECK(run(twice).status == 130);
  const auto told = [](int, char**) {
    catch_interrupts("received {}: wait\n");
    raise(SIGUSR2);
    raise(SIGINT);
    return 0;
  };
  CHECK(run(told).errors == "received SIGUSR2: wait\n");
}

TEST_CASE("signals that announce a limit stop a program, and may come several times") {
  for (const StopSignal& signal : stop_signals) {
    CAPTURE(signal.name);
    static int number;
    number = signal.number;
    const auto once = [](int, char**) {
      catch_interrupts();
      raise(number);
      return stop_status(interrupted());
    };
    CHECK(run(once).status == 128 + number);
    const auto twice = [](int, char**) {
      catch_interrupts();
      raise(number);
      raise(number);
      return 1;
    };
    CHECK(run(twice).status == (signal.insists ? 128 + number : 1));
    const auto uncaught = [](int, char**) { return raise(number); };
    CHECK(run(uncaught).status == -number);
  }
  const auto warned_first = [](int, char**) {
    catch_interrupts();
    raise(SIGUSR1);
    raise(SIGTERM);
    return interrupted();
  };
  CHECK(run(warned_first).status == SIGUSR1);
}

TEST_CASE("inherited dispositions: ignored signals stay ignored but for SIGINT, blocked ones are delivered") {
  const auto received = [](int, char**) {
    catch_interrupts();
    raise(SIGHUP);
    if (interrupted()) return 1;
    raise(SIGINT);
    if (interrupted() != SIGINT) return 2;
    raise(SIGTERM);  // blocked by the parent
    return 3;
  };
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto hangup = std::signal(SIGHUP, SIG_IGN), interrupt = std::signal(SIGINT, SIG_IGN);
  CHECK(run(received).status == 128 + SIGTERM);
  std::signal(SIGHUP, hangup), std::signal(SIGINT, interrupt);
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("a signal leaves no temporary files, whether it is caught or not") {
  static const test::TemporaryFolder folder;
  const auto uncaught = [](int, char**) {
    AtomicFile file(folder / "a.json");
    file.write("half");
    return raise(SIGTERM);
  };
  CHECK(run(uncaught).status == -SIGTERM);
  const auto insisted = [](int, char**) {
    catch_interrupts();
    AtomicFile file(folder / "a.json");
    raise(SIGINT);
    return raise(SIGTERM);
  };
  CHECK(run(insisted).status == 128 + SIGTERM);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a file over the user's limit is an error of one line") {
  static const test::TemporaryFolder folder;
  const Outcome limited = run([](int, char**) {
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    write_file(folder / "large", std::string(2000, 'x'));
    return 0;
  });
  CHECK(limited.status == 1);
  CHECK(limited.errors == "tool: error: cannot write " + (folder / "large").string() + ": File too large\n");
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("threads that the system refuses are an error that names the limit") {
  const auto refused = [](void (*start)()) {
    const rlimit limit{1, 1};  // counts all processes of the user
    setrlimit(RLIMIT_NPROC, &limit);
    if (getuid() == 0 && setuid(65534) != 0) return;
    start();
  };
  static const auto limited = refused;
  const Outcome one = run([](int, char**) {
    limited([] { start_thread<std::jthread>([] {}); });
    return 0;
  });
  CHECK(one.status == 1);
  CHECK(one.errors.starts_with("tool: error: cannot start a thread: Resource temporarily unavailable: the limit of "));
  CHECK(one.errors.find("(ulimit -u: 1; ") != one.errors.npos);
  const Outcome library = run([](int, char**) {
    limited([] { std::jthread([] {}); });
    return 0;
  });
  CHECK(library.errors == one.errors);
  const Outcome team = run([](int, char**) {
    limited([] { require_threads(4); });
    return 0;
  });
  CHECK(team.errors.starts_with("tool: error: cannot start 4 threads: "));
  CHECK(team.errors.ends_with("Raise it, or set --threads to at most 1\n"));
  CHECK(run([](int, char**) {
          require_threads(4);
          return 0;
        }).status == 0);
}

TEST_CASE("numbers for people") {
  CHECK(with_separators(0) == "0");
  CHECK(with_separators(999) == "999");
  CHECK(with_separators(1000) == "1,000");
  CHECK(with_separators(-1234567) == "-1,234,567");
  CHECK(with_separators(-123) == "-123");
  CHECK(short_count(0) == "0");
  CHECK(short_count(2.8) == "2.8");
  CHECK(short_count(950) == "950");
  CHECK(short_count(12345) == "12.3k");
  CHECK(short_count(999999) == "999k");
  CHECK(short_count(4.56e6) == "4.56M");
  CHECK(clock_text(7) == "0:07");
  CHECK(clock_text(11110) == "3:05:10");
}

TEST_CASE("progress: a line now and then in a log, one redrawn line on a terminal") {
  char* text = nullptr;
  std::size_t size = 0;
  double time = 0;
  const auto clock = [&time] { return time; };
  SUBCASE("log") {
    std::FILE* out = open_memstream(&text, &size);
    {
      Progress progress("read", "MB", 100, out, false, clock);
      for (; time < 25; time += 0.5) progress.update(time);
      progress.finish(25, "done");
    }
    std::fclose(out);
    CHECK(std::string(text) ==
          "read: 10% 10/100 MB, 1 MB/s, 0:10, 1:30 left\n"
          "read: 20% 20/100 MB, 1 MB/s, 0:20, 1:20 left\n"
          "read: 25 MB, 1 MB/s, 0:25, done\n");
  }
  SUBCASE("terminal") {
    std::FILE* out = open_memstream(&text, &size);
    {
      Progress progress("read", "MB", 0, out, true, clock);
      for (int i = 0; i < 1000; ++i, time += 0.001) progress.update(i);
    }
    std::fclose(out);
    const std::string drawn = text;
    CHECK(drawn.starts_with("\rread: 0 MB"));
    CHECK(std::count(drawn.begin(), drawn.end(), '\r') <= 12);
    CHECK(drawn.find('\n') == std::string::npos);
    CHECK(drawn.ends_with("\r\x1b[K"));
  }
  SUBCASE("a narrow terminal") {
    std::FILE* out = open_memstream(&text, &size);
    {
      Progress progress("read", "MB", 100, out, true, clock, [](std::FILE*) { return 21; });
      progress.update(10, "a tail", "step 3");
      time = 1;
      progress.finish(20, "all of it");
    }
    std::fclose(out);
    CHECK(std::string(text) == "\rread: step 3, 10%, 0\x1b[K\rread: 20 MB, 20 MB/s, 0:01, all of it\x1b[K\n");
  }
  std::free(text);
}
