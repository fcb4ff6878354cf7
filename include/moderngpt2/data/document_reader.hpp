#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/byte_reader.hpp"
#include "moderngpt2/data/compressed_readers.hpp"
#include "moderngpt2/data/json_field.hpp"
#include "moderngpt2/data/line_reader.hpp"
#include "moderngpt2/data/text_files.hpp"

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

/// Opens a file, decompressed according to its name.
inline std::unique_ptr<ByteReader> open_bytes(const TextFile& file) {
  switch (file.format.packing) {
    case TextFormat::Packing::gzip:
      return std::make_unique<GzipReader>(file.path);
    case TextFormat::Packing::zstd:
      return std::make_unique<ZstdReader>(file.path);
    case TextFormat::Packing::none:
      break;
  }
  return std::make_unique<FileReader>(file.path);
}

/// Reader of a file's documents.
class DocumentReader {
 public:
  enum class Result { document, skipped, end };

  virtual ~DocumentReader() = default;
  /// Reads the next document, or returns `skipped` with a `reason` for a line without one. Text longer than the limit
  /// is returned as several documents. Sets all fields except the language. Throws Error if the file cannot be read.
  virtual Result next(Document& out, std::string& reason) = 0;
  /// Number of bytes read from the file, for progress.
  virtual std::int64_t position() const = 0;
};

/// Documents of a text file: JSON lines or plain text.
class LineDocumentReader final : public DocumentReader {
 public:
  LineDocumentReader(TextFile file, std::string text_column, TextDocument text_document, std::size_t max_bytes)
      : file_(std::move(file)),
        text_column_(std::move(text_column)),
        text_document_(text_document),
        max_bytes_(max_bytes),
        lines_(open_bytes(file_), max_bytes) {}

  Result next(Document& out, std::string& reason) override {
    out.text.clear();
    out.file = file_.path.string();
    if (file_.format.content == TextFormat::Content::json_lines) return next_json(out, reason);
    return next_text(out);
  }
  std::int64_t position() const override { return lines_.position(); }

 private:
  static bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos; }

  Result next_text(Document& out) {
    bool any = false;
    while (has_line_ || lines_.next(line_)) {
      has_line_ = false;
      const bool blank = is_blank(line_) && !lines_.is_piece();
      if (!any && blank) continue;  // blank lines before a document
      if (!any) out.line = lines_.number();
      if (blank && text_document_ == TextDocument::paragraph) return Result::document;
      if (any && out.text.size() + 1 + line_.size() > max_bytes_) {
        has_line_ = true;
        return Result::document;
      }
      if (any && !joined_) out.text += '\n';
      any = true;
      joined_ = lines_.unfinished();
      out.text.append(line_);
      if (text_document_ == TextDocument::line || out.text.size() >= max_bytes_) return Result::document;
    }
    return any ? Result::document : Result::end;
  }

  Result next_json(Document& out, std::string& reason) {
    do {
      if (!lines_.next(line_)) return Result::end;
    } while (is_blank(line_));
    out.line = lines_.number();
    if (lines_.unfinished()) {
      while (lines_.unfinished() && lines_.next(line_)) {
      }
      return reason = fmt::format("the line is longer than {} bytes", max_bytes_), Result::skipped;
    }
    reason = read_json_field(line_, text_column_, out.text);
    if (!reason.empty()) return Result::skipped;
    return Result::document;
  }

  TextFile file_;
  std::string text_column_;
  TextDocument text_document_;
  std::size_t max_bytes_;
  LineReader lines_;
  std::string_view line_;
  bool has_line_ = false, joined_ = false;  // line_ belongs to the next document; line_ continues in the next piece
};

}  // namespace moderngpt2
