#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every benchmark in one go: C++ programs of bench/, then its Python tables. Arguments go to the Python part.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in build/release/bench/bench_*; do
  if [[ -x $program && -f $program ]]; then echo "== $(basename "$program")"; "$program"; fi
done
for script in bench/bench_*.py; do
  if [[ -f $script ]]; then echo "== $(basename "$script")"; .venv/bin/python "$script" "$@"; fi
done
