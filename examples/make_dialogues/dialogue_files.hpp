#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "make_dialogues/dialogues.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Converts a dialogue to a JSON object: "text", the dialogue with headers; "messages", each with "role" and "content"
/// as in Transformers' chat templates; "kinds", the skill that each answer needs.
inline Json dialogue_json(const Dialogue& dialogue) {
  Json json;
  json["text"] = dialogue_text(dialogue);
  json["messages"] = Json::array();
  json["kinds"] = Json::array();
  const auto add = [&](std::string_view role, const std::string& content) {
    Json message;
    message["role"] = role;
    message["content"] = content;
    json["messages"].push_back(std::move(message));
  };
  if (dialogue.system) add("system", *dialogue.system);
  for (const DialogueTurn& turn : dialogue.turns) {
    add("user", turn.question);
    add("assistant", turn.answer);
    json["kinds"].push_back(turn.kind);
  }
  return json;
}

/// Writes dialogues first, first + 1, ... of a language as JSON lines. Returns the bytes of text. Throws Error if the
/// file cannot be written.
inline std::uint64_t write_dialogue_file(const std::filesystem::path& path, StoryLanguage language, std::uint64_t seed,
                                         std::uint64_t first, std::uint64_t documents, DialoguePart part) {
  AtomicFile file(path);
  std::uint64_t bytes = 0;
  for (std::uint64_t i = first; i < first + documents; ++i) {
    const Json line = dialogue_json(dialogue(language, seed, i, part));
    bytes += line["text"].get_ref<const std::string&>().size();
    file.write(line.dump() + "\n");
  }
  file.commit();
  return bytes;
}

}  // namespace moderngpt2
