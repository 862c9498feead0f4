#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every benchmark in one go; fails if one of them missed its limit. Run it on an otherwise idle machine.
set -uo pipefail
cd "$(dirname "$0")/.."
missed=()
run() {
  echo "== $*"
  "$@" || missed+=("$*")
}

for program in build/release/bench/bench_*; do
  if [[ -x $program && -f $program ]]; then run "$program"; fi
done
for script in bench/*.py; do
  if [[ -f $script ]]; then run .venv/bin/python "$script"; fi
done
if [[ -f demo/speed.py ]]; then run .venv/bin/python -m demo.speed --full; fi

if ((${#missed[@]})); then
  printf 'missed its limit: %s\n' "${missed[@]}" >&2
  exit 1
fi
