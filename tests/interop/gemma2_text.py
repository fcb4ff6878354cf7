"""Exports of our models with a tokenizer in stock Transformers: gemma2_text.py BIN MODEL...

MODEL: folders with a tokenizer. Exported as gemma2, AutoModelForCausalLM and AutoTokenizer must load them without a
warning, AutoTokenizer must give our ids, generate() our text."""

import json
import sys
import tempfile
from pathlib import Path

from common import Programs, Recorder, Report, greedy, load_stock, need
from texts import make_texts

torch, transformers, _ = need("torch", "transformers", "safetensors")
torch.set_num_threads(1)

MARGIN = 1e-3  # tokens whose logit leads by less may differ


def check_model(programs, source, scratch):
    """Exports a model with a tokenizer. Returns a note."""
    out = scratch / f"{source.name}.gemma2"
    programs.convert(source, out, "gemma2")
    model = load_stock(out)
    with Recorder() as recorder:
        tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert not recorder.messages, f"warnings: {recorder.messages[:3]}"
    assert len(tokenizer) <= model.config.vocab_size, f"{len(tokenizer)} tokens, {model.config.vocab_size} rows"
    ours = json.loads((source / "config.json").read_text())
    for field in ("bos_token_id", "eos_token_id", "pad_token_id"):
        theirs = getattr(model.config, field)
        assert theirs == ours.get(field, theirs), f"{field} is {theirs}, ours {ours.get(field)}"
    texts = make_texts(2000)
    ids = programs.token_ids(source, texts)
    differ = [text for text, own in zip(texts, ids) if tokenizer(text)["input_ids"] != own]
    assert not differ, f"ids of {len(differ)} of {len(texts)} texts differ, such as {differ[0][:60]!r}"
    prompts = ["The ", "In the beginning", "Once upon a time there was a"]
    for prompt in prompts:
        start = tokenizer(prompt)["input_ids"]
        with torch.no_grad():
            continued, margins = greedy(model, start, 30)
            answer = model.generate(torch.tensor([start]), do_sample=False, max_new_tokens=30,
                                    attention_mask=torch.ones(1, len(start), dtype=torch.long))[0].tolist()
        end = [model.config.eos_token_id] if isinstance(model.config.eos_token_id, int) else model.config.eos_token_id
        stop = next((i for i in range(len(start), len(continued)) if continued[i] in (end or [])), len(continued))
        text = tokenizer.decode(continued[len(start):stop], skip_special_tokens=True)
        if min(margins[:stop - len(start)], default=1) < MARGIN:
            continue
        assert answer[:stop] == continued[:stop], f"stock generate() of {prompt!r} is not greedy without a cache"
        own = programs.run("generate", "--model_path", source, "--prompt", prompt, "--no_do_sample",
                           "--max_new_tokens", 30).removesuffix("\n")
        assert own == text.removesuffix("\n"), f"text after {prompt!r}: {own!r}, stock {text!r}"
    return f"{len(texts)} texts, {len(prompts)} completions"


def main():
    programs, report = Programs(sys.argv[1]), Report()
    with tempfile.TemporaryDirectory() as folder:
        for source in map(Path, sys.argv[2:]):
            report.check(str(source), lambda: check_model(programs, source, Path(folder)))
    report.finish()


main()
