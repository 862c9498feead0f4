#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Linters:  tools/lint.sh [--quick | --fix]    --quick leaves out clang-tidy, --fix rewrites the layout of the files
set -uo pipefail
cd "$(dirname "$0")/.."
mode=${1:-} failed=()
mapfile -t cxx < <(git ls-files '*.h' '*.cc' '*.c' '*.cpp')
mapfile -t sources < <(git ls-files 'src/*.cc' 'doors/*.cc')

if [[ $mode == --fix ]]; then
  clang-format-14 -i "${cxx[@]}"
  .venv/bin/ruff check --quiet --fix . ; exec .venv/bin/ruff format --quiet .
fi

clang-format-14 --dry-run --Werror "${cxx[@]}" || failed+=(clang-format)
python3 tools/check_layering.py || failed+=(layering)
unlicensed=$(git ls-files '*.h' '*.cc' '*.c' '*.cpp' '*.py' '*.sh' '*.cmake' '*CMakeLists.txt' | while read -r f; do
  [[ ! -s $f ]] || head -2 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f: no SPDX line"; done)
[[ -z $unlicensed ]] || { echo "$unlicensed" >&2; failed+=(licence); }
.venv/bin/ruff check --quiet . || failed+=(ruff)
.venv/bin/ruff format --quiet --check . || failed+=("ruff format")
if [[ $mode != --quick ]]; then
  # Only files of this build: a door that was left out has no compile command.
  mapfile -t sources < <(for f in "${sources[@]}"; do grep -q "$PWD/$f\"" build/release/compile_commands.json && echo "$f"; done)
  printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy-14 --quiet -p build/release || failed+=(clang-tidy)
fi

if ((${#failed[@]})); then
  echo "lint: failed: ${failed[*]} (make format repairs layout)" >&2
  exit 1
fi
echo "lint: clean (${#cxx[@]} C and C++ files)"
