# SPDX-License-Identifier: Apache-2.0
"""Checks the include arrows: base <- core <- cpu, comm, parallel inside src; doors on top; Highway in src/cpu, torch in doors/torch."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

# Folder of src -> folders of src that it may include. cpu implements core/rows.h; nobody includes cpu.
MAY_INCLUDE = {
    "base": {"base"},
    "core": {"base", "core"},
    "cpu": {"base", "core", "cpu"},
    "comm": {"base", "comm"},
    "parallel": {"base", "core", "parallel"},
}


def problem(path: str, included: str) -> str | None:
    """Why `path` must not include `included`; None if it may."""
    parts = path.split("/")
    if included.startswith("hwy/") and not path.startswith("src/cpu/"):
        return "hwy/ is for src/cpu"
    if re.match(r"(torch|ATen|c10)/", included) and not path.startswith("doors/torch/"):
        return "torch headers are for doors/torch"
    if parts[0] == "include" and not (included.startswith("addnorm/") or "/" not in included):
        return "public headers include only the standard library and addnorm/"
    if parts[0] == "src":
        if included.startswith("doors/"):
            return "src never includes doors"
        if included.startswith("src/") and included.split("/")[1] not in MAY_INCLUDE.get(parts[1], {parts[1]}):
            return f"src/{parts[1]} does not include src/{included.split('/')[1]}"
    if parts[0] == "doors" and included.startswith("doors/") and included.split("/")[1] != parts[1]:
        return "a door does not include another"
    if included.startswith("tests/") and parts[0] not in ("tests", "bench", "doors"):
        return "only tests and benchmarks include tests/"
    return None


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.c", "*.cpp"], cwd=ROOT, check=True, capture_output=True, text=True)
    bad = 0
    for path in listed.stdout.split():
        if not (ROOT / path).exists():
            continue
        for included in INCLUDE.findall((ROOT / path).read_text()):
            if why := problem(path, included):
                print(f'{path}: "{included}": {why}', file=sys.stderr)
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
