#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/cli/trace_file.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

TEST_CASE("a trace is JSON with a row for computation and one for communication") {
  test::TemporaryFolder temporary;
  {
    TraceFile trace(temporary / "trace.json", 2, 4);
    trace.add(TraceFile::Row::computation, "update", 1.5, 1.75);
    trace.add(TraceFile::Row::communication, "all-gather of \"bucket\" 3", 1.6, 1.7, 4096);
  }
  const Json events = read_json_file(temporary / "trace-rank-2.json");
  REQUIRE(events.size() == 5);
  CHECK(events[0].at("args").at("name") == "rank 2");
  CHECK(events[3].at("name") == "update");
  CHECK(events[3].at("ts").get<double>() == doctest::Approx(1.5e6));
  CHECK(events[3].at("dur").get<double>() == doctest::Approx(0.25e6));
  CHECK(events[4].at("args").at("bytes") == 4096);
  CHECK(events[4].at("tid") != events[3].at("tid"));
  { const TraceFile alone(temporary / "trace.json", 0, 1); }
  CHECK(read_json_file(temporary / "trace.json").size() == 3);
}
