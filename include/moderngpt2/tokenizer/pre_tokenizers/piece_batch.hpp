#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

namespace moderngpt2::detail {

/// Some pieces of one text, in order, none of them empty. The bytes between a piece and `text_end` can be read.
struct Pieces {
  static constexpr std::size_t most = 64;  ///< pieces in one call of a PieceBatch

  std::span<const std::string_view> pieces;
  const char* text_end;
};

/// Collects the pieces of a text and calls emit(const Pieces&) for several at a time, so that a model can fetch what it
/// knows of all of them from memory at once.
template <class Emit>
class PieceBatch {
 public:
  /// Collects parts of `text`. A piece of other memory is emitted at once.
  PieceBatch(std::string_view text, Emit& emit) : begin_(text.data()), end_(begin_ + text.size()), emit_(emit) {}

  void add(std::string_view piece) {
    if (std::less<>()(piece.data(), begin_) || !std::less<>()(piece.data(), end_)) {
      flush();
      emit_(Pieces{{&piece, 1}, piece.data() + piece.size()});
      return;
    }
    pieces_[count_++] = piece;
    if (count_ == pieces_.size()) flush();
  }

  /// Emits the rest.
  void flush() {
    if (count_ > 0) emit_(Pieces{{pieces_.data(), count_}, end_});
    count_ = 0;
  }

 private:
  const char* begin_;
  const char* end_;
  Emit& emit_;
  std::size_t count_ = 0;
  std::array<std::string_view, Pieces::most> pieces_;
};

}  // namespace moderngpt2::detail
