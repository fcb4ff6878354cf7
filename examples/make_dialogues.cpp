// Writes dialogues to train a chat on: short ones in simple English and Japanese, whose answers follow from the
// question and from earlier turns.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "make_dialogues/dialogue_files.hpp"
#include "make_stories/story_files.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"

namespace {

using namespace moderngpt2;

int make_dialogues(int argc, char** argv) {
  std::filesystem::path output_path = "dialogues";
  std::uint64_t documents = 20000, seed = 1, first_document = 0;
  bool held_out = false;
  std::vector<std::string> langs = {"en", "ja"};
  Options options(
      "make_dialogues",
      "Writes short dialogues in simple English and Japanese as training text for chat models. Each line holds "
      "the dialogue as text and as a list of messages.");
  options.add("output_path", output_path, "Output folder; receives dialogues-LANG.jsonl.").metavar("DIR");
  options.add("documents", documents, "Dialogues per language.").between(1, 1e9);
  options.add("first_document", first_document, "Number of the first dialogue.").at_most(1e15);
  options.add("held_out", held_out,
              "Write test dialogues: their pairs of numbers, and of pets and names, occur in no training dialogue.");
  options.add("seed", seed, "Random seed.");
  options.add("langs", langs, "Languages.").choices({"en", "ja"});
  options.example("--output_path dialogues", "Write 20,000 dialogues in each language");
  options.example("--output_path questions --documents 100 --held_out", "Write 100 test dialogues in each language");
  options.parse(argc, argv);

  std::filesystem::create_directories(output_path);
  for (const std::string& code : langs) {
    const std::filesystem::path file = output_path / ("dialogues-" + code + ".jsonl");
    const std::uint64_t bytes = write_dialogue_file(file, story_language(code), seed, first_document, documents,
                                                    held_out ? DialoguePart::held_out : DialoguePart::training);
    std::printf("%s: %llu dialogues, %.1f MB of text\n", file.c_str(), static_cast<unsigned long long>(documents),
                static_cast<double>(bytes) / 1e6);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, make_dialogues); }
