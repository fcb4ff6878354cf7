"""Stock Gemma 2 checkpoints, written by save_pretrained, in our programs: gemma2_import.py BIN [VARIANTS]

Random tiny models with windows, soft caps, grouped heads, scalars, rope settings, biases, untied heads, other
activations, shards and 16-bit weights. golden_check compares logits, hidden states and the greedy continuation with
those of stock Transformers, on the folder itself and on its conversion to moderngpt2. Converted back to gemma2, every
tensor must have its old bits."""

import json
import random
import sys
import tempfile
from pathlib import Path

from common import Programs, Report, load_stock, need, tensors_of, write_case

torch, transformers, _ = need("torch", "transformers", "safetensors")

LENGTH = 40
torch.set_num_threads(1)


def variant(seed):
    """Config and dtype of a random model. Seeds 0 to 5 are fixed corners."""
    pick = random.Random(seed)
    layers = pick.choice([1, 2, 3, 4])
    heads, kv_heads, head_dim = pick.choice([(4, 2, 8), (4, 4, 8), (4, 1, 16), (6, 3, 8), (2, 1, 32), (8, 2, 4)])
    config = {
        "vocab_size": pick.choice([97, 128, 260]),
        "hidden_size": heads * pick.choice([4, 8, 12]),
        "intermediate_size": pick.choice([24, 50, 64]),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_activation": pick.choice(["gelu_pytorch_tanh"] * 3 + ["gelu", "silu", "relu"]),
        "max_position_embeddings": pick.choice([64, 128, 4096]),
        "rms_norm_eps": pick.choice([1e-6, 1e-5, 1e-3]),
        "query_pre_attn_scalar": pick.choice([head_dim, 16, 144, 3]),
        "attn_logit_softcapping": pick.choice([None, 50.0, 5.0, 0.7]),
        "final_logit_softcapping": pick.choice([None, 30.0, 4.0]),
        "sliding_window": pick.choice([1, 2, 5, 8, 13, 31, 39, 40, 64]),
        "attention_bias": pick.random() < 0.3,
        "tie_word_embeddings": pick.random() < 0.8,
        "rope_parameters": pick.choice([
            {"rope_type": "default", "rope_theta": 10000.0},
            {"rope_type": "default", "rope_theta": 500.0},
            {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
            {"rope_type": "linear", "factor": 2.5, "rope_theta": 1000000.0},
        ]),
        "initializer_range": 0.3,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": pick.choice([1, [1, 2]]),
    }
    kinds = ["sliding_attention", "full_attention"]
    config["layer_types"] = pick.choice([None, None, [pick.choice(kinds) for _ in range(layers)], [kinds[0]] * layers,
                                         [kinds[1]] * layers])
    dtype = pick.choice(["float32"] * 3 + ["bfloat16", "float16"])
    corners = [
        {"layer_types": None, "sliding_window": 5, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
         "num_hidden_layers": 4},
        {"layer_types": [kinds[0]] * layers, "sliding_window": 1},
        {"layer_types": [kinds[1]] * layers, "sliding_window": 3},
        {"tie_word_embeddings": False, "attention_bias": True, "layer_types": None, "sliding_window": 7},
        {"layer_types": None, "sliding_window": 4096, "max_position_embeddings": 64},
        {"num_hidden_layers": 46, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
         "query_pre_attn_scalar": 8, "layer_types": None, "sliding_window": 6, "initializer_range": 0.1},
    ]
    if seed < len(corners):
        config |= corners[seed]
    return config, dtype


def make(folder, seed):
    """Writes a stock model with random norms and biases. Returns it as it was read back, in fp32."""
    config, dtype = variant(seed)
    torch.manual_seed(seed)
    model = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**config)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value.normal_(0.0, 0.3 if "norm" in name else 0.2)
    shard = {"max_shard_size": "40KB"} if seed % 4 == 3 else {}
    model.to(getattr(torch, dtype)).save_pretrained(folder, **shard)
    return load_stock(folder), config, dtype


def main():
    programs = Programs(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    converts = (programs.folder / "convert_checkpoint").exists()
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(count):
            stock, back, ours = (Path(scratch) / f"{seed}.{kind}" for kind in ("stock", "back", "ours"))
            model, config, dtype = make(stock, seed)
            slides = [kind for kind in model.config.layer_types if kind == "sliding_attention"]
            what = (f"variant {seed} ({len(slides)} of {config['num_hidden_layers']} layers slide, window "
                    f"{config['sliding_window']}, caps {config['attn_logit_softcapping']}, "
                    f"{config['final_logit_softcapping']}, {dtype})")
            write_case(stock, model, torch.randint(0, config["vocab_size"], (2, LENGTH)))

            def read(where, backend="cpu"):
                programs.check_cases(where, backend=backend)

            def to_ours():
                programs.convert(stock, ours, "moderngpt2")
                for name in ("case.json", "expected.safetensors"):
                    (ours / name).write_bytes((stock / name).read_bytes())
                read(ours)
                assert json.loads((ours / "config.json").read_text())["model_type"] == "moderngpt2"

            def and_back():
                programs.convert(ours, back, "gemma2")
                before, after = tensors_of(stock), tensors_of(back)
                differ = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
                assert not differ, f"{len(differ)} of {len(before)} tensors differ, such as {differ[:3]}"
                ids = torch.randint(0, config["vocab_size"], (1, LENGTH))
                with torch.no_grad():
                    assert torch.equal(load_stock(back)(ids).logits, model(ids).logits), "logits differ"

            report.check(f"{what}: read", lambda: read(stock))
            if seed % 5 == 0:
                report.check(f"{what}: read, reference backend", lambda: read(stock, "reference"))
            if converts:
                report.check(f"{what}: to moderngpt2", to_ours)
                report.check(f"{what}: and back", and_back)
    if not converts:
        print("note: no convert_checkpoint in", programs.folder)
    report.finish()


main()
