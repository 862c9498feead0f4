#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures and builds one preset, and says how long that took:  tools/build.sh PRESET [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1 jobs=${2:-$(nproc)}
mkdir -p build
start=$(date +%s)
cmake --preset "$preset" >"build/$preset.configure.log" || { cat "build/$preset.configure.log"; exit 1; }
grep -h 'torch' "build/$preset.configure.log" || true
cmake --build "build/$preset" --parallel "$jobs"
echo "build: $preset in $(($(date +%s) - start)) s"
