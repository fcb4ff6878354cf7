"""Texts on which tokenizers are compared."""

import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ODDITIES = ["", " ", "  ", "\n", "\n\n\n", "\t", "\r\n", "\r", "\u00a0", "\u3000", "\u2581", "\u2581\u2581a", "a\u2581b",
            "\ufeff", "\u200d", "\u0301", "e\u0301", "\u00e9", "I'm we'll THEY'RE 'tis", "1234567890", "3.14159e-10",
            "<0x41>", "<0x0A>", "<unk>", "<pad>", "<|endoftext|>", "a<|endoftext|>b <|endoftext|>", "<|endoftext|",
            "<|eot_id|>", "don\u2019t", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0e01\u0e33", "\ud55c\uad6d\uc5b4",
            "\u65e5\u672c\u8a9e\u306e\u6587", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "x" * 300, " " * 80, "\n " * 40]
RANGES = [(0x20, 0x7e)] * 4 + [(0x09, 0x0d), (0x20, 0x20), (0x80, 0xff), (0x100, 0x24f), (0x300, 0x36f), (0x370, 0x5ff),
                               (0x600, 0x7ff), (0x900, 0xdff), (0x1100, 0x11ff), (0x2000, 0x206f), (0x2100, 0x2bff),
                               (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xe000, 0xe010), (0xfe00, 0xffef),
                               (0x1d400, 0x1d7ff), (0x1f300, 0x1faff), (0x20000, 0x20100)]


def make_texts(count, seed=1):
    """`count` texts, equal for equal arguments: oddities, pieces of this project's pages and sources, random strings."""
    pick = random.Random(seed)
    files = sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "examples").glob("*.cpp"))
    corpus = [file.read_text(encoding="utf-8") for file in files]
    out = list(ODDITIES)
    while len(out) < count:
        kind = pick.randrange(4)
        if kind < 2:
            source = pick.choice(corpus)
            start = pick.randrange(len(source))
            out.append(source[start:start + pick.choice([5, 20, 100, 400])])
        elif kind == 2:
            low, high = pick.choice(RANGES)
            out.append("".join(chr(pick.randint(low, high)) for _ in range(pick.randint(1, 30))))
        else:
            parts = []
            for _ in range(pick.randint(1, 12)):
                low, high = pick.choice(RANGES)
                parts.append(pick.choice(["", "", " ", "\n"]) + "".join(chr(pick.randint(low, high))
                                                                      for _ in range(pick.randint(1, 6))))
            out.append("".join(parts))
    return [text.replace("\0", "") for text in out[:count]]
