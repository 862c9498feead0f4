# SPDX-License-Identifier: Apache-2.0
"""The command ``python -m addnorm ascend-run SCRIPT [ARGS...]``."""

import os
import sys
import types

from addnorm.ascend.activation import activate

_USAGE = """usage: python -m addnorm ascend-run SCRIPT [ARGS...]

Runs a PyTorch script written for Ascend NPUs, unmodified, on this machine's CPU: torch_npu, ascendspeed_te_ops, ascendspeed.te.ops and
mindspeed.ops are importable, .npu() and device='npu' mean the CPU, backend 'hccl' is gloo. Processes that the script starts inherit this.
Nothing outside this run is changed.
"""


def main(argv: list[str]) -> int:
    """Runs argv[0] as __main__ with sys.argv = argv. Returns 0, or 2 for a wrong command line; what the script raises passes through."""
    if argv and argv[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if not argv or argv[0].startswith("-"):
        print(_USAGE, file=sys.stderr)
        return 2
    script = argv[0]
    try:
        with open(script, "rb") as file:
            source = file.read()
        activate()
    except (OSError, RuntimeError) as error:
        print(f"ascend-run: {error}", file=sys.stderr)
        return 2
    _execute(script, source, argv)
    return 0


def _execute(script: str, source: bytes, argv: list[str]) -> None:
    # A module of its own that stays in sys.modules: a spawned process then finds the script by __file__ and pickles by the name __main__,
    # and what the script leaves behind (threads, atexit) keeps its globals.
    module = types.ModuleType("__main__")
    module.__file__ = script
    sys.modules["__main__"] = module
    sys.argv = list(argv)
    if sys.path[1:2] == [os.getcwd()]:  # what `python -m` put first; `python SCRIPT` has the script's folder there
        del sys.path[1]
    if not sys.flags.safe_path:
        sys.path.insert(1, os.path.dirname(os.path.abspath(script)))
    exec(compile(source, script, "exec"), module.__dict__)
