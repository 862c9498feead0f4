# SPDX-License-Identifier: Apache-2.0
"""Loads libaddnorm_torch.so, which registers torch.ops.addnorm."""

from pathlib import Path

import torch

PATH = Path(__file__).parent / "libaddnorm_torch.so"


def load() -> None:
    """Registers torch.ops.addnorm. Raises ImportError with the cure where this installation cannot."""
    if not PATH.exists():
        raise ImportError(
            f"addnorm was built without its PyTorch door ({PATH} is absent), because torch was not visible to the build. Cure: "
            "install torch >= 2.10, then `pip install --no-build-isolation --force-reinstall addnorm`, or `make setup` in a checkout."
        )
    try:
        torch.ops.load_library(str(PATH))
    except OSError as error:
        raise ImportError(f"addnorm: {PATH} does not load into torch {torch.__version__}, it needs torch >= 2.10: {error}") from error


def build_info() -> dict[str, str]:
    """What the C++ core says of itself: version, the SIMD target in use, and all that this machine can run."""
    return dict(line.split("=", 1) for line in torch.ops.addnorm.build_info().splitlines())
