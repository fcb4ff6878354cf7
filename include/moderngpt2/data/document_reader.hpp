#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/json_objects.hpp"
#include "moderngpt2/data/line_reader.hpp"
#include "moderngpt2/data/open_bytes.hpp"
#include "moderngpt2/data/text_encoding.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "moderngpt2/io/json_string.hpp"

namespace moderngpt2 {

/// Document of the training text and its position. `line`: line, or row of a Parquet file, counted from 1.
struct Document {
  std::string text;
  std::string language;
  std::string file;
  std::int64_t line = 0;
};

/// Unit that is one document in .txt files: a line, a paragraph (ended by a blank line), or the file.
enum class TextDocument { line, paragraph, file };

/// Bytes of a document or skipped line, and those that are not UTF-8.
struct TextBytes {
  std::int64_t bytes = 0, invalid = 0;
  std::int64_t line = 0;  ///< line or row of the first invalid byte, if there is one
  std::string sample;     ///< text from that byte on, at most 4 KiB; empty for an escaped surrogate without its pair

  /// Counts the bytes of a text that begins in `line`. `has_lines`: whether its line ends are line ends of the file.
  static TextBytes of(std::string_view text, std::int64_t line, bool has_lines) {
    TextBytes counts{static_cast<std::int64_t>(text.size()), 0, line, {}};
    const InvalidUtf8 found = find_invalid_utf8(text);
    counts.invalid = found.bytes;
    if (found.bytes == 0) return counts;
    if (has_lines) counts.line += std::count(text.begin(), text.begin() + std::ptrdiff_t(found.first), '\n');
    counts.sample = text.substr(found.first, 4096);
    return counts;
  }
};

/// Reader of a file's documents.
class DocumentReader {
 public:
  enum class Result { document, skipped, end };

  virtual ~DocumentReader() = default;
  /// Bytes of the last document or skipped line.
  const TextBytes& text_bytes() const { return text_bytes_; }
  /// Reads the next document, or returns `skipped` with a `reason` for a line without one. Text longer than the limit
  /// is returned as several documents. Sets all fields except the language. Throws Error if the file cannot be read.
  virtual Result next(Document& out, std::string& reason) = 0;
  /// Number of bytes read from the file, for progress.
  virtual std::int64_t position() const = 0;

 protected:
  TextBytes text_bytes_;
};

/// Documents of a text file: objects of a JSON file, or plain text.
class LineDocumentReader final : public DocumentReader {
 public:
  LineDocumentReader(TextFile file, const std::string& text_column, TextDocument text_document, std::size_t max_bytes)
      : file_(std::move(file)), text_document_(text_document), max_bytes_(max_bytes) {
    if (file_.format.content == TextFormat::Content::json_lines)
      json_ = std::make_unique<JsonObjectReader>(file_, max_bytes, text_column);
    else
      lines_ = std::make_unique<LineReader>(open_bytes(file_), max_bytes);
  }

  Result next(Document& out, std::string& reason) override {
    out.text.clear();
    out.file = file_.path.string();
    if (json_) return next_json(out, reason);
    const Result result = next_text(out);
    if (result == Result::document) text_bytes_ = TextBytes::of(out.text, out.line, true);
    return result;
  }
  std::int64_t position() const override { return json_ ? json_->position() : lines_->position(); }

 private:
  static bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos; }

  Result next_text(Document& out) {
    bool any = false;
    while (has_line_ || lines_->next(line_)) {
      has_line_ = false;
      const bool blank = is_blank(line_) && !lines_->is_piece();
      if (!any && blank) continue;  // blank lines before a document
      if (!any) out.line = lines_->number();
      if (blank && text_document_ == TextDocument::paragraph) return Result::document;
      if (any && out.text.size() + 1 + line_.size() > max_bytes_) {
        has_line_ = true;
        return Result::document;
      }
      if (any && !joined_) out.text += '\n';
      any = true;
      joined_ = lines_->unfinished();
      out.text.append(line_);
      if (text_document_ == TextDocument::line || out.text.size() >= max_bytes_) return Result::document;
    }
    return any ? Result::document : Result::end;
  }

  Result next_json(Document& out, std::string& reason) {
    const JsonObjectReader::Result result = json_->next(reason);
    if (result == JsonObjectReader::Result::end) return Result::end;
    out.line = json_->line();
    const std::string_view text = json_->text();
    if (result == JsonObjectReader::Result::object) {
      const detail::JsonScanner& scanner = json_->scanner();
      reason = scanner.problem();
      if (reason.empty()) {
        const std::int64_t lone = detail::append_json_string(scanner.field_text(text), out.text);
        text_bytes_ = {static_cast<std::int64_t>(out.text.size()), 3 * lone, out.line, {}};
        return Result::document;
      }
      if (!scanner.has_field() && !scanner.list_field().empty() && json_->is_only_value())
        throw Error("{}: {}", out.file, list_in_object_text(file_, scanner.list_field()));
    }
    text_bytes_ = TextBytes::of(json_->text(), out.line, true);
    if (text_bytes_.invalid > 0 && valid_utf8_prefix(text) != text.size()) reason = "the line is not UTF-8";
    return Result::skipped;
  }

  TextFile file_;
  TextDocument text_document_;
  std::size_t max_bytes_;
  std::unique_ptr<JsonObjectReader> json_;  // or lines_
  std::unique_ptr<LineReader> lines_;
  std::string_view line_;
  bool has_line_ = false, joined_ = false;  // line_ belongs to the next document; line_ continues in the next piece
};

}  // namespace moderngpt2
