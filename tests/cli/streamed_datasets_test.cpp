#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/cli/streamed_datasets.hpp"

using namespace moderngpt2;

TEST_CASE("where each language lies") {
  CHECK(streamed_dataset("c4", "ja").repository == "allenai/c4");
  CHECK(streamed_dataset("c4", "ja").subset == "ja");
  CHECK(streamed_dataset("fineweb2", "en").repository == "allenai/c4");
  CHECK(streamed_dataset("fineweb2", "zh").subset == "cmn_Hani");
  CHECK(streamed_dataset("fineweb2", "cn").subset == "cmn_Hani");
  CHECK(streamed_dataset("fineweb2", "tw").subset == "yue_Hani");
  CHECK_THROWS_WITH_AS(streamed_dataset("fineweb2", "xx"),
                       "fineweb2 has no data set for the language 'xx'; supported: en, ja, ko, zh, cn, tw", UsageError);
  CHECK_THROWS_WITH_AS(streamed_dataset("c4", "tw"),
                       "c4 has no data set for the language 'tw'; supported: en, ja, ko, zh", UsageError);
  CHECK_THROWS_AS(streamed_dataset("pile", "en"), UsageError);
}

TEST_CASE("files or a data set to stream") {
  TextFlags flags{{"a.txt"}, "c4", {"en", "ja"}, {}};
  CHECK(names_files(flags));
  flags.typed_streaming_flags = {"c4_langs"};
  CHECK_THROWS_WITH_AS(names_files(flags), doctest::Contains("--c4_langs selects a data set to stream"), UsageError);
  flags.inputs.clear();
  CHECK_FALSE(names_files(flags));
  CHECK(streaming_error(flags) == "--input is needed: streaming c4 (en, ja) from the Hub is not supported yet");
  flags.languages = {"en", "xx"};
  CHECK_THROWS_WITH_AS(names_files(flags), doctest::Contains("no data set for the language 'xx'"), UsageError);
}
