#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/streamed_datasets.hpp"
#include "moderngpt2/data/source_options.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Adds the flags that name the text that a program reads. The names of two flags depend on the program.
class TextOptions {
 public:
  /// `documents`: name of the flag for the maximum number of documents; `languages`: for the languages to stream.
  TextOptions(Options& options, SourceOptions& source, const char* documents, const char* languages)
      : options_(options), source_(source), languages_(languages) {
    options.section("Text");
    input_ = &options
                  .add("input", source.inputs,
                       "Input files, globs or folders: .json, .jsonl, .ndjson or .txt (also .gz, .zst), or .parquet. "
                       "In a folder, files named as validation or test sets are not used for training.")
                  .metavar("PATH")
                  .alias("input_file");
    options.add("languages", by_language_, "Input files with their languages, such as ja=a.txt en=b.txt 'zh=c/*.txt'.")
        .metavar("LANGUAGE=PATH");
    options
        .add("text_column", source.text_column,
             "Field of the JSON objects, or column of the Parquet files, that holds the text.")
        .alias("text_column_name");
    options.add_choice(
        "txt_document", source.text_document,
        {{"line", TextDocument::line}, {"paragraph", TextDocument::paragraph}, {"file", TextDocument::file}},
        "Unit that is one document in a .txt file. A blank line ends a paragraph.");
    options.add(documents, source.max_documents, "Maximum number of documents over all languages. 0: all.").at_least(0);
    options.add("strict", source.strict, "Stop with an error at an invalid line, instead of a warning.");
    options
        .add("max_invalid_utf8", source.max_invalid_utf8,
             "Maximum fraction of a file's bytes that are not UTF-8; they become U+FFFD. More is an error.")
        .between(0, 1);
    options.add("dataset", streamed_.dataset, "Data set to stream if --input is not given (not supported yet).")
        .choices({"c4", "fineweb2"});
    options.add(languages, streamed_.languages, "Languages of --dataset (not supported yet).");
  }
  TextOptions(const TextOptions&) = delete;
  TextOptions& operator=(const TextOptions&) = delete;

  Option& input() { return *input_; }

  /// Throws UsageError if the command line names no files. Call after parsing.
  void check() {
    if (!named()) throw UsageError("{}", missing());
  }
  /// Whether the parsed command line names files. Throws UsageError for contradictory flags.
  bool named() {
    std::string language;
    for (const std::string& input : std::exchange(by_language_, {})) {  // "a b" of "ja=a b" have one language
      const std::size_t equals = input.find('=');
      if (equals != input.npos) language = input.substr(0, equals);
      if (language.empty()) throw UsageError("--languages {0}: expected LANGUAGE=PATH, such as ja={0}", input);
      source_.inputs.push_back(equals != input.npos ? input : language + "=" + input);
    }
    streamed_.typed_streaming_flags.clear();
    for (const char* flag : {"dataset", languages_})
      if (options_.typed(flag)) streamed_.typed_streaming_flags.push_back(flag);
    streamed_.inputs = source_.inputs;
    return names_files(streamed_);
  }
  /// Error message for a command line without files. `wanted`: the flags that would name them.
  std::string missing(const std::string& wanted = "--input") const { return streaming_error(streamed_, wanted); }

  /// Prints the text files that a run would read, and `rest`, the remainder of its plan. `evaluates`: whether the run
  /// evaluates validation files. Returns the exit status 0.
  int dry_run(const std::string& rest, bool evaluates = false) {
    const std::string text = named() ? files_text(find_text_files(source_.inputs)) : "nothing: " + missing();
    const std::string bound =
        source_.max_documents > 0 ? fmt::format(", {} documents at most", source_.max_documents) : "";
    if (!source_.inputs.empty())
      for (const std::string& line : text_file_notes(source_.inputs, evaluates))
        std::printf("note: %s\n", line.c_str());
    std::printf("would read %s%s\n%s\n", text.c_str(), bound.c_str(), rest.c_str());
    return 0;
  }

 private:
  Options& options_;
  Option* input_ = nullptr;
  SourceOptions& source_;
  std::vector<std::string> by_language_;
  const char* languages_;
  TextFlags streamed_{{}, "c4", {"en", "ja", "ko", "zh"}, {}};
};

}  // namespace moderngpt2
