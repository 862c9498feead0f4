#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The shared library itself: size, hardening, exported names.  check_library.sh LIBRARY
set -uo pipefail
library=$1 bad=0
fail() { echo "FAIL: $*" >&2; bad=1; }

bytes=$(stat -Lc %s "$library")
echo "$(basename "$library"): $bytes bytes"
((bytes <= 8 * 1024 * 1024)) || fail "larger than 8 MiB"

dynamic=$(readelf -dW "$library") segments=$(readelf -lW "$library")
grep -q 'BIND_NOW' <<<"$dynamic" || fail "not linked with -z now"
grep -q 'GNU_RELRO' <<<"$segments" || fail "no RELRO"
grep -Eq 'GNU_STACK .* RW ' <<<"$segments" || fail "executable stack"
grep -Eq 'LOAD .* RWE ' <<<"$segments" && fail "a segment is writable and executable"
grep -Eq 'TEXTREL|RPATH|RUNPATH' <<<"$dynamic" && fail "TEXTREL, RPATH or RUNPATH"
needed=$(grep -oP 'NEEDED.*\[\K[^]]+' <<<"$dynamic" | grep -Ev '^(libstdc\+\+\.so\.6|libm\.so\.6|libgcc_s\.so\.1|libc\.so\.6|ld-linux.*)$')
[[ -z $needed ]] || fail "needs more than the C++ runtime: $needed"

# Only addnorm's own names leave the library; W and V are templates and vague linkage that the C++ runtime merges.
names=$(nm -DC --defined-only "$library")
foreign=$(awk '$2 ~ /[TDBR]/' <<<"$names" | grep -vE ' (addnorm::|(typeinfo|vtable|typeinfo name) for addnorm::)')
[[ -z $foreign ]] || fail "exports foreign names:"$'\n'"$foreign"
grep -q ' addnorm::Forward(' <<<"$names" || fail "does not export addnorm::Forward"
exit "$bad"
