# SPDX-License-Identifier: Apache-2.0
"""Runs PyTorch scripts written for Ascend NPUs on a machine without one: their operators become addnorm's, their NPU the CPU.

    python -m addnorm ascend-run SCRIPT [ARGS...]      # the command
    addnorm.ascend.activate()                          # the same, from inside a program

For that process and the processes it starts, and only for those, this makes importable:
``ascendspeed_te_ops``, ``ascendspeed.te.ops.*``, ``mindspeed.ops.*`` and ``torch_npu``, and makes ``.npu()``, ``torch.npu``,
``device='npu:0'`` and the process-group backend ``'hccl'`` work. Nothing is changed by ``import addnorm``.
What is emulated, what differs and what is not there: README.md beside this file.
"""

from addnorm.ascend.activation import activate, is_active
from addnorm.ascend.run import main

__all__ = ["activate", "is_active", "main"]
