# SPDX-License-Identifier: Apache-2.0
"""python -m addnorm COMMAND: info, selftest, and the commands that other parts of the package bring."""

import argparse
import importlib
import importlib.util
import json
import platform
import sys

import torch

import addnorm
from addnorm import _library, _selftest

# Command -> module with main(argv) -> exit code, imported only when asked for.
_OTHERS = {
    "ascend-run": ("addnorm.ascend", "run a Python script that was written for Ascend's torch_npu"),
    "ascendc": ("addnorm.ascendc", "build and run an Ascend C kernel on the CPU"),
}


def _info(as_json: bool) -> int:
    build = _library.build_info()
    facts = {
        "version": build["version"],
        "library": str(_library.PATH),
        "target": build["target"],
        "targets": build["targets"].split(","),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name:9}", ", ".join(value) if isinstance(value, list) else value)
    return 0


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in _OTHERS:
        name = _OTHERS[argv[0]][0]
        if importlib.util.find_spec(name) is None:
            print(f"addnorm: this installation has no {name}, which `{argv[0]}` needs", file=sys.stderr)
            return 2
        return importlib.import_module(name).main(argv[1:]) or 0
    parser = argparse.ArgumentParser(prog="python -m addnorm", description="addnorm " + addnorm.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="versions, SIMD targets and threads")
    info.add_argument("--json", action="store_true", help="as one JSON object")
    commands.add_parser("selftest", help="compare every operator with a float64 reference on this machine (seconds)")
    for command, (_, text) in _OTHERS.items():
        commands.add_parser(command, help=text, add_help=False)
    arguments = parser.parse_args(argv)
    return _info(arguments.json) if arguments.command == "info" else _selftest.run()


if __name__ == "__main__":
    sys.exit(main())
