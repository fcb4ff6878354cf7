#!/usr/bin/env python3
"""Text to ids and text to training blocks: this project beside SentencePiece, Hugging Face tokenizers and datasets.

  benchmarks/compare_tokenizers.py --input 'text/*.json.gz' --tokenizer_path my_tokenizer --programs build/bin

Needs the Python packages sentencepiece, tokenizers, datasets and pyarrow, and bench_encoding and pretokenize_dataset
among the programs. First, each library encodes all documents on one thread (processor time), and their ids are
compared. Then the whole job, from files to Parquet files of blocks, in elapsed time: datasets with tokenizers
(load_dataset, map to ids, map to blocks, to_parquet; without Python's imports), and pretokenize_dataset (the whole
program). Each measure is the best of --repeat runs. The text is enlarged to --megabytes by more documents like it:
sentences of the input, shuffled within a language (a file is taken for one).
"""

import argparse
import glob
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", required=True, help="files or globs of .json.gz or .jsonl.gz")
    parser.add_argument("--text_column", default="text", help="the field that holds the text (default: text)")
    parser.add_argument("--tokenizer_path", required=True, help="a folder with tokenizer.json and tokenizer.model")
    parser.add_argument("--programs", default="build/bin", help="the folder of our programs (default: build/bin)")
    parser.add_argument("--megabytes", type=float, default=100, help="text of the whole job, 0: the input as it is")
    parser.add_argument("--encode_megabytes", type=float, default=20, help="text to encode on one thread (default: 20)")
    parser.add_argument("--num_proc", type=int, default=2, help="processes or threads of the whole job (default: 2)")
    parser.add_argument("--block_size", type=int, default=1024, help="ids in a block (default: 1024)")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the best counts (default: 3)")
    parser.add_argument("--work_folder", help="for the enlarged text and the results (default: a temporary folder)")
    return parser.parse_args()


def read_documents(options):
    names = sorted(name for pattern in options.input for name in glob.glob(pattern))
    if not names:
        sys.exit("error: --input: no file matches")
    languages = []
    for name in names:
        with gzip.open(name, "rt", encoding="utf-8") as file:
            languages.append([json.loads(line)[options.text_column] for line in file])
    return languages


def size(documents):
    return sum(len(document.encode()) for document in documents)


def enlarge(languages, megabytes, seed=1):
    """Documents of about that size, the languages in turn; the share of each stays."""
    dice = random.Random(seed)
    wanted = megabytes * 1e6
    have = sum(size(documents) for documents in languages)
    texts = []
    for documents in languages:
        mine = list(documents)
        if wanted > have:
            sentences = [s for d in documents for s in re.split(r"(?<=[.!?。！？\n])", d) if s]
            lengths = [max(1, len(re.split(r"(?<=[.!?。！？\n])", d))) for d in documents]
            left = size(documents) * (wanted / have - 1)
            while left > 0:
                document = "".join(dice.choices(sentences, k=dice.choice(lengths)))
                mine.append(document)
                left -= len(document.encode())
        dice.shuffle(mine)
        texts.append(mine)
    return texts


def best(run, repeat, clock=time.perf_counter):
    seconds = []
    for _ in range(repeat):
        begin = clock()
        result = run()
        seconds.append(clock() - begin)
    return min(seconds), result


def table(title, rows, ours):
    """Rows of (name, bytes, seconds)."""
    print(f"\n{title}\n{'':34}{'MB':>8}{'seconds':>10}{'MB/s':>9}{'ours is':>10}")
    speed = {name: count / seconds for name, count, seconds in rows}
    for name, count, seconds in rows:
        ratio = "" if name == ours else f"{speed[ours] / speed[name]:.1f}x"
        print(f"{name:34}{count / 1e6:8.1f}{seconds:10.2f}{speed[name] / 1e6:9.1f}{ratio:>10}", flush=True)


