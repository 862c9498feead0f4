# SPDX-License-Identifier: Apache-2.0
"""The in-place twin of npu_mm_all_reduce_add_rms_norm."""

from addnorm.ascend.mm_all_reduce import mm_all_reduce_add_rms_norm
from torch import Tensor


def npu_mm_all_reduce_add_rms_norm_(
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
    """npu_mm_all_reduce_add_rms_norm with y written over residual: (residual, norm_out). A refused or failed call leaves residual alone."""
    y, norm_out = mm_all_reduce_add_rms_norm(
        "npu_mm_all_reduce_add_rms_norm_", x1, x2, residual, gamma, hcom, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset,
        dequant_scale, antiquant_group_size, comm_turn,
    )  # fmt: skip
    return residual.copy_(y), norm_out
