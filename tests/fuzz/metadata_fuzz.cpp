// metadata.yaml of a data set: accepted metadata must be equal after writing and reading.
#include "fuzz.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

using namespace moderngpt2;

namespace {

auto values(const DatasetMetadata& m) {
  std::string languages;
  for (const LanguageCounts& l : m.languages)
    languages += l.language + '|' + fmt::format("{} {} {}\n", l.documents, l.tokens, l.bytes);
  return std::tuple(m.train_files, m.eval_files, m.eval_size, m.block_size, m.vocab_size, m.train_blocks, m.eval_blocks,
                    m.tokenizer_fingerprint, languages);
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  seeds.add(
      "train:\n  - shard_00000.parquet\n  - \"b c.parquet\"\neval: eval.parquet\neval_size: 100\nblock_size: 8\n"
      "vocab_size: 300\ntokenizer_fingerprint: \"00ff\"\ntrain_blocks: 3\neval_blocks: 1\nlanguages:\n  \"en\":\n"
      "    documents: 1\n    tokens: 2\n    bytes: 3\n");
  seeds.add("{train: [a], languages: {ja: {tokens: 5}}}");
  seeds.add("base: &a [x, y]\ntrain: *a\neval: [*a, *a]\n");
  seeds.words({"train:",   "eval:",       "&a ",     "*a",           "<<: *a",
               "[[[[[[[[", "{{{{",        "- - - -", "!!str ",       "!<tag>",
               "|\n",      ">-\n",        "? ",      "\xEF\xBB\xBF", "---\n",
               "...\n",    "%YAML 1.2\n", "'",       "\"\\x00\"",    "9223372036854775808",
               "0x10",     "1e3",         "~",       ".nan"});
}

void fuzz::run(std::string_view input) {
  const DatasetMetadata metadata = read_metadata(file("metadata.yaml", input));
  if (valid_utf8_prefix(input) != input.size()) return;  // names of other bytes can be read, but not written as YAML
  const std::filesystem::path path = folder() / "written.yaml";
  write_metadata(path, metadata);
  const auto again = accepted([&] { return read_metadata(path); });
  if (!again || values(*again) != values(metadata)) fail("other metadata after writing and reading");
}
