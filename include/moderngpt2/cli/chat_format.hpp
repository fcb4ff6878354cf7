#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Text format of a chat. plain: lines without markup; header: messages with headers (tokenizer/chat_template.hpp);
/// automatic: header if the checkpoint has a chat template, otherwise plain.
enum class ChatFormat : unsigned char { automatic, plain, header };

/// Encodes messages in the format of tokenizer/chat_template.hpp. Messages are ordinary text: special tokens that a
/// user types are not encoded as such.
class HeaderFormat {
 public:
  /// First token of this format that a tokenizer lacks, if any.
  static std::optional<std::string> missing_token(const Tokenizer& tokenizer) {
    for (const char* token : chat_header_tokens)
      if (!tokenizer.id(token)) return token;
    return std::nullopt;
  }

  /// Throws Error for a tokenizer without the tokens of the format.
  explicit HeaderFormat(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {
    if (const auto missing = missing_token(tokenizer_))
      throw Error(
          "the tokenizer has no token {}, which chats with headers need: use --chat_format plain, or train the "
          "tokenizer with --chat_tokens",
          *missing);
  }

  /// Tokens at the beginning of a chat.
  std::vector<int> begin() const { return {id(chat_begin_token)}; }
  /// Token that ends a message.
  int end_of_turn() const { return id(chat_eot_token); }

  /// Appends header, text and end of a message. `role`: "system", "user" or "assistant".
  void append_message(std::vector<int>& ids, std::string_view role, std::string_view text) const {
    append_header(ids, role, text);
    ids.push_back(end_of_turn());
  }
  /// Appends the header of a message for the model to complete.
  void append_question(std::vector<int>& ids, std::string_view role) const { append_header(ids, role, ""); }

 private:
  int id(const char* token) const { return *tokenizer_.id(token); }

  void append_header(std::vector<int>& ids, std::string_view role, std::string_view text) const {
    ids.push_back(id(chat_start_token));
    tokenizer_.encode(role, ids, true);
    ids.push_back(id(chat_end_token));
    tokenizer_.encode("\n\n" + std::string(text), ids, true);
  }

  Tokenizer tokenizer_;
};

/// Resolves ChatFormat::automatic for a checkpoint.
inline ChatFormat resolve_chat_format(ChatFormat asked, const std::filesystem::path& folder,
                                      const Tokenizer& tokenizer) {
  if (asked != ChatFormat::automatic) return asked;
  return has_chat_template(folder) && !HeaderFormat::missing_token(tokenizer) ? ChatFormat::header : ChatFormat::plain;
}

/// Token ids of a chat with headers. Answers keep the ids that the model generated, so that the KV cache stays valid.
class ChatHistory {
 public:
  ChatHistory(HeaderFormat format, const std::optional<std::string>& system_prompt)
      : format_(std::move(format)), start_(format_.begin()) {
    if (system_prompt) format_.append_message(start_, "system", *system_prompt);
  }

  struct Prompt {
    std::vector<int> ids;       ///< the chat up to the beginning of the answer
    std::size_t dropped_turns;  ///< number of turns (message and answer) dropped to make it fit
  };

  /// Returns the prompt for a new message. If it exceeds `most_tokens`, whole turns are dropped from the beginning; the
  /// system prompt stays. The new message alone may still be longer.
  Prompt ask(std::string_view message, std::size_t most_tokens) {
    question_.clear();
    format_.append_message(question_, "user", message);
    format_.append_question(question_, "assistant");
    std::size_t length = start_.size() + question_.size();
    for (const std::vector<int>& turn : turns_) length += turn.size();
    dropped_turns_ = 0;
    while (length > most_tokens && dropped_turns_ < turns_.size()) length -= turns_[dropped_turns_++].size();
    Prompt prompt{start_, dropped_turns_};
    for (std::size_t i = dropped_turns_; i < turns_.size(); ++i)
      prompt.ids.insert(prompt.ids.end(), turns_[i].begin(), turns_[i].end());
    prompt.ids.insert(prompt.ids.end(), question_.begin(), question_.end());
    return prompt;
  }

  /// Stores the last message with its answer. Without this call, the message is not part of the chat.
  void answer(std::span<const int> tokens) {
    turns_.erase(turns_.begin(), turns_.begin() + std::ptrdiff_t(dropped_turns_));
    dropped_turns_ = 0;
    std::vector<int>& turn = turns_.emplace_back(std::move(question_));
    turn.insert(turn.end(), tokens.begin(), tokens.end());
    turn.push_back(format_.end_of_turn());
  }

  const HeaderFormat& format() const { return format_; }

 private:
  HeaderFormat format_;
  std::vector<int> start_;  // begin of text and system prompt
  std::vector<std::vector<int>> turns_;
  std::vector<int> question_;      // last message
  std::size_t dropped_turns_ = 0;  // number of first turns that did not fit with it
};

}  // namespace moderngpt2
