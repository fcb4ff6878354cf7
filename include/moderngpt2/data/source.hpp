#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/document_reader.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Where text comes from and how it is cut into documents.
struct SourceOptions {
  std::vector<std::string> inputs;                       // files, globs, folders
  std::string text_column = "text";                      // the field of a JSON line that holds the text
  TextDocument text_document = TextDocument::paragraph;  // what ends a document of a .txt file
  std::int64_t max_documents = 0;                        // over all languages; 0 means all
  bool strict = false;                                   // a line without a document is an Error, not a warning
  std::size_t max_document_bytes = std::size_t{1} << 28;
  std::function<void(const std::string&)> warn;  // takes one line; may be empty
};

/// The documents of all inputs, in an order that depends on the inputs only: the languages take turns document by
/// document, until all are exhausted, and each language's files follow one another.
class DocumentSource {
 public:
  /// Throws Error where an input matches no file or one of no known format.
  explicit DocumentSource(SourceOptions options) : options_(std::move(options)) {
    for (TextFile& file : find_text_files(options_.inputs)) {
      total_bytes_ += file.bytes;
      auto group =
          std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.language == file.language; });
      if (group == groups_.end()) group = groups_.insert(groups_.end(), Group{file.language, {}, 0, nullptr, false});
      group->files.push_back(std::move(file));
    }
  }

  /// The next document; false when there is none left. Throws Error where a file cannot be read to its end, where lines
  /// were read but none gave a document, and with `strict` at the first line that gives none.
  bool next(Document& out) {
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

  /// The languages in the order of their turns.
  std::vector<std::string> languages() const {
    std::vector<std::string> names;
    for (const Group& group : groups_) names.push_back(group.language);
    return names;
  }
  /// Documents given so far.
  std::int64_t documents() const { return documents_; }
  /// Lines that gave no document so far.
  std::int64_t skipped() const { return skipped_; }
  /// Bytes read so far, and in all files together, as they lie on disk.
  std::int64_t bytes_read() const {
    std::int64_t bytes = finished_bytes_;
    for (const Group& group : groups_)
      if (group.reader) bytes += group.reader->position();
    return bytes;
  }
  std::int64_t total_bytes() const { return total_bytes_; }

 private:
  struct Group {
    std::string language;
    std::vector<TextFile> files;
    std::size_t next_file;
    std::unique_ptr<DocumentReader> reader;
    bool any;  // whether the open file has given a document or skipped a line
  };

  bool next_of(Group& group, Document& out) {
    while (group.reader || group.next_file < group.files.size()) {
      if (!group.reader) {
        group.reader = std::make_unique<DocumentReader>(group.files[group.next_file++], options_.text_column,
                                                        options_.text_document, options_.max_document_bytes);
        group.any = false;
      }
      std::string reason;
      const DocumentReader::Result result = group.reader->next(out, reason);
      if (result == DocumentReader::Result::end) {
        if (!group.any) warn(fmt::format("{}: holds no text", group.reader->file().path.string()));
        finished_bytes_ += group.reader->position();
        group.reader.reset();
        continue;
      }
      group.any = true;
      if (result == DocumentReader::Result::document) return true;
      skip(out, reason);
    }
    return false;
  }

  void skip(const Document& where, const std::string& reason) {
    if (options_.strict) throw Error("{}:{}: {}", where.file, where.line, reason);
    ++skipped_;
    if (skipped_ <= shown_warnings) warn(fmt::format("{}:{}: skipped: {}", where.file, where.line, reason));
    if (skipped_ == shown_warnings) warn("further lines that give no document are counted only");
    if (documents_ == 0 && skipped_ == 1) first_reason_ = fmt::format("{}:{}: {}", where.file, where.line, reason);
  }

  bool finish() {
    if (documents_ == 0 && skipped_ > 0) throw Error("no line gives a document; the first one is {}", first_reason_);
    if (!finished_ && skipped_ > 0) warn(fmt::format("{} lines gave no document and were skipped", skipped_));
    finished_ = true;
    return false;
  }

  void warn(const std::string& line) const {
    if (options_.warn) options_.warn(line);
  }

  static constexpr std::int64_t shown_warnings = 5;

  SourceOptions options_;
  std::vector<Group> groups_;
  std::size_t turn_ = 0;
  std::int64_t documents_ = 0, skipped_ = 0, total_bytes_ = 0, finished_bytes_ = 0;
  std::string first_reason_;
  bool finished_ = false;
};

}  // namespace moderngpt2
