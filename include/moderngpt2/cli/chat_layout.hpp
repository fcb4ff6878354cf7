#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/jinja.hpp"

namespace moderngpt2 {

/// Text of a chat template in front of a message, and what the template strips from the message.
struct ChatSlot {
  std::string before;
  std::size_t message = 0;       ///< index in the conversation, with the system prompt
  std::string_view left, right;  ///< characters that are stripped from the beginning and the end
};

/// Conversation as a chat template writes it: slots for the messages, then the text up to the answer of the model.
struct ChatLayout {
  std::vector<ChatSlot> slots;
  std::string end;
};

/// Finds the layout of conversations by rendering a chat template with placeholders for the messages. The text of
/// messages thus never becomes part of the template's text.
class ChatLayouts {
 public:
  /// Throws an Error for a template that cannot be parsed.
  explicit ChatLayouts(const ChatTemplate& chat) : template_(chat.jinja), tokens_(chat.tokens) {}

  /// Layout of a conversation: an optional system prompt, `turns` turns of user and assistant, and a message of the
  /// user. Throws an Error if the template refuses the conversation, or omits, repeats or changes a message other than
  /// by stripping white space.
  ChatLayout of(bool with_system, std::size_t turns) const {
    const std::size_t n = (with_system ? 1 : 0) + 2 * turns + 1;
    const std::string text = render(with_system, n, "", "");
    ChatLayout layout;
    std::vector<std::pair<std::size_t, std::size_t>> found;  // position, message
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = text.find(placeholder(i));
      if (at == text.npos || text.find(placeholder(i), at + 1) != text.npos)
        throw Error("the template does not insert each message exactly once and unchanged");
      found.emplace_back(at, i);
    }
    std::sort(found.begin(), found.end());
    std::size_t from = 0;
    for (const auto& [at, message] : found) {
      layout.slots.push_back({text.substr(from, at - from), message, {}, {}});
      from = at + placeholder(message).size();
    }
    layout.end = text.substr(from);
    find_stripped(layout, render(with_system, n, lines + "\f", "\f" + lines));
    return layout;
  }

 private:
  /// White space that no template has around a message.
  inline static const std::string lines = "\n\n\n\n\n\n\n";
  /// Text that no template contains. Quotes and backslashes show whether the template escapes messages.
  static std::string placeholder(std::size_t i) { return fmt::format("qzMessage{}'\"\\zq", i); }

  std::string render(bool with_system, std::size_t n, const std::string& left, const std::string& right) const {
    Json variables = tokens_;
    variables["add_generation_prompt"] = true;
    variables["tools"] = variables["documents"] = nullptr;
    Json messages = Json::array();
    for (std::size_t i = 0; i < n; ++i) {
      const bool is_system = with_system && i == 0, is_user = (i + (with_system ? 1 : 0)) % 2 == 0;
      messages.push_back({{"role", is_system ? "system"
                                   : is_user ? "user"
                                             : "assistant"},
                          {"content", left + placeholder(i) + right}});
    }
    variables["messages"] = std::move(messages);
    return template_.render(variables);
  }

  /// Finds the characters that the template strips, in a rendering of messages with white space around them.
  static void find_stripped(ChatLayout& layout, const std::string& padded) {
    static constexpr std::string_view white = " \t\n\r\f\v", line_feed = "\n";
    for (ChatSlot& slot : layout.slots) {
      const std::string name = placeholder(slot.message);
      const std::size_t at = padded.find(name);
      if (at == padded.npos) continue;
      const std::string_view all = padded, before = all.substr(0, at), after = all.substr(at + name.size());
      if (!before.ends_with(lines + "\f")) slot.left = before.ends_with('\f') ? line_feed : white;
      if (!after.starts_with("\f" + lines)) slot.right = after.starts_with('\f') ? line_feed : white;
    }
  }

  JinjaTemplate template_;
  Json tokens_;
};

}  // namespace moderngpt2
