#!/usr/bin/env python3
"""Counts the right answers of a chat model by kind of question, on the dialogues of make_dialogues.

    check_chat.py --generate build/bin/generate --model_path chat_model questions/dialogues-*.jsonl

Each dialogue is a chat of its own: the user's lines go to `generate --interactive` one after another, so that an answer
rests on the model's own earlier ones. An answer is right when it is the expected one, word for word.
"""

import argparse
import collections
import json
import subprocess

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--generate", default="generate")
parser.add_argument("--model_path", required=True)
parser.add_argument("--show_wrong", type=int, default=0, help="wrong answers to show")
parser.add_argument("files", nargs="+")
arguments = parser.parse_args()

asked, right = collections.Counter(), collections.Counter()
shown = 0
for file in arguments.files:
    for line in open(file, encoding="utf-8"):
        dialogue = json.loads(line)
        said = collections.defaultdict(list)
        for message in dialogue["messages"]:
            said[message["role"]].append(message["content"])
        command = [arguments.generate, "--model_path", arguments.model_path]
        command += ["--interactive", "--no_do_sample", "--threads", "1"]
        command += [f"--system_prompt={text}" for text in said["system"]]
        chat = subprocess.run(command, input="\n".join(said["user"]) + "\n", capture_output=True, text=True, check=True)
        answers = chat.stdout.splitlines()
        for kind, question, expected, answer in zip(dialogue["kinds"], said["user"], said["assistant"], answers):
            asked[kind] += 1
            right[kind] += answer == expected
            if answer != expected and shown < arguments.show_wrong:
                shown += 1
                print(f"{kind}: {question} -> {answer} (expected: {expected})")

print("| takes | asked | right |\n| --- | --- | --- |")
for kind, count in sorted(asked.items(), key=lambda item: -right[item[0]] / item[1]):
    print(f"| {kind} | {count} | {right[kind]} ({100 * right[kind] / count:.0f}%) |")
print(f"| all | {asked.total()} | {right.total()} ({100 * right.total() / asked.total():.0f}%) |")
