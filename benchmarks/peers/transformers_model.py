"""Prefill and decoding by stock transformers, which computes this model as Gemma 2 without soft caps and with full
attention in each layer. Speaks the protocol of torch_model.py.

transformers_model.py {prefill|decode} {tiny|small|medium|large|xl} {fp32|bf16} BATCH TIME TOKENS THREADS
"""

import resource
import sys
import time

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM
from transformers.generation import BaseStreamer

PART, SIZE, PRECISION = sys.argv[1:4]
BATCH, TIME, TOKENS, THREADS = map(int, sys.argv[4:8])
LAYERS, WIDTH, HEADS = {
    "tiny": (4, 256, 4),
    "small": (12, 768, 12),
    "medium": (24, 1024, 16),
    "large": (36, 1280, 20),
    "xl": (48, 1600, 25),
}[SIZE]


class Clock(BaseStreamer):
    """Times of the tokens: that of the first includes the prefill."""

    def put(self, _):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def make_model():
    config = Gemma2Config(
        vocab_size=32000,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=WIDTH // HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=1024,
        query_pre_attn_scalar=WIDTH // HEADS,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        sliding_window=1024,
        layer_types=["full_attention"] * LAYERS,
        attn_implementation="eager",
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.set_default_dtype(torch.bfloat16 if PRECISION == "bf16" else torch.float32)
    return Gemma2ForCausalLM(config).eval()


torch.set_num_threads(THREADS)
torch.manual_seed(0)
model = make_model()
prompt = torch.randint(3, 32000, (BATCH, TIME))


@torch.no_grad()
def prefill():
    """Seconds for the logits that follow the prompt."""
    begin = time.perf_counter()
    model(prompt, use_cache=True, logits_to_keep=1)
    return time.perf_counter() - begin


@torch.no_grad()
def decode():
    """Seconds for TOKENS tokens by generate(), greedily, without the prompt and the first token that it gives."""
    clock = Clock()
    clock.times = []
    model.generate(prompt, max_new_tokens=TOKENS + 1, min_new_tokens=TOKENS + 1, do_sample=False, streamer=clock)
    return clock.times[-1] - clock.times[-1 - TOKENS]


once = prefill if PART == "prefill" else decode
once()
print("ready", flush=True)
for _ in sys.stdin:
    print("%.6f" % once(), flush=True)
print("peak memory %.3f GiB" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20), file=sys.stderr)
