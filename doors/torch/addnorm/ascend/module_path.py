# SPDX-License-Identifier: Apache-2.0
"""Puts the directory of shims on the module path of this process and, through PYTHONPATH, of the processes it starts.

A directory, because a spawned process starts with an empty sys.modules but inherits sys.path (multiprocessing) or the environment
(subprocess). The directory also holds the metadata of a ``torch.backends`` entry point, which ``import torch`` calls in such a process:
so a child is active as soon as it has torch, whether or not it imports torch_npu.

The metadata is found because the directory is named like an egg; a nested .dist-info would be left out of the wheel by build tools.
"""

import importlib.machinery
import os
import sys
from pathlib import Path

SHIMS = str(Path(__file__).absolute().parent / "shims.egg")
_ROOT = str(Path(__file__).absolute().parents[2])  # the folder that holds the package addnorm


def publish() -> None:
    """Puts SHIMS first on sys.path and PYTHONPATH, so that the names always mean these modules."""
    sys.path[:] = [SHIMS, *_without_shims(sys.path)]
    environment = _without_shims(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    if _is_plain_folder() and _ROOT not in environment:
        environment.append(_ROOT)
    os.environ["PYTHONPATH"] = os.pathsep.join([SHIMS, *environment])


def refuse_real_torch_npu() -> None:
    """Raises RuntimeError if `import torch_npu` would find, or has found, anything but our shim."""
    where = _real_torch_npu()
    if where is not None:
        raise RuntimeError(
            f"addnorm.ascend.activate: torch_npu is {where}, expected none. A real torch_npu is installed here, and its NPU is not to be "
            "hidden behind the CPU. Run the script with plain python, or use ascend-run in an environment without torch_npu."
        )


def _real_torch_npu() -> str | None:
    """Where a torch_npu that is not ours comes from; None if there is none."""
    loaded = sys.modules.get("torch_npu")
    if loaded is not None:
        file = getattr(loaded, "__file__", None) or "loaded already, from no file"
        return None if file.startswith(SHIMS + os.sep) else file
    spec = importlib.machinery.PathFinder.find_spec("torch_npu", _without_shims(sys.path))
    for finder in sys.meta_path:  # editable installs bring finders of their own
        if spec is None and finder is not importlib.machinery.PathFinder and hasattr(finder, "find_spec"):
            spec = finder.find_spec("torch_npu", None)
    return None if spec is None else spec.origin or "a package without __init__.py"


def _without_shims(entries) -> list[str]:
    return [entry for entry in entries if not entry or os.path.realpath(entry) != os.path.realpath(SHIMS)]


def _is_plain_folder() -> bool:
    """Whether addnorm came from a folder on sys.path that is no installation: a child would not find it there by itself."""
    on_path = any(entry and os.path.realpath(entry) == os.path.realpath(_ROOT) for entry in sys.path)
    return on_path and os.path.basename(_ROOT) not in ("site-packages", "dist-packages")
