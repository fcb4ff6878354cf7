// Writes synthetic training text: short stories in simple English and Japanese, in files like those of C4.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "make_stories/story_files.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"

namespace {

int make_stories(int argc, char** argv) {
  std::filesystem::path output_path = "stories";
  std::uint64_t documents = 20000, seed = 1, first_document = 0;
  std::vector<std::string> langs = {"en", "ja"};
  moderngpt2::Options options(
      "make_stories", "Writes short stories in simple English and Japanese as training text, in the format of C4.");
  options.add("output_path", output_path, "Output folder; receives stories-LANG.json.gz.").metavar("DIR");
  options.add("documents", documents, "Stories per language.").between(1, 1e9);
  options.add("first_document", first_document, "Number of the first story.").at_most(1e15);
  options.add("seed", seed, "Random seed.");
  options.add("langs", langs, "Languages: en, ja.");
  options.example("--output_path text", "Write 20,000 stories in each language");
  options.example("--output_path more --langs ja --first_document 20000 --documents 500", "Write 500 more in Japanese");
  options.parse(argc, argv);

  for (const std::string& code : langs) moderngpt2::story_language(code);
  std::filesystem::create_directories(output_path);
  for (const std::string& code : langs) {
    const std::filesystem::path file = output_path / ("stories-" + code + ".json.gz");
    const std::uint64_t bytes =
        moderngpt2::write_story_file(file, moderngpt2::story_language(code), seed, first_document, documents);
    std::printf("%s: %llu stories, %.1f MB of text\n", file.c_str(), static_cast<unsigned long long>(documents),
                static_cast<double>(bytes) / 1e6);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, make_stories); }
