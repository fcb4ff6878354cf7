"""Writes tests/data/tokenizer/pre_tokenizers.json: pieces of stress texts by the package `tokenizers` 0.23.3.

    pip install tokenizers==0.23.3
    python3 tests/tokenizer/write_pre_tokenizer_cases.py
"""

import json
import pathlib
import random

from tokenizers import Tokenizer, models

DATA = pathlib.Path(__file__).parent.parent / "data/tokenizer"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
R50K = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                         r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CAPITAL, SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}*{SMALL}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}+{SMALL}*{CONTRACTIONS}?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = O200K.replace(CONTRACTIONS + "?", "").replace("{1,3}", "")
DEEPSEEK = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"""
            "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level(add_prefix_space, use_regex):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def metaspace(scheme, splits, replacement="\u2581"):
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": splits}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


deepseek = [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK)]
pre_tokenizers = [split(p) for p in (GPT2, R50K, LLAMA3, QWEN2, O200K, TEKKEN)]
pre_tokenizers += [split(O200K, "Removed", True), *deepseek, sequence(*deepseek, byte_level(False, False))]
for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
    for invert in (False, True):
        pre_tokenizers += [split(" ", behavior, invert, "String"), split(r"\p{N}{1,3}", behavior, invert),
                           split("[aA]+", behavior, invert), split("(?=[A-Z])", behavior, invert),
                           split(GPT2, behavior, invert)]
    pre_tokenizers.append({"type": "Punctuation", "behavior": behavior})
pre_tokenizers += [split("ab", "Isolated", False, "String"), split("", "Isolated", False, "String")]
pre_tokenizers += [{"type": name} for name in ("Punctuation", "Whitespace", "WhitespaceSplit", "BertPreTokenizer",
                                               "UnicodeScripts", "FixedLength")]
pre_tokenizers += [{"type": "Digits", "individual_digits": each} for each in (True, False)]
pre_tokenizers += [{"type": "FixedLength", "length": 3}, {"type": "CharDelimiterSplit", "delimiter": "\u65e5"}]
pre_tokenizers += [byte_level(space, regex) for space in (True, False) for regex in (True, False)]
for scheme in ("always", "first", "never"):
    for splits in (True, False):
        pre_tokenizers += [metaspace(scheme, splits), sequence({"type": "Punctuation"}, metaspace(scheme, splits))]
pre_tokenizers += [
    {"type": "Metaspace", "replacement": "_", "add_prefix_space": True, "str_rep": "_"},
    sequence({"type": "WhitespaceSplit"}, metaspace("first", True)),
    sequence({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(False, True),
             {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")),
    sequence(sequence({"type": "Digits", "individual_digits": True}), byte_level(False, True)),
    sequence(byte_level(True, True), byte_level(False, True)),
]

parts = ("\t \n \r \r\n \x0b \x85 \xa0 \u1680 \u2028 \u3000 \x00 \x7f \xad \u180e \u200b \u200d a b Z \u017f \u212a \u0130 \xdf "
         "\u01c5 \u02b0 \u0301 e\u0301 \xe9 \xc9 \u03b1 \u0627 \u0660 \u0966 \xbd \u2160 \u3007 \u3042 \u30fc \u65e5\u672c "
         "\ud55c \u9fa5 \u9fa6 \u3040 \u3100 \ufe0f \U0001f600 \U0001d400 \U0001d7ce \U00020000 \U0010ffff \ue000 \u0378 \u061d "
         "\U00011de0 \u1c89 \u1c8a \ua7cb \u2581 _ 's 'S 'll 'LL 're 'vE '\u017f 'm 'd ' ab Ab ABc AB Abc 123 4567 7 / // !\n "
         "... # $ \u20ac -").split(" ") + [" "] * 12 + ["  ", "   ", "\n\n", " \n ", "\n  ", " a", " A"]
random.seed(22)
texts = ["We'll see: IT'S 12345 tests, isn't it?  \n\n\tOK \u65e5\u672c\u8a9e\u306e 2.5 "]
texts += ["".join(random.choices(parts, k=size)) for size in (1, 3, 10, 25, 25, 25)]

cases = []
for pre_tokenizer in pre_tokenizers:
    file = json.loads(Tokenizer(models.BPE()).to_str())
    file["pre_tokenizer"] = pre_tokenizer
    loaded = Tokenizer.from_str(json.dumps(file)).pre_tokenizer
    pieces = [[piece for piece, _ in loaded.pre_tokenize_str(text)] for text in texts]
    cases.append({"pre_tokenizer": pre_tokenizer, "pieces": pieces})
lines = ",\n".join(json.dumps(case, separators=(",", ":"), ensure_ascii=False) for case in cases)
(DATA / "pre_tokenizers.json").write_text(
    f'{{"texts":{json.dumps(texts)},\n"cases":[\n{lines}\n]}}\n', encoding="utf-8")
