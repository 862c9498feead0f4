# SPDX-License-Identifier: Apache-2.0
"""The part of torch_npu that scripts need to run on a CPU through addnorm.ascend. It is not Huawei's torch_npu."""

import sys

import torch
from addnorm.ascend import activate, npu
from addnorm.ascend.trans_quant import npu_trans_quant_param as npu_trans_quant_param

activate()
sys.modules[__name__ + ".npu"], sys.modules[__name__ + ".npu.amp"] = npu, npu.amp

# torch.ops.npu holds what a script may call past the Python name.
_library = torch.library.Library("npu", "FRAGMENT")
_library.define("npu_trans_quant_param(Tensor scale, Tensor? offset=None, int? round_mode=0) -> Tensor")
_library.impl("npu_trans_quant_param", npu_trans_quant_param, "CompositeExplicitAutograd")

__version__ = torch.__version__.split("+")[0] + "+addnorm"


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(
        f"torch_npu.{name} is not in addnorm.ascend, which emulates a part of torch_npu on the CPU (addnorm/ascend/README.md)"
    )
