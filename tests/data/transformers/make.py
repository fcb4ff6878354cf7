"""Makes the golden cases of this folder: tiny models as save_pretrained() of other programs writes them.

    PYTHONPATH=TRANSFORMERS_OF_A_VERSION make.py gemma2 PREFIX
    PYTHONPATH=TRANSFORMERS_4.55:FOLDER_OF_THE_ORIGINAL make.py original PREFIX

Expected results are computed in fp32 with the stored weights. README.md lists the cases.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

SIZES = dict(vocab_size=37, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, head_dim=8, max_position_embeddings=32)


def randomize(model):
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)


def finish(folder, load, labels, ids, dtype):
    """Computes and writes the expected results with the weights as they were saved."""
    model = load(folder, torch.float32).eval()
    with torch.no_grad():
        out = model(input_ids=ids, labels=labels) if labels is not None else model(input_ids=ids)
    results = {"input_ids": ids.int(), "logits": out.logits.float().contiguous(), "labels": labels.int(),
               "loss": out.loss.float().reshape(1)}
    if labels.dim() == 1:
        results["labels"] = labels.long()
    save_file(results, folder / "expected.safetensors")
    (folder / "case.json").write_text('{"attention_mask": false, "logits_stride": 1}\n')
    print(folder.name, dtype, sorted(p.name for p in folder.iterdir()))


def gemma2(prefix):
    import transformers
    from transformers import (Gemma2Config, Gemma2ForCausalLM, Gemma2ForSequenceClassification,
                              Gemma2ForTokenClassification, Gemma2Model)
    new = int(transformers.__version__.split(".")[0]) >= 5

    def case(name, cls, dtype, shard=None, **fields):
        torch.manual_seed(len(name) + new)
        extra = dict(SIZES, sliding_window=32, query_pre_attn_scalar=8, hidden_activation="gelu_pytorch_tanh",
                     pad_token_id=0, eos_token_id=1, bos_token_id=2, attn_implementation="eager")
        extra.update(fields)
        model = cls(Gemma2Config(**extra))
        randomize(model)
        model = model.to(dtype)
        folder = Path(__file__).parent / (prefix + name)
        model.config.torch_dtype = dtype
        model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        ids = torch.randint(3, 37, (2, 6))

        def load(path, kind):
            use = Gemma2ForCausalLM if cls is Gemma2Model else cls
            return use.from_pretrained(path, torch_dtype=kind, attn_implementation="eager")
        labels = ids
        if cls is Gemma2ForSequenceClassification:
            labels = torch.tensor([0, 2])
        if cls is Gemma2ForTokenClassification:
            labels = torch.randint(0, 3, (2, 6))
        finish(folder, load, labels, ids, dtype)

    f32, bf16, f16 = torch.float32, torch.bfloat16, torch.float16
    linear = dict(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}) if new else {}
    case("lm_f32_sharded", Gemma2ForCausalLM, f32, shard=6000, attention_bias=True, eos_token_id=[1, 5],
         query_pre_attn_scalar=6, **linear)
    case("lm_bf16", Gemma2ForCausalLM, bf16, attn_logit_softcapping=None, final_logit_softcapping=None)
    case("lm_f16_untied", Gemma2ForCausalLM, f16, tie_word_embeddings=False, attn_logit_softcapping=3.0)
    case("sequence_f32", Gemma2ForSequenceClassification, f32, num_labels=3)
    case("token_bf16_sharded", Gemma2ForTokenClassification, bf16, shard=3000, num_labels=3,
         id2label={0: "O", 1: "B", 2: "I"}, label2id={"O": 0, "B": 1, "I": 2})
    case("headless_f32", Gemma2Model, f32, bos_token_id=None)


def original(prefix):
    from moderngpt2.configuration_moderngpt2 import ModernGPT2Config
    from moderngpt2.modeling_moderngpt2 import ModernGPT2ForTokenClassification, ModernGPT2LMHeadModel

    def case(name, cls, dtype, shard=None, **fields):
        torch.manual_seed(len(name))
        config = ModernGPT2Config(vocab_size=37, n_embd=16, intermediate_size=24, n_layer=2, n_head=2, head_dim=8,
                                  num_key_value_heads=1, n_positions=32, bos_token_id=2, eos_token_id=1, **fields)
        model = cls(config)
        randomize(model)
        folder = Path(__file__).parent / (prefix + name)
        model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        ids = torch.randint(3, 37, (2, 6))
        labels = ids if cls is ModernGPT2LMHeadModel else torch.randint(0, 3, (2, 6))
        finish(folder, lambda path, kind: cls.from_pretrained(path, torch_dtype=kind), labels, ids, dtype)

    case("lm_f32_scaled", ModernGPT2LMHeadModel, torch.float32, rope_scaling_factor=2.0, attention_bias=True,
         attn_logit_softcapping=20.0)
    case("token_bf16_sharded", ModernGPT2ForTokenClassification, torch.bfloat16, shard=3000, num_labels=3,
         rope_scaling={"rope_type": "linear", "factor": 4.0}, rope_scaling_factor=4.0)


{"gemma2": gemma2, "original": original}[sys.argv[1]](sys.argv[2])
