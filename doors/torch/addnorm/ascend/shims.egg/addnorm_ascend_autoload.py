# SPDX-License-Identifier: Apache-2.0
"""The ``torch.backends`` entry point of this directory: ``import torch`` calls start() in every process that inherits the module path."""

import sys


def start() -> None:
    try:
        from addnorm.ascend import activate
    except ModuleNotFoundError as error:
        if error.name not in ("addnorm", "addnorm.ascend"):
            raise
        # Another Python, which inherited PYTHONPATH but not addnorm: its torch must not fail because of us.
        print(f"ascend-run: addnorm is not installed for {sys.executable}; torch is left as it is there", file=sys.stderr)
        return
    activate()
