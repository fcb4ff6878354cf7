"""Writes the cases of this folder with stock transformers (5.24): tiny Gemma 2 models whose windows are narrower than
the sequences.

    python make_cases.py FOLDER

A case has the files of tests/data/golden (see docs/testing.md): config.json and model.safetensors under Gemma 2's
names, and expected.safetensors with the logits, the loss and, for one case, the gradients of Gemma2ForCausalLM in fp32
with attn_implementation "eager". greedy is the output of generate() with its cache.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import Gemma2Config, Gemma2ForCausalLM

SHAPES = {  # published shapes, scaled down
    "2b": dict(hidden_size=24, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
               intermediate_size=48, query_pre_attn_scalar=8),
    "9b": dict(hidden_size=20, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
               intermediate_size=40, query_pre_attn_scalar=8),
    "27b": dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                intermediate_size=32, query_pre_attn_scalar=4),
}


def our_name(name):
    name = name.replace("model.layers.", "transformer.h.").replace(".self_attn.", ".attn.")
    return name.replace("model.embed_tokens.", "transformer.wte.").replace("model.norm.", "transformer.ln_f.")


def random_model(config, seed, dtype):
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    model = Gemma2ForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if p.dim() == 1 else 3.0 / p.shape[1] ** 0.5 if "q_proj" in name or "k_proj" in name else 0.3
            p.copy_((torch.randn_like(p) * scale).to(dtype).float())
    return model


def write_case(folder, config, seed, *, time=40, rows=2, padding=0, gradients=False, dtype=torch.float32, old=None):
    folder.mkdir(parents=True, exist_ok=True)
    model = random_model(config, seed, dtype)
    if old:
        (folder / "config.json").write_text(json.dumps(old, indent=1) + "\n")
    else:
        model.config.save_pretrained(folder)
    state = {k: v.to(dtype).contiguous().clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    ids = torch.randint(3, config.vocab_size, (rows, time))
    mask, labels = torch.ones_like(ids), ids.clone()
    if padding:  # to the left of the second row; its first token is predicted from padding
        mask[1, :padding], ids[1, :padding], labels[1, : padding + 1] = 0, 0, -100
    positions = torch.arange(time).expand(rows, time)  # ours count padding too
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, labels=labels, use_cache=False)
    expected = {"input_ids": ids.int(), "labels": labels.int(), "attention_mask": mask.int(),
                "logits": out.logits.detach(), "loss": out.loss.detach().reshape(1)}
    if gradients:
        out.loss.backward()
        expected |= {"grad." + our_name(k): p.grad for k, p in model.named_parameters()}
    with torch.no_grad():
        tokens = model.generate(ids[:1, :8], attention_mask=torch.ones(1, 8, dtype=torch.long), max_new_tokens=32,
                                do_sample=False, eos_token_id=None, pad_token_id=0, use_cache=True)
        whole = model(input_ids=tokens, use_cache=False).logits[0, 7:-1]
    best = whole.topk(2, dim=-1).values
    expected["greedy"], expected["greedy.margin"] = tokens.int(), best[:, 0] - best[:, 1]
    save_file({k: v.contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    case = {"attention_mask": bool(padding), "logits_stride": 1, "source": "Gemma2ForCausalLM, eval mode, fp32"}
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def config_of(shape, **fields):
    base = dict(vocab_size=31, max_position_embeddings=64, sliding_window=8, eos_token_id=1, bos_token_id=2)
    return Gemma2Config(**(base | SHAPES[shape] | fields))


def main(folder):
    # As published before layer_types existed.
    config = config_of("2b", attn_logit_softcapping=50.0, final_logit_softcapping=30.0)
    old = {"architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
           "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid",
           "eos_token_id": [1, 107], "final_logit_softcapping": 30.0, "hidden_act": "gelu_pytorch_tanh",
           "hidden_activation": "gelu_pytorch_tanh", "initializer_range": 0.02, "max_position_embeddings": 64,
           "model_type": "gemma2", "pad_token_id": 0, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
           "sliding_window": 8, "torch_dtype": "bfloat16", "transformers_version": "4.42.4", "use_cache": True,
           "vocab_size": 31} | SHAPES["2b"]
    write_case(folder / "2b_published", config, 1, old=old, dtype=torch.bfloat16)
    write_case(folder / "9b_left_padding", config_of("9b", attn_logit_softcapping=4.0, final_logit_softcapping=3.0,
                                                     sliding_window=5), 2, padding=9, dtype=torch.bfloat16)
    write_case(folder / "27b_gradients", config_of("27b", attn_logit_softcapping=5.0, sliding_window=3), 3,
               gradients=True)
    types = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    pattern = config_of("27b", num_hidden_layers=4, layer_types=types, sliding_window=1, attn_logit_softcapping=None,
                        final_logit_softcapping=None,
                        rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0})
    write_case(folder / "27b_pattern", pattern, 4, padding=3, dtype=torch.bfloat16)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
