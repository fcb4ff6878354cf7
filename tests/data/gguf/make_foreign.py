"""Writes foreign.gguf, a tiny gemma2 model with the keys that llama.cpp's converter writes for Gemma 2: no key of this
library, layers 0, 2, ... with a sliding window, matrices in F16 and Q8_0, norms as w + 1, a SentencePiece vocabulary.

make_foreign.py OUTPUT.gguf. Needs the packages gguf and numpy.
"""

import sys

import gguf
import numpy as np

WIDTH, HEADS, KV, HEAD, INNER, LAYERS, CONTEXT = 32, 2, 1, 16, 64, 3, 24
PIECES = ["▁", "a", "b", "c", "ab", "▁a", "▁ab", "abc", "▁abc"]


def values(rows, columns, seed):
    """Multiples of 1/64 below 1, which F16 holds exactly."""
    index = np.arange(rows * columns, dtype=np.int64) * 37 + seed * 11
    return ((index % 127 - 63) / 64).astype(np.float32).reshape(rows, columns)


def main():
    writer = gguf.GGUFWriter(sys.argv[1], "gemma2")
    writer.add_name("foreign")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_attn_logit_softcapping(50.0)
    writer.add_final_logit_softcapping(30.0)
    writer.add_sliding_window(8)

    T = gguf.TokenType
    tokens = [("<pad>", 0.0, T.CONTROL), ("<eos>", 0.0, T.CONTROL), ("<bos>", 0.0, T.CONTROL), ("<unk>", 0.0, T.UNKNOWN)]
    tokens += [(f"<0x{b:02X}>", 0.0, T.BYTE) for b in range(256)]
    tokens += [(piece, -float(i), T.NORMAL) for i, piece in enumerate(PIECES)]
    tokens += [("  ", -1000.0, T.USER_DEFINED), ("<end_of_turn>", 0.0, T.CONTROL)]
    tokens += [(f"[PAD{i}]", -10000.0, T.UNUSED) for i in range(len(tokens), 280)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([t[0] for t in tokens])
    writer.add_token_scores([t[1] for t in tokens])
    writer.add_token_types([t[2] for t in tokens])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template("{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")

    def matrix(name, rows, columns, seed, quantized=True):
        kind = gguf.GGMLQuantizationType.Q8_0 if quantized else gguf.GGMLQuantizationType.F16
        data = values(rows, columns, seed)
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)

    def norm(name, seed):
        writer.add_tensor(name, values(1, WIDTH, seed)[0] + np.float32(1))

    matrix("token_embd.weight", 280, WIDTH, 1)
    norm("output_norm.weight", 2)
    for i in range(LAYERS):
        norm(f"blk.{i}.attn_norm.weight", 3 + i)
        matrix(f"blk.{i}.attn_q.weight", HEADS * HEAD, WIDTH, 4 + i, quantized=False)
        matrix(f"blk.{i}.attn_k.weight", KV * HEAD, WIDTH, 5 + i, quantized=False)
        matrix(f"blk.{i}.attn_v.weight", KV * HEAD, WIDTH, 6 + i)
        matrix(f"blk.{i}.attn_output.weight", WIDTH, HEADS * HEAD, 7 + i)
        norm(f"blk.{i}.post_attention_norm.weight", 8 + i)
        norm(f"blk.{i}.ffn_norm.weight", 9 + i)
        matrix(f"blk.{i}.ffn_gate.weight", INNER, WIDTH, 10 + i)
        matrix(f"blk.{i}.ffn_up.weight", INNER, WIDTH, 11 + i)
        matrix(f"blk.{i}.ffn_down.weight", WIDTH, INNER, 12 + i)
        norm(f"blk.{i}.post_ffw_norm.weight", 13 + i)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
