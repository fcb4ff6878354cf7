"""Makes the expected results of the tests of tokenizer training from documents.jsonl.

    make.py    # in this folder; sentencepiece 0.2.3 and tokenizers 0.23.3

pieces.json: pieces that SentencePiece's BPE trainer learns, with its scores. merges.json: merges of BpeTrainer.
"""

import io
import json

import sentencepiece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")

documents = [json.loads(line)["text"] for line in open("documents.jsonl", encoding="utf-8")]

models_of_sentencepiece = []
for vocab_size, coverage in ((700, 0.98), (1400, 0.9995), (1800, 0.9995)):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(documents), model_writer=model, model_type="bpe", vocab_size=vocab_size,
        character_coverage=coverage, max_sentence_length=16384, byte_fallback=True,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, pad_id=0, unk_id=1,
        eos_id=2, bos_id=-1, pad_piece="<pad>", unk_piece="<unk>", eos_piece="<|endoftext|>", minloglevel=2)
    trained = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    models_of_sentencepiece.append({
        "vocab_size": vocab_size, "character_coverage": coverage,
        "pieces": [trained.id_to_piece(i) for i in range(259, vocab_size)]})
with open("pieces.json", "w", encoding="utf-8") as file:
    json.dump(models_of_sentencepiece, file, ensure_ascii=False, indent=0)
    file.write("\n")

trained = []
for name, pattern in (("gpt2", GPT2), ("llama3", LLAMA3)):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=1200, special_tokens=["<pad>", "<unk>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    trained.append({"split_pattern": name, "vocab": sorted(model["vocab"], key=model["vocab"].get),
                    "merges": model["merges"]})
with open("merges.json", "w", encoding="utf-8") as file:
    json.dump(trained, file, ensure_ascii=False, separators=(",", ":"))
    file.write("\n")
