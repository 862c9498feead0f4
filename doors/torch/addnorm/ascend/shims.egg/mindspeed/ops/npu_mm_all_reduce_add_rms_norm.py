# SPDX-License-Identifier: Apache-2.0
"""MindSpeed's name of the operator of spec 001, carried out by addnorm on the CPU."""

from addnorm.ascend.mm_all_reduce import mm_all_reduce_add_rms_norm
from torch import Tensor


def npu_mm_all_reduce_add_rms_norm(
    x1: Tensor,
    x2: Tensor,
    residual: Tensor,
    gamma: Tensor,
    hcom: str,
    reduce_op: str = "sum",
    epsilon: float = 1e-06,
    bias: Tensor | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    dequant_scale: Tensor | None = None,
    antiquant_group_size: int = 0,
    comm_turn: int = 0,
) -> tuple[Tensor, Tensor]:
    """y = all_reduce(x1 @ x2 + bias) + residual, norm_out = RMSNorm(y) * gamma: (y, norm_out) in residual's shape and type.

    Types, shapes and ranges are those of spec 001 and nothing else; addnorm.matmul_all_reduce_add_rms_norm takes more. hcom: what
    get_hccl_comm_name gives. Each rank adds its own residual and normalises with its own gamma, as in the document's sample.

    Not as on an NPU: partial sums cross ranks and are added in float32, in rank order, and each result is rounded once. As on an NPU:
    packed dequant scales lose their 13 low bits, and float16 results end at +-65504.
    """
    return mm_all_reduce_add_rms_norm(
        "npu_mm_all_reduce_add_rms_norm", x1, x2, residual, gamma, hcom, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset,
        dequant_scale, antiquant_group_size, comm_turn,
    )  # fmt: skip
