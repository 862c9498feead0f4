#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test of a set-up tree, all of them even after a failure:  tools/test.sh [JOBS]
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)} failed=()

echo "== quick lint";  tools/lint.sh --quick || failed+=("lint")
echo "== ctest";       ctest --test-dir build/release --output-on-failure --no-tests=error --parallel "$jobs" || failed+=("ctest")
echo "== pytest"
.venv/bin/python -m pytest
status=$?
# 5 = nothing collected: right only for a tree that has no Python tests.
if ((status == 5)) && [[ -z $(find tests doors demo \( -name 'test_*.py' -o -name '*_test.py' \) -print -quit 2>/dev/null) ]]; then
  echo "pytest: this tree has no Python tests"
elif ((status != 0)); then
  failed+=("pytest (exit $status)")
fi

if ((${#failed[@]})); then
  echo "FAILED: ${failed[*]}" >&2
  exit 1
fi
echo "all tests passed"
