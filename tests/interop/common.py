"""Helpers of the interoperability tests: optional modules, our programs, and golden cases from stock models."""

import importlib
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

SKIPPED = 77  # exit status that CTest and tests/run.sh count as skipped


def need(*modules):
    """Imports modules. Exits with SKIPPED and the reason if one is missing."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "warning")
    found = []
    for name in modules:
        try:
            found.append(importlib.import_module(name))
        except ImportError as error:
            print(f"skipped: {sys.executable} cannot import {name} ({error}). Install it, or name another Python with "
                  "-DMODERNGPT2_INTEROP_PYTHON=FILE.")
            sys.exit(SKIPPED)
    return found


class Programs:
    """Our programs in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def run(self, name, *arguments, text=None, status=0):
        """Runs a program and returns its standard output. Another exit status than expected is an AssertionError."""
        command = [str(self.folder / name), *map(str, arguments)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", timeout=900)
        if done.returncode != status:
            raise AssertionError(f"{' '.join(command)}\nexit status {done.returncode}, expected {status}\n"
                                 f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def convert(self, source, output, format, *more):
        return self.run("convert_checkpoint", "--input", source, "--output", output, "--format", format, *more)

    def check_cases(self, *folders, backend="cpu"):
        return self.run("golden_check", "--backend", backend, *folders)

    def token_ids(self, tokenizer, texts):
        """Ids with those of the post-processor, one list per text."""
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        out = [json.loads(line) for line in self.run("tokenize_lines", tokenizer, text=lines).split("\n")[:-1]]
        assert len(out) == len(texts), f"tokenize_lines wrote {len(out)} lines for {len(texts)} texts"
        return [one["with_special"] if "with_special" in one else one for one in out]


class Report:
    """Counts checks and prints one line for each."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, function):
        try:
            note = function()
        except Exception as error:  # a failed check must not hide the next ones
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            return None
        self.passed += 1
        print(f"ok   {name}{f': {note}' if isinstance(note, str) else ''}", flush=True)
        return note

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


class Recorder(logging.Handler):
    """Records warnings of Transformers and of Python's warnings module."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())

    def __enter__(self):
        logging.getLogger("transformers").addHandler(self)
        self.filters = warnings.catch_warnings(record=True)
        self.caught = self.filters.__enter__()
        warnings.simplefilter("always")
        return self

    def __exit__(self, *error):
        logging.getLogger("transformers").removeHandler(self)
        self.messages += [str(one.message) for one in self.caught if one.category not in (DeprecationWarning,
                                                                                          PendingDeprecationWarning)]
        self.filters.__exit__(*error)


def load_stock(folder, auto_class=None):
    """Loads a folder with stock Transformers in fp32. A warning, or a missing, unused or misshapen key, is an error."""
    import torch
    import transformers
    auto_class = auto_class or transformers.AutoModelForCausalLM
    with Recorder() as recorder:
        model, info = auto_class.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info.get(kind), f"{kind}: {sorted(info[kind])[:5]}"
    assert not recorder.messages, f"warnings: {recorder.messages[:3]}"
    return model.eval()


def greedy(model, prompt, steps):
    """Greedy continuation without a cache: all ids, and the lead of the best logit over the next one at each step."""
    import torch
    ids, margins = list(prompt), []
    for _ in range(steps):
        best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids, margins


def our_name(name):
    """Our name of a parameter of stock Gemma 2."""
    if name == "model.embed_tokens.weight":
        return "transformer.wte.weight"
    if name == "model.norm.weight":
        return "transformer.ln_f.weight"
    return name.replace("model.layers.", "transformer.h.").replace(".self_attn.", ".attn.")


def write_case(folder, model, ids, steps=24, attention_mask=None, gradients=True):
    """Makes a golden case in a folder that has a model: what a stock model computes of `ids` (B,T)."""
    import numpy
    import torch
    from safetensors.numpy import save_file
    folder = Path(folder)
    model.zero_grad()
    out = model(ids, attention_mask=attention_mask, output_hidden_states=True)
    labels = ids if attention_mask is None else ids.masked_fill(attention_mask == 0, -100)
    loss = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    tensors = {"input_ids": ids.int(), "labels": labels.int(), "logits": out.logits, "loss": loss}
    if gradients:
        loss.backward()
        tensors |= {f"grad.{our_name(name)}": value.grad for name, value in model.named_parameters()}
    tensors |= {f"hidden.{i}": hidden for i, hidden in enumerate(out.hidden_states)}
    with torch.no_grad():
        continued, margins = greedy(model, ids[0, :8].tolist(), steps)
    tensors |= {"greedy": torch.tensor(continued).int(), "greedy.margin": torch.tensor(margins)}
    if attention_mask is not None:
        tensors["attention_mask"] = attention_mask.int()
    save_file({name: numpy.ascontiguousarray(value.detach().numpy()) for name, value in tensors.items()},
              folder / "expected.safetensors")
    (folder / "case.json").write_text(json.dumps({"attention_mask": attention_mask is not None, "logits_stride": 1}))


def tensors_of(folder):
    """All tensors of a checkpoint folder as (dtype name, shape, bytes), sharded or not."""
    from safetensors import safe_open
    import torch
    out = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        if file.name == "expected.safetensors":
            continue
        with safe_open(file, "pt") as stored:
            for name in stored.keys():
                value = stored.get_tensor(name).contiguous()
                out[name] = (str(value.dtype), tuple(value.shape), value.view(torch.uint8).numpy().tobytes())
    return out
