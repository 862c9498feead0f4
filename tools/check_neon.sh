#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Cross-builds the core for 64-bit Arm and compares its bits with the stored digests under qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/build.sh neon
qemu-aarch64 build/neon/tests/package/bit_digest tests/data/digests.txt
