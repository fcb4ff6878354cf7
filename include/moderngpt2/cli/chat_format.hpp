#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/chat_markup.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Text format of a chat. automatic: the checkpoint's chat template, or plain if it has none; plain: lines without
/// markup; header, chatml, gemma, llama2: templates of tokenizer/chat_template.hpp.
enum class ChatFormat : unsigned char { automatic, plain, header, chatml, gemma, llama2 };

/// Returns the markup of a chat format; nullopt for plain. Throws an Error if the format is automatic and the
/// checkpoint's template is not supported.
std::optional<ChatMarkup> chat_markup(ChatFormat format, const std::filesystem::path& folder,
                                      const Tokenizer& tokenizer);

/// Token ids of a chat. Answers keep the ids that the model generated, so that the KV cache stays valid.
class ChatHistory {
 public:
  /// Throws a UsageError for a system prompt that the template refuses.
  ChatHistory(ChatMarkup markup, std::optional<std::string> system_prompt)
      : markup_(std::move(markup)), system_prompt_(std::move(system_prompt)) {
    if (system_prompt_ && markup_.no_system_prompt())
      throw UsageError(
          fmt::format("--system_prompt: the chat format has no system prompt: {}", *markup_.no_system_prompt()));
  }

  struct Prompt {
    std::vector<int> ids;       ///< the chat up to the beginning of the answer
    std::size_t dropped_turns;  ///< number of turns (message and answer) dropped to make it fit
  };

  /// Returns the prompt for a new message. If it exceeds `most_tokens`, whole turns are dropped from the beginning; the
  /// system prompt stays. The new message alone may still be longer.
  Prompt ask(std::string message, std::size_t most_tokens) {
    question_ = std::move(message);
    Prompt prompt;
    for (dropped_turns_ = 0;; ++dropped_turns_) {
      prompt = {ids_from(dropped_turns_), dropped_turns_};
      if (prompt.ids.size() <= most_tokens || dropped_turns_ == turns_.size()) return prompt;
    }
  }

  /// Stores the last message with its answer. Without this call, the message is not part of the chat.
  void answer(std::span<const int> tokens) {
    turns_.erase(turns_.begin(), turns_.begin() + std::ptrdiff_t(dropped_turns_));
    dropped_turns_ = 0;
    turns_.push_back({std::move(question_), {tokens.begin(), tokens.end()}});
  }

  const ChatMarkup& markup() const { return markup_; }

 private:
  /// Ids of the turns from `first` on and the last message.
  std::vector<int> ids_from(std::size_t first) const {
    return markup_.encode(system_prompt_, std::span(turns_).subspan(first), question_);
  }

  ChatMarkup markup_;
  std::optional<std::string> system_prompt_;
  std::vector<ChatTurn> turns_;
  std::string question_;           // last message
  std::size_t dropped_turns_ = 0;  // number of first turns that did not fit with it
};

inline std::optional<ChatMarkup> chat_markup(ChatFormat format, const std::filesystem::path& folder,
                                             const Tokenizer& tokenizer) {
  const auto named = [&](const char* flag, std::string jinja) {
    return ChatMarkup(tokenizer, {std::move(jinja), std::string("--chat_format ") + flag, special_token_names(folder)},
                      ChatMarkup::MissingTokens::error);
  };
  switch (format) {
    case ChatFormat::plain:
      return std::nullopt;
    case ChatFormat::header:
      return named("header", chat_jinja_template());
    case ChatFormat::chatml:
      return named("chatml", chatml_jinja_template);
    case ChatFormat::gemma:
      return named("gemma", gemma_jinja_template);
    case ChatFormat::llama2:
      return named("llama2", llama2_jinja_template);
    case ChatFormat::automatic:
      break;
  }
  std::optional<ChatTemplate> chat = read_chat_template(folder);
  if (!chat) return std::nullopt;
  return ChatMarkup(tokenizer, *std::move(chat));
}

}  // namespace moderngpt2
