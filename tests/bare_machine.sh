#!/usr/bin/env bash
# Runs the README's two commands on a freshly installed system. See --help.
set -euo pipefail

me=bare_machine
bare_self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/bare_machine.sh
bare_checkout=$(dirname "$(dirname "$bare_self")")
# shellcheck source=tests/support/bare_root.sh
. "$bare_checkout/tests/support/bare_root.sh"

usage() {
  cat <<'TEXT'
Makes a minimal Debian 12 or Ubuntu 24.04 with debootstrap, clones HEAD of this checkout into it, and runs the README's
two commands there: examples/quickstart.sh (with --minutes 1), then tests/run.sh. Runs them as root and again as an
ordinary user with sudo, in a folder whose path contains a space.

Usage: tests/bare_machine.sh [debian12|ubuntu24.04] [OPTIONS]

  debian12|ubuntu24.04         distribution (default: debian12)
  --as root|user|both          user that runs the commands (default: both, root first)
  --only quickstart|tests|both which of the two commands (default: both)
  --arguments "ARGUMENT..."    further arguments of tests/run.sh (default: none)
  --base FILE                  tarball of the minimal system, written if it does not exist (default: a temporary file)
  --ccache DIR                 installs ccache inside, with this folder as its cache (default: no ccache). Only runs as
                               the same user share results, since compile commands contain paths in the home folder
  --keep                       keeps the root folders for inspection (default: removes them)
  --help                       shows this and exits

Mirrors, keys, certificates, proxies and pip's settings are those of this machine. Environment variables:
  BARE_MACHINE_MIRROR          URL of the distribution's archive (default: taken from apt's sources)
  BARE_MACHINE_KEYRING         keyring of that archive (default: /usr/share/keyrings/DISTRIBUTION-archive-keyring.gpg)
  BARE_MACHINE_DIR             folder for root folders (8 GB each) and logs (default: /var/tmp)

Exit status: 0 all commands passed; 1 a command failed; 2 wrong usage; 77 skipped because root rights, debootstrap, a
mirror or a keyring is missing (a line on standard error names it).
TEXT
}

# Prints the README's command line that starts with $1, without its comment.
readme_command() {
  awk '/^```/ { code = $0 == "```sh"; next } code' "$bare_checkout/README.md" |
    sed -n "s|^\\($1[^#]*\\).*|\\1|p" | sed 's/ *$//' | head -n 1
}

# type_as USER COMMAND_LINE FOLDER: runs a command line in FOLDER, as if typed into a shell.
type_as() {
  # shellcheck disable=SC2016  # the inner shell expands them
  bare_in "$1" bash -c 'cd "$1" && eval "$2"' bash "$3" "$2"
}

# run_pass USER: runs the commands on a new system.
run_pass() {
  local user=$1 name=$1 folder command failed=no
  bare_settings=()
  [ "$user" = root ] || name=tester
  bare_unpack "$base" "$user"
  if [ "$user" = user ]; then
    bare_stage "$distribution as $user: adding an ordinary user with sudo"
    bare_logged "$user-add_user" bare_add_user tester || return 1
    folder="/home/tester/my projects/ModernGPT2"
    bare_settings+=(LANG=C.UTF-8) # root's locale stays POSIX, which is what a minimal system has
  else
    folder="/root/my projects/ModernGPT2"
  fi
  if [ -n "$ccache" ]; then
    bare_logged "$user-ccache" bare_install ccache || return 1
    bare_settings+=(CCACHE_DIR=/var/cache/shared-ccache CCACHE_UMASK=000)
  fi
  bare_clone "$name" "$folder" || return 1

  for command in "${commands[@]}"; do
    bare_stage "$distribution as $user: $command"
    if bare_logged "$user-$(basename "${command%%.sh*}")" type_as "$name" "$command" "$folder"; then
      tail -n 3 "$bare_log"
    else
      failed=yes
      local log
      for log in "$bare_root$folder/quickstart/log" "$bare_root$folder"/build/*/Testing/Temporary/LastTest.log \
        "$bare_root$folder"/build/*/CMakeFiles/CMake{Error,Output}.log; do
        [ ! -e "$log" ] || cp -r "$log" "$bare_work/log/$user-$(tr '/ ' '__' <<<"${log#"$bare_root$folder/"}")"
      done
      bare_say "further logs: $bare_work/log"
    fi
  done
  [ "$failed" = no ]
}

if [ "${1:-}" = --inside ]; then
  bare_enter "$2"
  distribution=$3 only=$4 as=$5 base=$6 ccache=$7 bare_keep=$8 run_arguments=$9
  bare_require "$distribution"
  quickstart=$(readme_command examples/quickstart.sh)
  tests=$(readme_command tests/run.sh)
  if [ -z "$quickstart" ] || [ -z "$tests" ]; then bare_fail "README.md has no code block with the two commands"; fi
  commands=()
  [ "$only" = tests ] || commands+=("$quickstart --minutes 1")
  [ "$only" = quickstart ] || commands+=("$tests${run_arguments:+ $run_arguments}")
  [ -z "$ccache" ] || bare_mounts+=("$ccache|/var/cache/shared-ccache|rw")

  bare_stage "$distribution: minimal system"
  bare_make_base "${base:=$bare_work/base.tar}"
  failed=()
  for user in root user; do
    if [ "$as" = both ] || [ "$as" = "$user" ]; then
      status=0
      set +e # errexit applies inside the subshell, and its exit status is read here
      (
        set -e
        run_pass "$user"
      )
      status=$?
      set -e
      [ "$status" = 0 ] || failed+=("$user (logs: $bare_work/log/$user-*)")
      bare_root=$bare_work/$user
      bare_remove
    fi
  done
  if [ ${#failed[@]} -gt 0 ]; then
    bare_stage "failed as: ${failed[*]}"
    exit 1
  fi
  bare_stage "all passed"
  exit 0
fi

distribution=debian12
as=both
only=both
base=
ccache=
run_arguments=
while [ $# -gt 0 ]; do
  flag=$1
  shift
  case $flag in
    --help | -h)
      usage
      exit 0
      ;;
    --keep) bare_keep=yes ;;
    --as | --only | --base | --ccache | --arguments)
      [ $# -gt 0 ] || bare_misuse "$flag needs a value"
      case $flag=$1 in
        --as=root | --as=user | --as=both) as=$1 ;;
        --only=quickstart | --only=tests | --only=both) only=$1 ;;
        --base=*) base=$(realpath -m "$1") ;;
        --ccache=*) ccache=$(realpath -m "$1") ;;
        --arguments=*) run_arguments=$1 ;;
        *) bare_misuse "$flag: unknown value '$1'" ;;
      esac
      shift
      ;;
    debian12 | ubuntu24.04) distribution=$flag ;;
    *) bare_misuse "unknown argument '$flag' (expected debian12, ubuntu24.04 or an option)" ;;
  esac
done

bare_require "$distribution"
git -C "$bare_checkout" -c safe.directory='*' rev-parse -q --verify HEAD >/dev/null ||
  bare_skip "needs a git checkout: $bare_checkout is not one"
if [ -n "$(git -C "$bare_checkout" -c safe.directory='*' status --porcelain)" ]; then
  bare_say "warning: uncommitted changes of the checkout are not tested"
fi
if [ -n "$ccache" ]; then
  mkdir -p "$ccache"
  chmod 777 "$ccache"
fi
bare_isolate "$distribution" "$only" "$as" "$base" "$ccache" "$bare_keep" "$run_arguments"
