#!/usr/bin/env bash
# Checks the job scripts of examples/jobs: shellcheck finds no faults, dry runs print the documented plan, on one
# machine and as jobs of several, and scripts for GPUs require one; build scripts print their plan. requeue.sh runs the
# scripts.
#
#   jobs.sh FOLDER_OF_PROGRAMS FOLDER_OF_JOBS [MPIEXEC]     without MPIEXEC, or where it is not Open MPI's,
#                                                       those that call mpirun plan nothing
set -euo pipefail
bin=$1
jobs=$2
mpiexec=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/here" "$work/stubs"
cd "$work/here"

fail() {
  echo "jobs: $*" >&2
  exit 1
}

if command -v shellcheck >/dev/null; then
  shellcheck "$jobs"/*.sh "$jobs"/*.bash || fail "shellcheck has found something"
else
  echo "no shellcheck here: scripts are only run"
fi

# Small but valid versions of the scripts' default inputs. The largest batch is 64 blocks.
"$bin/make_stories" --output_path ../text --documents 300 >/dev/null
"$bin/train_tokenizer" --input ../text --output_path my_tokenizer --vocab_size 600 --character_coverage 0.99 \
  --num_threads 1 >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
"$bin/pretokenize_dataset" --input ../text --tokenizer_path my_tokenizer --output_path my_pretokenized_data \
  --block_size 1024 --num_proc 1 >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
find . | sort >../before.txt

# No scheduler, regardless of the machine that runs this test.
unset JOB_ID PE_HOSTFILE T4TMPDIR PBS_JOBID PBS_NODEFILE PBS_LOCALDIR PBS_O_WORKDIR SLURM_JOB_ID SUBMIT MAX_HOURS \
  TOKENIZER DATA OUTPUT
ln -s "$bin" "$work/bin" # the scripts split TRAIN at spaces, so its path must have none
export TRAIN=$work/bin/train DRY_RUN=1
# The scripts use Open MPI, which both clusters have.
if [ -n "$mpiexec" ] && ! "$mpiexec" --version | grep -q -e 'Open MPI' -e OpenRTE; then mpiexec=; fi
[ -z "$mpiexec" ] || PATH=$(dirname "$mpiexec"):$PATH

# plans SCRIPT BATCH: a dry run that succeeds, prints the batch and the job's other numbers, and writes no files.
seen=0
plans() {
  local script=$jobs/$1.sh
  seen=$((seen + 1))
  if [ -z "$mpiexec" ] && grep -q mpirun "$script"; then
    bash -n "$script" || fail "$1 is no shell script"
    return
  fi
  TRAIN_FLAGS="--precision bf16" bash "$script" >../out.txt 2>&1 || fail "$1: $(tail -n 3 ../out.txt)"
  for words in "batch: $2 sequences" "24 layers, n_embd 1024" "(3 epochs of" "learning rate 0.00025" "run: bf16" "  total "; do
    grep -qF -- "$words" ../out.txt || fail "$1 does not say '$words': $(cat ../out.txt)"
  done
  find . | sort | cmp - ../before.txt || fail "$1 has written something"
}
plans tsubame4_1gpu "32 x 1 accumulated = 32"
plans tsubame4_4gpu "32 x 1 accumulated x 4 processes = 128"
plans abci3_1gpu "64 x 1 accumulated = 64"
plans abci3_8gpu "64 x 1 accumulated x 8 processes = 512"
plans a6000 "16 x 1 accumulated = 16"
plans cpu "8 x 4 accumulated = 32"
plans cpu_mpi "8 x 2 accumulated x 2 processes = 32"
LAUNCH='' plans slurm "32 x 1 accumulated = 32"

# Build scripts: the plan names modules, dependencies and commands, and nothing is written.
for name in build_tsubame4 build_abci3; do
  seen=$((seen + 1))
  bash "$jobs/$name.sh" --dry_run >../out.txt 2>&1 || fail "$name: $(tail -n 3 ../out.txt)"
  for words in "module load cuda/12" "fmt" "cmake -S . -B build" "-DMODERNGPT2_CUDA=ON" "cmake --build build"; do
    grep -qF -- "$words" ../out.txt || fail "$name does not say '$words': $(cat ../out.txt)"
  done
  ! bash "$jobs/$name.sh" --no_such_flag >../out.txt 2>&1 || fail "$name takes any flag"
  find . | sort | cmp - ../before.txt || fail "$name has written something"
done
[ "$seen" = "$(find "$jobs" -name '*.sh' | wc -l)" ] || fail "a script of $jobs is not tested"

# Without a dry run, scripts for GPUs require one; a train without CUDA prints an error.
for script in tsubame4_1gpu abci3_1gpu a6000; do
  if bash "$jobs/$script.sh" >../out.txt 2>&1; then
    grep -q 'run: bf16 on cuda' ../out.txt || fail "$script would run on something else: $(cat ../out.txt)"
  else
    grep -q 'error: --device cuda: ' ../out.txt || fail "$script does not say why it ends: $(cat ../out.txt)"
  fi
done

# Checks the calls of mpirun in a job of several machines with a replacement that prints its arguments and the host
# list.
cat >../stubs/mpirun <<'STUB'
#!/usr/bin/env bash
echo "mpirun $*"
while [ $# -gt 0 ] && [ "$1" != --hostfile ]; do shift; done
cat "$2"
STUB
chmod +x ../stubs/mpirun
# launches SCRIPT WORDS HOSTS
launches() {
  PATH=$work/stubs:$PATH TRAIN=program bash "$jobs/$1.sh" >../out.txt 2>&1 || fail "$1: $(tail -n 3 ../out.txt)"
  grep -q -- "^mpirun $2 program --model_size_name medium " ../out.txt || fail "$1 calls mpirun otherwise: $(cat ../out.txt)"
  [ "$(tail -n +2 ../out.txt)" = "$3" ] || fail "$1 has other hosts: $(cat ../out.txt)"
}
printf 'r1n1 48 all.q@r1n1 <NULL>\nr1n2 48 all.q@r1n2 <NULL>\n' >../pe_hosts
PE_HOSTFILE=$work/pe_hosts T4TMPDIR=$work \
  launches tsubame4_4gpu "-npernode 4 -x LD_LIBRARY_PATH --hostfile $work/hosts -np 8" $'r1n1 slots=4\nr1n2 slots=4'
printf 'h%d\n' 1 1 2 3 4 4 >../pbs_hosts
PBS_NODEFILE=$work/pbs_hosts PBS_LOCALDIR=$work \
  launches abci3_8gpu "-npernode 8 -x LD_LIBRARY_PATH --hostfile $work/hosts -np 32" \
  $'h1 slots=8\nh2 slots=8\nh3 slots=8\nh4 slots=8'
echo "each job script plans what it says"
