#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/chat_layout.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// One turn of a conversation: message of the user, and token ids of the answer that the model generated.
struct ChatTurn {
  std::string question;
  std::vector<int> answer;
};

/// Encodes conversations in the format of a chat template. Ids equal those of Transformers' apply_chat_template, with
/// two exceptions: answers keep the ids that the model generated, and control tokens that a user types are ordinary
/// text.
class ChatMarkup {
 public:
  /// Control tokens of the template that the tokenizer lacks are an Error, or encoded as text with a note.
  enum class MissingTokens : unsigned char { error, note };

  /// Throws an Error that names the reason for a template that is not supported.
  ChatMarkup(Tokenizer tokenizer, ChatTemplate chat, MissingTokens missing = MissingTokens::note);

  /// Token ids of a conversation up to the beginning of the answer. Throws an Error if the template refuses it.
  std::vector<int> encode(const std::optional<std::string>& system_prompt, std::span<const ChatTurn> turns,
                          std::string_view question) const;

  /// Control token that ends an answer: the first of the text after an answer.
  std::optional<int> end_of_turn() const { return end_of_turn_; }
  /// Reason why the template has no system prompt; nullopt if it has one.
  const std::optional<std::string>& no_system_prompt() const { return no_system_prompt_; }
  /// Notice for the user, one line; empty if there is none.
  const std::string& note() const { return note_; }

 private:
  /// Part of a text between two answers.
  struct Part {
    std::string text;
    bool is_message;
  };

  bool ends_white(const std::vector<int>& answer) const { return tokenizer_.decode(answer).ends_with(' '); }
  static std::string_view strip(std::string_view message, const ChatSlot& slot);
  /// Text in front of an earlier answer, as the model saw it when it generated the answer. The template's own text may
  /// differ by white space at the end, or lack text that only the last answer gets (`<think>`).
  static const std::string& before_answer(const ChatSlot& slot, const std::string& end);

  /// Control tokens of a text of the template: special tokens, and other added tokens such as `<|user|>`.
  std::vector<std::string> control_tokens(std::string_view text) const;
  std::size_t control_length(std::string_view text, std::string* missing) const;
  void check_tokens(const ChatLayout& layout, MissingTokens missing);

  void append(const std::vector<Part>& parts, std::vector<int>& ids) const;
  /// Encodes text of messages. Names of control tokens in it are split, so that they stay ordinary text.
  void append_plain(const std::string& text, const std::set<int>& controls, std::vector<int>& ids) const;

  Tokenizer tokenizer_;
  ChatTemplate chat_;
  ChatLayouts layouts_;
  std::vector<std::string> special_;  // special tokens of the tokenizer, long ones first
  std::optional<int> end_of_turn_;
  std::optional<std::string> no_system_prompt_;
  std::string note_;
};

