#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a temporary prefix, moves the tree, and builds and runs a user's program from it by find_package and by pkg-config.
#   check_install.sh BUILD_DIR SOURCE_DIR COMPILER
set -euo pipefail
build=$1 source=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"
prefix=$work/moved
if grep -rIl -e "$build" -e "$source" -e "$work" "$prefix"; then
  echo "FAIL: the files above name folders of this build" >&2
  exit 1
fi

cmake -S "$source/tests/consumer" -B "$work/consumer" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" ||
  { cat "$work/log"; exit 1; }
cmake --build "$work/consumer"
"$work/consumer/consumer"
"$work/consumer/consumer_core"
# Not some other addnorm of this machine.
grep -q "addnorm_DIR:PATH=$prefix" "$work/consumer/CMakeCache.txt"
# grep -q would close the pipe on ldd, which is then a failure now and then.
ldd "$work/consumer/consumer" | grep "$prefix" >/dev/null

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name addnorm.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # flags are words
"$compiler" -std=c++20 "$source/tests/consumer/consumer.cc" $(pkg-config --cflags --libs addnorm) -o "$work/by_pkg_config"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir addnorm) "$work/by_pkg_config"
