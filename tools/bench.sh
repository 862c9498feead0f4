#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every benchmark in one go; figures also go to build/bench/*.json. Run it on an otherwise idle machine.
# A missed goal is printed as MISSED; only a wrong result or a broken benchmark is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()
mkdir -p build/bench
rm -f build/bench/*.json

run() {
  local name
  name=$(basename "$1")
  [[ $1 == *python ]] && name=$(basename "$2" .py)
  echo "== $name"
  "$@" --json "build/bench/$name.json" || failed+=("$name")
}

for program in build/release/bench/bench_* build/release/doors/aclnn/bench/aclnn_bench; do
  if [[ -x $program && -f $program ]]; then run "$program"; fi
done
if .venv/bin/python -c 'import addnorm' 2>/dev/null; then
  run .venv/bin/python bench/bench_torch.py
  run .venv/bin/python bench/bench_parallel.py
  echo "== call_cost"
  if ! .venv/bin/python bench/call_cost.py --json build/bench/call_cost.json; then
    # It writes its figures before it judges them.
    if [[ -s build/bench/call_cost.json ]]; then echo "call_cost: goal MISSED"; else failed+=(call_cost); fi
  fi
else
  echo "bench: the Python package is not built here: torch tables left out"
fi

if ((${#failed[@]})); then
  printf 'bench: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
