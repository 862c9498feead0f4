# SPDX-License-Identifier: Apache-2.0
"""ascendspeed_te_ops of spec 000, carried out by addnorm on the CPU."""

import re

import addnorm
from torch import Tensor

_API = "ascendspeed_te_ops.npu_dropout_add_layer_norm"


def npu_dropout_add_layer_norm(
    x0: Tensor,
    weight: Tensor,
    residual: Tensor | None = None,
    bias: Tensor | None = None,
    rowscale: Tensor | None = None,
    layerscale: Tensor | None = None,
    p: float = 0.0,
    eps: float = 1e-5,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    is_rms_norm: bool = False,
    return_dropout_mask: bool = False,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """h = dropout(x0 * rowscale * layerscale) + residual;  norm_result = LayerNorm(h) or RMSNorm(h), times weight, plus bias.

    x0, residual: [..., H], each float32, float16 or bfloat16 (or all arguments float64).  weight, bias, layerscale: [H].  rowscale: [...].
    p: probability of dropping, in [0, 1]; obeyed as given, whatever mode a model is in.  eps: inside the square root.
    is_rms_norm: True = RMSNorm (the document's text has it the other way round; its formulas and samples do not).
    residual_in_fp32: only without a residual: pre_norm_result is float32 instead of x0's type.

    Returns (norm_result, pre_norm_result, mask_result), None in place of what was not asked for:
    norm_result [..., H] in x0's type; pre_norm_result = h [..., H] in residual's type; mask_result [..., H] bool, True = kept.
    Differentiable in every floating-point argument. ValueError or TypeError, naming the argument, for bad input.
    """
    _check_weight(x0, weight)
    norm = addnorm.dropout_add_rms_norm if is_rms_norm else addnorm.dropout_add_layer_norm
    try:
        result = norm(
            x0,
            residual,
            weight,
            bias,
            p,
            eps,
            rowscale=rowscale,
            layerscale=layerscale,
            prenorm=prenorm,
            residual_in_fp32=residual_in_fp32,
            return_dropout_mask=return_dropout_mask,
        )
    except (TypeError, ValueError) as error:
        raise type(error)(_in_our_names(str(error))) from error
    if not (prenorm or return_dropout_mask):
        return result, None, None
    values = iter(result)
    return next(values), next(values) if prenorm else None, next(values) if return_dropout_mask else None


def _check_weight(x0, weight) -> None:
    """The documented order has weight before residual, flash-attention's after it: only the shape tells them apart."""
    for name, value in (("x0", x0), ("weight", weight)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{_API}: argument '{name}' has type {type(value).__name__}, expected a Tensor")
    hidden = x0.shape[-1] if x0.dim() else None
    if hidden is not None and tuple(weight.shape) != (hidden,):
        raise ValueError(
            f"{_API}: argument 'weight' has shape {list(weight.shape)}, expected [{hidden}], the last dimension of x0 "
            "(were weight and residual swapped? The order here is x0, weight, residual, bias)"
        )


def _in_our_names(message: str) -> str:
    """addnorm's message with this function's name and argument names."""
    for pattern, name in ((r"^addnorm\.\w+", _API), (r"\bdropout_p\b", "p"), (r"\bepsilon\b", "eps")):
        message = re.sub(pattern, name, message)
    return message
