# SPDX-License-Identifier: Apache-2.0
"""The part of torch_npu that scripts need to run on a CPU through addnorm.ascend. It is not Huawei's torch_npu."""

import sys

import torch
from addnorm.ascend import activate, npu

activate()
sys.modules[__name__ + ".npu"], sys.modules[__name__ + ".npu.amp"] = npu, npu.amp

__version__ = torch.__version__.split("+")[0] + "+addnorm"


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(
        f"torch_npu.{name} is not in addnorm.ascend, which emulates a part of torch_npu on the CPU (addnorm/ascend/README.md)"
    )
