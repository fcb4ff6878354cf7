#!/usr/bin/env bash
# Checks the end of a job: within SECONDS, with a status other than 0, and output that matches each EXPRESSION
# (grep -E).
#
#   check_ending.sh SECONDS EXPRESSION... -- COMMAND...
set -uo pipefail

limit=$1
shift
expressions=()
while [ "$1" != -- ]; do
  expressions+=("$1")
  shift
done
shift

said=$(timeout -k 5 "$limit" "$@" 2>&1)
status=$?
took=$SECONDS
printf '%s\n[status %s after %s s]\n' "$said" "$status" "$took"
if [ "$took" -ge "$limit" ]; then
  echo "it did not end within $limit s"
  exit 1
fi
if [ "$status" = 0 ]; then
  echo "its status was 0"
  exit 1
fi
for expression in "${expressions[@]}"; do
  if ! grep -Eq -- "$expression" <<<"$said"; then
    echo "it did not say: $expression"
    exit 1
  fi
done
