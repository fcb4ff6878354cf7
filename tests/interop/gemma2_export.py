"""Exports golden cases with convert_checkpoint and loads them in stock Transformers.

    gemma2_export.py FOLDER_OF_PROGRAMS GOLDEN_CASES

Every case that Gemma 2 can express must give the expected logits within 1e-4 and the expected greedy completion, with no
missing or unused tensor and no warning. Transformers' own copy of an export must convert back. Exit status 77: torch or
Transformers is not installed.
"""

import io
import json
import logging
import sys
import tempfile
from pathlib import Path

from common import Programs, Report, need

torch, transformers, safetensors = need("torch", "transformers", "safetensors.torch")

CLASSES = {
    "ModernGPT2LMHeadModel": transformers.AutoModelForCausalLM,
    "ModernGPT2ForSequenceClassification": transformers.AutoModelForSequenceClassification,
    "ModernGPT2ForTokenClassification": transformers.AutoModelForTokenClassification,
}


def load(cls, folder):
    """Loads a model. Anything that Transformers complains about is an AssertionError."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        model, report = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                            output_loading_info=True)
    finally:
        logger.removeHandler(handler)
    assert not any(report.values()), report
    assert not said.getvalue(), said.getvalue()
    return model.eval()


def check_case(programs, case, folder):
    architecture = json.loads((case / "config.json").read_text())["architectures"][0]
    exported = folder / case.name
    if architecture not in CLASSES:
        programs.run("convert_checkpoint", "--input", case, "--output", exported, "--format", "gemma2", status=1)
        assert not exported.exists()
        return "refused"
    programs.convert(case, exported, "gemma2", "--verify")
    model = load(CLASSES[architecture], exported)
    expected = safetensors.load_file(case / "expected.safetensors")
    ids, mask = expected["input_ids"].long(), expected.get("attention_mask")
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=None if mask is None else mask.long()).logits
    difference = (logits - expected["logits"]).abs()
    if mask is not None and difference.dim() == 3:
        difference = difference[mask.bool()]
    largest = float(difference.max())
    assert largest < 1e-4, f"logits differ by {largest}"
    if architecture == "ModernGPT2LMHeadModel" and "greedy" in expected:
        greedy = expected["greedy"].long().view(-1).tolist()
        prompt = len(greedy) - expected["greedy.margin"].shape[-1]
        made = model.generate(torch.tensor([greedy[:prompt]]), max_new_tokens=len(greedy) - prompt, do_sample=False,
                              eos_token_id=None)[0].tolist()
        assert made == greedy, f"greedy decoding gives {made}, expected {greedy}"
    again, back = folder / f"{case.name}.saved", folder / f"{case.name}.back"
    model.save_pretrained(again)
    programs.convert(again, back, "moderngpt2", "--verify")
    return f"logits differ by {largest:.1e}"


def main(programs, cases):
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for case in sorted(path.parent for path in Path(cases).glob("*/case.json")):
            report.check(case.name, lambda: check_case(Programs(programs), case, Path(folder)))
    report.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
