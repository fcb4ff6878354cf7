#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include <zstd.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/byte_reader.hpp"

namespace moderngpt2 {

/// A Zstandard file (RFC 8878), of one frame or of several; unpacked piece by piece.
class ZstdReader final : public ByteReader {
 public:
  explicit ZstdReader(const std::filesystem::path& path)
      : file_(path), stream_(ZSTD_createDStream(), &ZSTD_freeDStream), buffer_(ZSTD_DStreamInSize()) {
    if (!stream_) throw Error("{}: zstd does not start", path.string());
  }

  std::size_t read(char* out, std::size_t size) override {
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size) {
        input_ = {buffer_.data(), file_.read(buffer_.data(), buffer_.size()), 0};
        // What the decoder still holds of a frame's last block comes out without more input.
        if (input_.size == 0 && !pending_) break;
      }
      const std::size_t status = ZSTD_decompressStream(stream_.get(), &output, &input_);
      if (ZSTD_isError(status))
        throw Error("{}: damaged zstd data near byte {} ({})", file_.path().string(), offset(),
                    ZSTD_getErrorName(status));
      pending_ = status != 0;
      if (pending_ && input_.size == 0 && output.pos == 0)
        throw Error("{}: the zstd data breaks off at byte {}: the file was not copied or written to its end",
                    file_.path().string(), offset());
    }
    return output.pos;
  }
  std::int64_t position() const override { return file_.position(); }

 private:
  std::int64_t offset() const { return file_.position() - static_cast<std::int64_t>(input_.size - input_.pos); }

  FileReader file_;
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<char> buffer_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool pending_ = false;
};

}  // namespace moderngpt2
