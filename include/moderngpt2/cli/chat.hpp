#pragma once

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/chat_format.hpp"
#include "moderngpt2/cli/exit_request.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/generation/generator.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Settings of a Chat.
struct ChatSettings {
  std::optional<ChatMarkup> markup;  ///< chat format; empty: each line is a prompt of its own
  std::optional<std::string> system_prompt;
  GenerationOptions options;  ///< max_new_tokens is the maximum per answer
  int window = 0;             ///< context length in tokens, at most n_positions
};

/// Callbacks for input and output of a chat.
struct ChatTerminal {
  std::function<std::optional<std::string>()> read;  ///< returns the user's next line; nullopt at the end
  std::function<void(const std::string&)> write;     ///< writes a piece of an answer and flushes
  std::function<void(const std::string&)> note;      ///< writes a notice, one line
};

/// Chat with a model. The KV cache is kept between turns, so that each turn computes only its new tokens.
template <class M>
class Chat {
 public:
  Chat(M& model, Tokenizer tokenizer, ChatSettings settings, ChatTerminal terminal)
      : tokenizer_(std::move(tokenizer)),
        settings_(std::move(settings)),
        terminal_(std::move(terminal)),
        generator_(model, settings_.window) {
    if (settings_.markup) {
      history_.emplace(*settings_.markup, settings_.system_prompt);
      std::vector<int>& ends = settings_.options.eos_token_ids;
      const std::optional<int> end_of_turn = history_->markup().end_of_turn();
      if (end_of_turn && std::find(ends.begin(), ends.end(), *end_of_turn) == ends.end()) ends.push_back(*end_of_turn);
    }
  }

  /// Answers lines until `quit`, `exit` or the end of the input. SIGINT ends the current answer; at the prompt it ends
  /// the chat (ExitRequest). Other stop signals end the chat.
  void run() {
    while (const std::optional<std::string> line = terminal_.read()) {
      if (*line == "quit" || *line == "exit") return;
      if (line->find_first_not_of(" \t") == line->npos) continue;
      answer(*line);
      if (interrupted() == SIGINT) reset_interrupt();
    }
    if (const int signal = interrupted()) throw ExitRequest{stop_status(signal), ""};
  }

  /// Writes the answer to one message; nullopt if the message is too long.
  std::optional<GenerationResult> answer(const std::string& message) {
    const ChatHistory::Prompt prompt = history_ ? history_->ask(message, max_prompt_tokens())
                                                : ChatHistory::Prompt{tokenizer_.encode_prompt(message), 0};
    const int room = settings_.window - int(prompt.ids.size());
    if (room < 1) {
      terminal_.note(
          fmt::format("message ignored: with {} tokens the prompt leaves no room in the context of {} tokens",
                      prompt.ids.size(), settings_.window));
      return std::nullopt;
    }
    if (prompt.dropped_turns > 0)
      terminal_.note(
          fmt::format("the chat no longer fits {} tokens: its first {} forgotten", settings_.window,
                      prompt.dropped_turns == 1 ? "turn is" : fmt::format("{} turns are", prompt.dropped_turns)));
    GenerationOptions options = settings_.options;
    options.max_new_tokens = std::min(options.max_new_tokens, room);
    StreamDecoder decoder(tokenizer_);
    const GenerationResult result = generator_.generate(prompt.ids, options, [&](int token) {
      terminal_.write(decoder.put(token));
      return !interrupted();
    });
    terminal_.write(decoder.finish() + "\n");
    ++settings_.options.sequence;  // new random numbers for each turn
    if (history_) history_->answer(result.tokens);
    if (result.stop == StopReason::max_new_tokens && options.max_new_tokens == room)
      terminal_.note(fmt::format("the answer stopped at the end of the context, {} tokens", settings_.window));
    return result;
  }

 private:
  /// Maximum prompt length: at least half of the window is left for a long answer.
  std::size_t max_prompt_tokens() const {
    const int answer = std::clamp(settings_.options.max_new_tokens, 1, std::max(settings_.window / 2, 1));
    return std::size_t(settings_.window - answer);
  }

  Tokenizer tokenizer_;
  ChatSettings settings_;
  ChatTerminal terminal_;
  Generator<M> generator_;
  std::optional<ChatHistory> history_;
};

}  // namespace moderngpt2