inline ChatMarkup::ChatMarkup(Tokenizer tokenizer, ChatTemplate chat, MissingTokens missing)
    : tokenizer_(std::move(tokenizer)), chat_(std::move(chat)), layouts_([this] {
        try {
          return ChatLayouts(chat_);
        } catch (const Error& error) {
          throw Error("{}: {}. Choose --chat_format plain, header, chatml, gemma or llama2.", chat_.where,
                      error.what());
        }
      }()) {
  for (int id = 0; id < tokenizer_.vocab_size(); ++id)
    if (tokenizer_.is_special(id) && !tokenizer_.token(id).empty()) special_.push_back(tokenizer_.token(id));
  std::stable_sort(special_.begin(), special_.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  const auto layout_of = [&](bool with_system, std::size_t turns) {
    try {
      return layouts_.of(with_system, turns);
    } catch (const Error& error) {
      throw Error("{}: {}. Choose --chat_format plain, header, chatml, gemma or llama2.", chat_.where, error.what());
    }
  };
  check_tokens(layout_of(false, 0), missing);
  const ChatLayout layout = layout_of(false, 1);
  check_tokens(layout, missing);
  std::optional<ChatLayout> with_system;
  try {
    with_system = layouts_.of(true, 1);
  } catch (const Error& error) {
    no_system_prompt_ = error.what();
  }
  if (with_system) check_tokens(*with_system, missing);
  const auto answer =
      std::find_if(layout.slots.begin(), layout.slots.end(), [](auto& slot) { return slot.message == 1; });
  const std::string& after = answer + 1 == layout.slots.end() ? layout.end : (answer + 1)->before;
  const std::size_t first = std::min(after.find_first_not_of(" \t\r\n"), after.size());
  if (const std::size_t length = control_length(std::string_view(after).substr(first), nullptr))
    end_of_turn_ = tokenizer_.id(std::string_view(after).substr(first, length));
}

inline std::string_view ChatMarkup::strip(std::string_view message, const ChatSlot& slot) {
  message.remove_prefix(std::min(message.find_first_not_of(slot.left), message.size()));
  return message.substr(0, message.find_last_not_of(slot.right) + 1);
}

inline const std::string& ChatMarkup::before_answer(const ChatSlot& slot, const std::string& end) {
  const bool adds_white =
      slot.before.starts_with(end) && slot.before.find_first_not_of(" \t\r\n", end.size()) == end.npos;
  return adds_white || end.starts_with(slot.before) ? end : slot.before;
}

/// Length of the control token at the start of a text; 0 without one. `missing` receives a name in the form of a
/// control token (`<|im_start|>`, `<start_of_turn>`, `</s>`) that is not one token.
inline std::size_t ChatMarkup::control_length(std::string_view text, std::string* missing) const {
  for (const std::string& token : special_)
    if (text.starts_with(token)) return token.size();
  const std::size_t end = text.find('>');
  if (text.size() < 3 || text[0] != '<' || end == text.npos || end < 2 || end > 60) return 0;
  const std::string_view name = text.substr(0, end + 1);
  if (name.find_first_of(" \t\n<{", 1) != name.npos) return 0;
  const std::vector<int> ids = tokenizer_.encode(name);
  if (ids.size() == 1 && tokenizer_.id(name) == ids.front()) return name.size();
  if (missing) *missing = name;
  return 0;
}

inline std::vector<std::string> ChatMarkup::control_tokens(std::string_view text) const {
  std::vector<std::string> found;
  while (!text.empty()) {
    const std::size_t length = control_length(text, nullptr);
    if (length > 0) found.emplace_back(text.substr(0, length));
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return found;
}

inline void ChatMarkup::check_tokens(const ChatLayout& layout, MissingTokens missing) {
  std::string all;
  for (const ChatSlot& slot : layout.slots) all += slot.before;
  all += layout.end;
  char last = '\0';
  for (std::string_view text = all; !text.empty();) {
    std::string name;
    const std::size_t length = std::max<std::size_t>(control_length(text, &name), 1);
    const char before = std::exchange(last, text[length - 1]);
    text.remove_prefix(length);
    if (name.empty() || before == '<') continue;  // <</SYS>>
    const bool is_tag = name.starts_with("<|") || name.starts_with("<｜");
    const bool is_control = name[1] == '|' || name[1] == '/' || (name[1] >= 'a' && name[1] <= 'z');
    if (missing == MissingTokens::error && is_control)
      throw Error(
          "{}: the tokenizer has no token {}, which the chat format requires. Use --chat_format plain, or a tokenizer "
          "with this token (train_tokenizer --chat_tokens adds those of the header format).",
          chat_.where, name);
    if (is_tag && note_.empty())
      note_ = fmt::format("{}: the tokenizer has no token {}; it is encoded as text", chat_.where, name);
  }
}

inline std::vector<int> ChatMarkup::encode(const std::optional<std::string>& system_prompt,
                                           std::span<const ChatTurn> turns, std::string_view question) const {
  const ChatLayout layout = layouts_.of(system_prompt.has_value(), turns.size());
  const std::size_t first = system_prompt ? 1 : 0;
  std::vector<int> ids;
  std::vector<Part> parts;
  bool white = false;
  for (const ChatSlot& slot : layout.slots) {
    const bool is_system = slot.message < first;
    const std::size_t turn = is_system ? 0 : (slot.message - first) / 2;
    if (!is_system && (slot.message - first) % 2 == 1) {
      parts.push_back({before_answer(slot, layout.end), false});
      append(parts, ids);
      parts.clear();
      ids.insert(ids.end(), turns[turn].answer.begin(), turns[turn].answer.end());
      white = ends_white(turns[turn].answer);
      continue;
    }
    // The answer ends with a space already: leave out that of the template.
    parts.push_back({slot.before.substr(white && slot.before.starts_with(' ') ? 1 : 0), false});
    white = false;
    const std::string_view message = is_system             ? std::string_view(*system_prompt)
                                     : turn < turns.size() ? std::string_view(turns[turn].question)
                                                           : question;
    parts.push_back({std::string(strip(message, slot)), true});
  }
  parts.push_back({layout.end, false});
  append(parts, ids);
  return ids;
}

inline void ChatMarkup::append(const std::vector<Part>& parts, std::vector<int>& ids) const {
  std::string all;
  std::set<int> controls;     // control tokens of the template that are not special
  std::vector<int> expected;  // control tokens in order
  for (const Part& part : parts) {
    all += part.text;
    if (part.is_message) continue;
    for (const std::string& token : control_tokens(part.text))
      expected.push_back(*tokenizer_.id(token)), controls.insert(expected.back());
  }
  std::vector<int> encoded = tokenizer_.encode(all), found;
  std::copy_if(encoded.begin(), encoded.end(), std::back_inserter(found),
               [&](int id) { return tokenizer_.is_special(id) || controls.contains(id); });
  if (tokenizer_.unk_id()) {  // an unknown character of a message
    std::erase(found, *tokenizer_.unk_id());
    std::erase(expected, *tokenizer_.unk_id());
  }
  if (found == expected) {
    ids.insert(ids.end(), encoded.begin(), encoded.end());
    return;
  }
  // A message contains the name of a control token: the text between control tokens of the template is encoded alone.
  std::string plain;
  for (const Part& part : parts) {
    if (part.is_message) {
      plain += part.text;
      continue;
    }
    for (std::string_view text = part.text; !text.empty();) {
      const std::size_t length = control_length(text, nullptr);
      if (length == 0) {
        plain += text.front();
        text.remove_prefix(1);
        continue;
      }
      append_plain(std::exchange(plain, {}), controls, ids);
      ids.push_back(*tokenizer_.id(text.substr(0, length)));
      text.remove_prefix(length);
    }
  }
  append_plain(plain, controls, ids);
}

inline void ChatMarkup::append_plain(const std::string& text, const std::set<int>& controls,
                                     std::vector<int>& ids) const {
  const auto is_control = [&](int id) { return controls.contains(id); };
  std::vector<int> encoded = tokenizer_.encode(text, true);
  if (std::any_of(encoded.begin(), encoded.end(), is_control)) {
    // Names of added tokens that are not special: split after the first character.
    encoded.clear();
    std::string part;
    for (std::size_t i = 0; i < text.size(); ++i) {
      part += text[i];
      const std::string_view rest = std::string_view(text).substr(i);
      const bool begins =
          std::any_of(controls.begin(), controls.end(), [&](int id) { return rest.starts_with(tokenizer_.token(id)); });
      if (begins || i + 1 == text.size()) tokenizer_.encode(std::exchange(part, {}), encoded, true);
    }
    std::erase_if(encoded, is_control);
  }
  ids.insert(ids.end(), encoded.begin(), encoded.end());
}

}  // namespace moderngpt2
