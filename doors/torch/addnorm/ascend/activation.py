# SPDX-License-Identifier: Apache-2.0
"""Turns the emulation on. There is no way back: torch can name its spare backend ('npu') only once per process."""

import sys

from addnorm.ascend import device, hccl, module_path, npu

_active = False


def is_active() -> bool:
    """Whether activate() has taken effect in this process."""
    return _active


def activate() -> None:
    """Makes the Ascend module names and the 'npu' device work in this process and in those it starts.

    Calling it again does nothing. It cannot be undone: ``torch.utils.rename_privateuse1_backend('npu')`` holds until the process ends.
    Raises RuntimeError, with nothing changed, if a real torch_npu is installed or if torch's spare backend is already taken.
    """
    global _active
    if _active:
        return
    module_path.refuse_real_torch_npu()
    device.name_backend("npu", npu)
    sys.modules["torch.npu.amp"] = npu.amp  # torch registers torch.npu itself
    _active = True  # Before the shims become importable: torch_npu calls activate() itself.
    device.map_npu_to_cpu()
    hccl.register()
    module_path.publish()
