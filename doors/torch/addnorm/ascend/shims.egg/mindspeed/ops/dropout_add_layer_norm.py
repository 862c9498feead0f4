# SPDX-License-Identifier: Apache-2.0
"""MindSpeed's later form of the operator of spec 000, carried out by addnorm on the CPU."""

import addnorm
from torch import Tensor


def npu_dropout_add_layer_norm(
    x0: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    dropout_p: float,
    epsilon: float,
    rowscale: Tensor | None = None,
    layerscale: Tensor | None = None,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    return_dropout_mask: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """out = LayerNorm(dropout(x0 * rowscale * layerscale) + residual) * weight + bias.

    x0, residual: [..., H], float32, float16 or bfloat16 in any mixture (or all arguments float64).  weight, bias, layerscale: [H].
    rowscale: [...].  residual stands before weight here, unlike in ascendspeed_te_ops. The function obeys dropout_p in every mode.
    Returns out, (out, pre_norm), (out, mask) or (out, pre_norm, mask), as prenorm and return_dropout_mask ask; shapes of x0.

    Not as in MindSpeed: the mask is bool, True = kept, also for dropout_p == 0 (there: uint8 ones); a dropped infinity or NaN
    contributes 0; any H and any number of leading dimensions; layerscale of any of the types (there: weight's).
    """
    return addnorm.dropout_add_layer_norm(
        x0,
        residual,
        weight,
        bias,
        dropout_p,
        epsilon,
        rowscale=rowscale,
        layerscale=layerscale,
        prenorm=prenorm,
        residual_in_fp32=residual_in_fp32,
        return_dropout_mask=return_dropout_mask,
    )
