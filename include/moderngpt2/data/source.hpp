#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/document_reader.hpp"
#include "moderngpt2/data/language_reader.hpp"
#include "moderngpt2/data/source_options.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Documents of all inputs, in an order that depends on the inputs only: round-robin over the languages, one document
/// each, until all are exhausted. The files of a language are read in order. Threads: one at a time.
class DocumentSource {
 public:
  /// Throws Error for an input that matches no file or a file of unknown format.
  explicit DocumentSource(SourceOptions options);

  /// Reads the next document. Returns false at the end. Throws Error if a file cannot be read, if more of its bytes are
  /// not UTF-8 than max_invalid_utf8 accepts (compared after 4 MiB of text, then continuously, and at its end), if no
  /// line of a file that is not empty contains a document, and with `strict` at the first line without a document.
  bool next(Document& out);

  /// Files in reading order within each language.
  const std::vector<TextFile>& files() const { return files_; }
  /// Languages in round-robin order.
  std::vector<std::string> languages() const;
  /// Number of documents read so far.
  std::int64_t documents() const { return documents_; }
  /// Number of lines without a document so far.
  std::int64_t skipped() const { return skipped_; }
  /// Compressed bytes read so far, and of all files.
  std::int64_t bytes_read() const;
  std::int64_t total_bytes() const { return total_bytes_; }

 private:
  struct Group {
    std::string language;
    std::vector<TextFile> files;
    std::unique_ptr<ReadingStream> readings;
    std::int64_t bytes_read = 0;
    std::size_t file = 0;        // file of the last reading
    TextBytes text_bytes{};      // bytes of that file so far
    bool has_document = false;   // in that file
    std::string first_reason{};  // why the first line of that file without a document has none
  };

  bool next_of(Group& group, Document& out);

  // Adds a reading to the counts of its file, and checks the fraction of invalid bytes.
  void count(Group& group, const Reading& reading);
  void check_encoding(const Group& group) const;
  // Checks the file that was read last, and warns of its invalid bytes.
  void end_file(Group& group);

  void skip(const Document& where, const std::string& reason);

  bool finish();

  void warn(const std::string& line) const {
    if (options_.warn) options_.warn(printable(line));
  }

  static constexpr std::int64_t shown_warnings = 5;
  static constexpr std::int64_t checked_bytes = std::int64_t{1} << 22;  // text before the first check of a file

