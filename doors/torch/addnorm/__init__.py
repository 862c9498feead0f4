# SPDX-License-Identifier: Apache-2.0
"""addnorm: dropout + add + LayerNorm / RMSNorm as fused operators for PyTorch on the CPU, forward and backward.

Results are the same bits for every thread count, SIMD target and run. The operators are also torch.ops.addnorm.*.
"""

import importlib

from addnorm import _library as _library
from addnorm import ops as ops  # registers torch.ops.addnorm
from addnorm._errors import PeerError, PeerTimeoutError
from addnorm.functional import (
    add_layer_norm,
    add_layer_norm_grad,
    add_rms_norm,
    dropout_add_layer_norm,
    dropout_add_rms_norm,
    layer_norm,
    layer_norm_backward,
    rms_norm,
)
from addnorm.nn import DropoutAddLayerNorm, DropoutAddRMSNorm
from addnorm.parallel import PreparedWeights, all_reduce_add_rms_norm, matmul_all_reduce_add_rms_norm, prepare_weights

__version__ = _library.build_info()["version"]

__all__ = [
    "DropoutAddLayerNorm",
    "DropoutAddRMSNorm",
    "PeerError",
    "PeerTimeoutError",
    "PreparedWeights",
    "add_layer_norm",
    "add_layer_norm_grad",
    "add_rms_norm",
    "all_reduce_add_rms_norm",
    "dropout_add_layer_norm",
    "dropout_add_rms_norm",
    "layer_norm",
    "layer_norm_backward",
    "matmul_all_reduce_add_rms_norm",
    "prepare_weights",
    "rms_norm",
]


def __getattr__(name: str):
    # Loaded on first use: most programs never ask for them.
    if name in ("ascend", "ascendc"):
        return importlib.import_module(f"addnorm.{name}")
    raise AttributeError(f"module 'addnorm' has no attribute {name!r}")
