// State of an unfinished data set, with which pretokenize_dataset continues: an accepted state must be equal after
// writing and reading.
#include "json_mutator.hpp"
#include "moderngpt2/data/resume_state.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(R"({"settings": {"block_size": "8", "the longest document": "9"}, "inputs": [{"path": "a.txt", "bytes": 5}],
    "shard_bytes": [100, 200], "blocks": 4, "documents": 2, "tokens_of_next": 1, "packed": false,
    "languages": [{"language": "en", "documents": 1, "tokens": 2, "bytes": 3}]})");
  seeds.words({"settings", "inputs", "shard_bytes", "packed", "9223372036854775807", "--"});
}

void fuzz::run(std::string_view input) {
  const PretokenizeState state = read_state(file("state.json", input));
  const std::filesystem::path path = folder() / "written.json";
  write_state(path, state);
  const auto again = accepted([&] { return read_state(path); });
  if (!again || again->fingerprint.settings != state.fingerprint.settings ||
      !difference(again->fingerprint, state.fingerprint).empty() || again->shard_bytes != state.shard_bytes ||
      again->blocks != state.blocks || again->documents != state.documents || again->packed != state.packed ||
      again->tokens_of_next != state.tokens_of_next || again->languages.size() != state.languages.size())
    fail("another state after writing and reading");
  (void)difference(state.fingerprint, {});
  (void)difference({}, state.fingerprint);
}