  SourceOptions options_;
  std::vector<TextFile> files_;
  std::vector<Group> groups_;
  std::size_t turn_ = 0;
  std::int64_t documents_ = 0, skipped_ = 0, total_bytes_ = 0;
  bool finished_ = false;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE DocumentSource::DocumentSource(SourceOptions options) : options_(std::move(options)) {
  std::vector<std::vector<TextFile>> files;  // files of each language
  if (options_.note && options_.part == TextPart::train)
    for (const std::string& line : text_file_notes(options_.inputs, options_.evaluates)) options_.note(line);
  for (TextFile& file : find_text_files(options_.inputs, options_.part)) {
    files_.push_back(file);
    total_bytes_ += file.bytes;
    const auto group = std::find_if(files.begin(), files.end(),
                                    [&](const auto& others) { return others.front().language == file.language; });
    if (group == files.end())
      files.push_back({std::move(file)});
    else
      group->push_back(std::move(file));
  }
  for (std::vector<TextFile>& group : files) {
    const std::string language = group.front().language;
    std::unique_ptr<ReadingStream> stream = std::make_unique<LanguageReader>(group, options_);
    if (options_.read_ahead_bytes > 0)
      stream = std::make_unique<ReadAhead>(std::move(stream), options_.read_ahead_bytes / files.size());
    groups_.push_back({language, std::move(group), std::move(stream)});
  }
}

MODERNGPT2_INLINE bool DocumentSource::next(Document& out) {
  if (options_.max_documents > 0 && documents_ >= options_.max_documents) return finish();
  for (std::size_t tried = 0; tried < groups_.size(); ++tried) {
    Group& group = groups_[turn_];
    turn_ = (turn_ + 1) % groups_.size();
    if (next_of(group, out)) {
      ++documents_;
      return true;
    }
  }
  return finish();
}

MODERNGPT2_INLINE std::vector<std::string> DocumentSource::languages() const {
  std::vector<std::string> names;
  for (const Group& group : groups_) names.push_back(group.language);
  return names;
}

MODERNGPT2_INLINE std::int64_t DocumentSource::bytes_read() const {
  std::int64_t bytes = 0;
  for (const Group& group : groups_) bytes += group.bytes_read;
  return bytes;
}

MODERNGPT2_INLINE bool DocumentSource::next_of(Group& group, Document& out) {
  Reading reading;
  while (group.readings->next(reading)) {
    group.bytes_read = reading.bytes_read;
    count(group, reading);
    switch (reading.kind) {
      case Reading::Kind::document:
        group.has_document = true;
        out = std::move(reading.document);
        out.language = group.language;
        return true;
      case Reading::Kind::skipped:
        if (group.first_reason.empty())
          group.first_reason = fmt::format("{}:{}: {}", reading.document.file, reading.document.line, reading.reason);
        skip(reading.document, reading.reason);
        break;
      case Reading::Kind::empty_file:
        warn(fmt::format("{}: contains no text", reading.document.file));
    }
  }
  end_file(group);
  return false;
}

MODERNGPT2_INLINE void DocumentSource::count(Group& group, const Reading& reading) {
  if (reading.file != group.file) {
    end_file(group);
    group.file = reading.file;
  }
  TextBytes& all = group.text_bytes;
  all.bytes += reading.text_bytes.bytes;
  if (reading.text_bytes.invalid > 0) {
    if (all.invalid == 0) all.line = reading.text_bytes.line, all.sample = reading.text_bytes.sample;
    all.invalid += reading.text_bytes.invalid;
  }
  if (all.invalid > 0 && (options_.strict || all.bytes >= checked_bytes)) check_encoding(group);
}

MODERNGPT2_INLINE void DocumentSource::check_encoding(const Group& group) const {
  const TextBytes& all = group.text_bytes;
  const double most = options_.strict ? 0 : options_.max_invalid_utf8;
  if (static_cast<double>(all.invalid) <= most * static_cast<double>(all.bytes)) return;
  const TextFile& file = group.files[group.file];
  if (all.sample.empty())
    throw Error(
        "{}:{}: {} escaped surrogates (\\ud800 to \\udfff) without their pair, the first in this line, in {} bytes: "
        "more than {:.3g}% ({}). Write them as complete pairs.",
        file.path.string(), all.line, all.invalid / 3, all.bytes, 100 * most,
        options_.strict ? Setting{"strict"} : Setting{"max_invalid_utf8"});
  std::string sample = all.sample;
  if (file.format.content != TextFormat::Content::parquet) {
    const std::string beginning = read_beginning(file, std::size_t{1} << 16);
    if (find_invalid_utf8(beginning).bytes > 0) sample = beginning;
  }
  throw Error(
      "{}:{}: the file is not UTF-8 from this line on: {} of {} bytes are invalid ({:.3g}%), at most {:.3g}% are "
      "accepted ({}). {}",
      file.path.string(), all.line, all.invalid, all.bytes,
      100 * static_cast<double>(all.invalid) / static_cast<double>(all.bytes), 100 * most,
      options_.strict ? Setting{"strict"} : Setting{"max_invalid_utf8"}, encoding_advice(file, sample));
}

MODERNGPT2_INLINE void DocumentSource::end_file(Group& group) {
  if (group.text_bytes.invalid > 0) {
    check_encoding(group);
    const std::string file = group.files[group.file].path.string();
    if (group.text_bytes.sample.empty())
      warn(fmt::format(
          "{}:{}: {} escaped surrogates (\\ud800 to \\udfff) without their pair became U+FFFD, the first in "
          "this line",
          file, group.text_bytes.line, group.text_bytes.invalid / 3));
    else
      warn(fmt::format("{}:{}: {} of {} bytes of this file are not UTF-8, the first in this line. {}", file,
                       group.text_bytes.line, group.text_bytes.invalid, group.text_bytes.bytes,
                       encoding_advice(group.files[group.file], group.text_bytes.sample)));
  }
  group.text_bytes = {};
  if (!group.has_document && !group.first_reason.empty())
    throw Error("no line contains a document; the first one is {}", group.first_reason);
  group.has_document = false;
  group.first_reason.clear();
}

MODERNGPT2_INLINE void DocumentSource::skip(const Document& where, const std::string& reason) {
  if (options_.strict) throw Error("{}:{}: {}", where.file, where.line, reason);
  ++skipped_;
  if (skipped_ <= shown_warnings) warn(fmt::format("{}:{}: skipped: {}", where.file, where.line, reason));
  if (skipped_ == shown_warnings) warn("further lines without a document are counted but not shown");
}

MODERNGPT2_INLINE bool DocumentSource::finish() {
  for (Group& group : groups_) end_file(group);
  if (!finished_ && skipped_ > 0) warn(fmt::format("{} lines without a document were skipped", skipped_));
  finished_ = true;
  return false;
}

}  // namespace moderngpt2

#endif