def compare_encoders(options, documents, folder):
    import sentencepiece
    import tokenizers

    documents = [document.replace("\n", " ") for document in documents]  # bench_encoding reads a document a line
    count = size(documents)
    path = os.path.join(folder, "lines.txt")
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(document + "\n" for document in documents)
    print(f"sentencepiece {sentencepiece.__version__}, tokenizers {tokenizers.__version__}")
    processor = sentencepiece.SentencePieceProcessor(
        model_file=os.path.join(options.tokenizer_path, "tokenizer.model"))
    fast = tokenizers.Tokenizer.from_file(os.path.join(options.tokenizer_path, "tokenizer.json"))
    fast.encode_special_tokens = True
    rows = []
    seconds, pieces = best(lambda: processor.encode(documents, num_threads=1), options.repeat,
                           time.process_time)
    rows.append(("sentencepiece (Python)", count, seconds))
    seconds, encodings = best(lambda: fast.encode_batch(documents, add_special_tokens=False), options.repeat,
                              time.process_time)
    rows.append(("tokenizers (Python)", count, seconds))
    differ = sum(a != b.ids for a, b in zip(pieces, encodings))
    ids = sum(len(encoding.ids) for encoding in encodings)
    del pieces, encodings

    program = os.path.join(options.programs, "bench_encoding")
    environment = dict(os.environ, MODERNGPT2_BENCH_TEXT=path, MODERNGPT2_BENCH_TOKENIZER=options.tokenizer_path)
    output = subprocess.run([program, "--benchmark_format=json", f"--benchmark_repetitions={options.repeat}"],
                            env=environment, check=True, stdout=subprocess.PIPE).stdout
    found = {}
    for run in json.loads(output)["benchmarks"]:
        if run["run_type"] == "iteration":
            speed, _ = found.get(run["name"], (0, 0))
            found[run["name"]] = max(speed, run["bytes_per_second"]), run["ids"]
    ours = found["encode/moderngpt2"]
    rows.append(("sentencepiece (C++)", count, count / found["encode/sentencepiece"][0]))
    rows.append(("moderngpt2", count, count / ours[0]))
    table("Text to ids, one thread (processor time), special tokens as text", rows, "moderngpt2")
    print(f"ids: tokenizers {ids}, moderngpt2 {ours[1]:.0f}; documents that sentencepiece encodes otherwise: {differ}")
    if ids != ours[1]:
        sys.exit("error: moderngpt2 and tokenizers disagree")


def datasets_job(options, files, folder):
    import datasets
    from tokenizers import Tokenizer

    datasets.disable_progress_bars()
    tokenizer = Tokenizer.from_file(os.path.join(options.tokenizer_path, "tokenizer.json"))
    eos, block = tokenizer.token_to_id("<|endoftext|>"), options.block_size

    def encode(batch):
        encodings = tokenizer.encode_batch(batch[options.text_column], add_special_tokens=False)
        return {"input_ids": [encoding.ids + [eos] for encoding in encodings]}

    def group(batch):
        ids = [i for document in batch["input_ids"] for i in document]
        blocks = [ids[i:i + block] for i in range(0, len(ids) - block + 1, block)]
        return {"input_ids": blocks, "attention_mask": [[1] * block for _ in blocks]}

    def run():
        shutil.rmtree(folder, ignore_errors=True)
        data = datasets.load_dataset("json", data_files=files, split="train", cache_dir=os.path.join(folder, "cache"))
        data = data.map(encode, batched=True, num_proc=options.num_proc, remove_columns=data.column_names)
        data = data.map(group, batched=True, num_proc=options.num_proc)
        data.to_parquet(os.path.join(folder, "shard_00000.parquet"))
        return len(data)

    return best(run, options.repeat)


def our_job(options, files, folder):
    program = os.path.join(options.programs, "pretokenize_dataset")
    command = [program, "--input", *files, "--text_column", options.text_column, "--tokenizer_path",
               options.tokenizer_path, "--output_path", folder, "--block_size", str(options.block_size),
               "--num_proc", str(options.num_proc)]

    def run():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    seconds, _ = best(run, options.repeat)
    import pyarrow.parquet
    shards = glob.glob(os.path.join(folder, "shard_*.parquet"))
    return seconds, sum(pyarrow.parquet.ParquetFile(shard).metadata.num_rows for shard in shards)


def compare_jobs(options, languages, folder):
    texts = enlarge(languages, options.megabytes)
    files = []
    for index, documents in enumerate(texts):
        files.append(os.path.join(folder, f"text_{index}.json.gz"))
        with gzip.open(files[-1], "wt", encoding="utf-8", compresslevel=6) as file:
            for document in documents:
                file.write(json.dumps({options.text_column: document}, ensure_ascii=False) + "\n")
    count = sum(size(documents) for documents in texts)
    rows = []
    seconds, blocks = datasets_job(options, files, os.path.join(folder, "datasets"))
    rows.append((f"datasets + tokenizers, {options.num_proc} processes", count, seconds))
    seconds, our_blocks = our_job(options, files, os.path.join(folder, "moderngpt2"))
    rows.append((f"pretokenize_dataset, {options.num_proc} threads", count, seconds))
    table(f"Files of JSON lines to Parquet blocks of {options.block_size} ids (elapsed time)", rows, rows[-1][0])
    print(f"blocks: datasets {blocks} (the last part of each batch of 1000 documents is lost), ours {our_blocks}")


def main():
    options = arguments()
    languages = read_documents(options)
    with tempfile.TemporaryDirectory(dir=options.work_folder) as folder:
        documents = [d for texts in enlarge(languages, options.encode_megabytes, seed=2) for d in texts]
        compare_encoders(options, documents, folder)
        compare_jobs(options, languages, folder)


if __name__ == "__main__":
    main()
