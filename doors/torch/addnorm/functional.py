# SPDX-License-Identifier: Apache-2.0
"""The operators as functions. Shapes: x0 is [..., H] with any leading dimensions, H >= 0.

Types: float32, float16 and bfloat16 in any mixture (computed in float32), or float64 throughout. The norm's result has x0's type, the
pre-norm result the residual's (without a residual: float32 if residual_in_fp32, else x0's). Gradients have the type of their parameter.
Any layout is accepted; rows with one stride are read in place, other layouts are copied first. No argument is ever changed or returned.
Autocast changes nothing here: mixed types are computed in float32 anyway.
"""

import torch
from torch import Tensor

from addnorm import _call

# The kernel's names -> those of the functions with flash-attention's argument names.
_EPSILON = {"eps": "epsilon", "p": "dropout_p"}


def _dropout_add_norm(
    api, is_rms, x0, residual, weight, bias, dropout_p, epsilon, rowscale, layerscale, prenorm, residual_in_fp32, return_dropout_mask,
    seed, generator, norm_from_rounded, save,
):  # fmt: skip
    y, pre, mask, _ = _call.norm(
        api, is_rms, x0, residual, weight, bias, epsilon, dropout_p, rowscale, layerscale, prenorm, return_dropout_mask,
        False, residual_in_fp32, seed, generator, norm_from_rounded, save, 1, _EPSILON,
    )  # fmt: skip
    if prenorm:
        return (y, pre, mask) if return_dropout_mask else (y, pre)
    return (y, mask) if return_dropout_mask else y


def dropout_add_layer_norm(
    x0: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    dropout_p: float,
    epsilon: float,
    rowscale: Tensor | None = None,
    layerscale: Tensor | None = None,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    return_dropout_mask: bool = False,
    *,
    seed=None,
    generator: torch.Generator | None = None,
    norm_from_rounded: bool = False,
    save: str = "prenorm",
):
    """LayerNorm(dropout(x0 * rowscale * layerscale) + residual) * weight + bias, in one pass over memory.

    Args:
        x0: [..., H].
        residual: [..., H] as x0, any type; None = 0.
        weight: [H]; None = 1. (flash-attention's gamma.)
        bias: [H]; None = 0. (flash-attention's beta.)
        dropout_p: probability of dropping, in [0, 1]. Kept values are multiplied by 1 / (1 - dropout_p).
        epsilon: added to the variance inside the square root; finite, >= 0.
        rowscale: [...], x0's shape without H: a factor for each row; None = 1.
        layerscale: [H]: a factor for each column; None = 1. (flash-attention's colscale.)
        prenorm: also return the pre-norm result, the sum that was normalised.
        residual_in_fp32: without a residual, the pre-norm result is float32. No effect with one.
        return_dropout_mask: also return the mask: bool, True = kept.
        seed: an explicit dropout key: an int, a pair (key, offset), or an int64 tensor of shape [2]. The mask is a pure function of
            the key, dropout_p, row and column. None draws a key with torch.randint, so torch.manual_seed and activation
            checkpointing repeat it; nothing is drawn if dropout_p is 0 or 1. Under vmap a key must be given.
        generator: the generator to draw from in place of torch's default one.
        norm_from_rounded: normalise the sum as rounded to the pre-norm type, as vLLM, Liger and Hugging Face models do; the default
            normalises the unrounded float32 sum.
        save: what the backward keeps where the sum is of a 16-bit type. 'prenorm': the rounded sum, whose exact gradient it then gives.
            'inputs': x0 and residual, from which the unrounded sum is formed again.

    Returns:
        y, (y, prenorm), (y, mask) or (y, prenorm, mask), as asked for. y has x0's type.

    Equivalent to, for a mask and float32 throughout::

        h = torch.where(mask, x0 * rowscale[..., None] * layerscale / (1 - dropout_p), 0) + residual
        y = torch.nn.functional.layer_norm(h, h.shape[-1:], weight, bias, epsilon)

    Example:
        >>> x0, residual = torch.ones(2, 3, 8), torch.arange(8.0).expand(2, 3, 8)
        >>> y, pre = addnorm.dropout_add_layer_norm(x0, residual, torch.ones(8), torch.zeros(8), 0.1, 1e-5, prenorm=True, seed=7)
        >>> y.shape, pre.shape
        (torch.Size([2, 3, 8]), torch.Size([2, 3, 8]))
    """
    if (
        dropout_p == 0
        and rowscale is None
        and layerscale is None
        and (residual is not None or not residual_in_fp32)
        and not (return_dropout_mask or norm_from_rounded)
        and save == "prenorm"
    ):
        return _call.add_norm("addnorm.dropout_add_layer_norm", False, x0, residual, weight, bias, epsilon, prenorm, _EPSILON)
    return _dropout_add_norm("addnorm.dropout_add_layer_norm", False, x0, residual, weight, bias, dropout_p, epsilon, rowscale, layerscale,
                             prenorm, residual_in_fp32, return_dropout_mask, seed, generator, norm_from_rounded, save)  # fmt: skip


def dropout_add_rms_norm(
    x0: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    dropout_p: float,
    epsilon: float,
    rowscale: Tensor | None = None,
    layerscale: Tensor | None = None,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    return_dropout_mask: bool = False,
    *,
    seed=None,
    generator: torch.Generator | None = None,
    norm_from_rounded: bool = False,
    save: str = "prenorm",
):
    """RMSNorm(dropout(x0 * rowscale * layerscale) + residual) * weight + bias, in one pass over memory.

    Arguments and results as in :func:`dropout_add_layer_norm`. A bias is added if one is given.

    Equivalent to, for a mask and float32 throughout::

        h = torch.where(mask, x0 * rowscale[..., None] * layerscale / (1 - dropout_p), 0) + residual
        y = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + epsilon) * weight + bias

    Example:
        >>> x0 = torch.full((2, 4), 3.0)
        >>> addnorm.dropout_add_rms_norm(x0, None, torch.ones(4), None, 0.0, 0.0)
        tensor([[1., 1., 1., 1.],
                [1., 1., 1., 1.]])
    """
    if (
        dropout_p == 0
        and rowscale is None
        and layerscale is None
        and (residual is not None or not residual_in_fp32)
        and not (return_dropout_mask or norm_from_rounded)
        and save == "prenorm"
    ):
        return _call.add_norm("addnorm.dropout_add_rms_norm", True, x0, residual, weight, bias, epsilon, prenorm, _EPSILON)
    return _dropout_add_norm("addnorm.dropout_add_rms_norm", True, x0, residual, weight, bias, dropout_p, epsilon, rowscale, layerscale,
                             prenorm, residual_in_fp32, return_dropout_mask, seed, generator, norm_from_rounded, save)  # fmt: skip


def _rank(api: str, name: str, tensor: Tensor, normalized_shape) -> int:
    """The number of dimensions of normalized_shape, which must be the last of `tensor`, the argument `name`."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    rank = len(shape)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{api}: argument '{name}' is of type {type(tensor).__name__}, expected a Tensor")
    if rank == 0 or rank > tensor.dim() or tuple(tensor.shape[tensor.dim() - rank :]) != shape:
        expected = f"the last dimensions of '{name}', {list(tensor.shape)}"
        raise ValueError(f"{api}: argument 'normalized_shape' is {list(shape)}, expected {expected}")
    return rank


def _with_extras(y: Tensor, prenorm: Tensor | None, stats: Tensor | None, is_rms_norm: bool):
    """y alone, or with the sum and the public statistics where they are given."""
    extras = () if prenorm is None else (prenorm,)
    if stats is not None:
        extras += _call.statistics(stats, is_rms_norm)
    return (y, *extras) if extras else y


def layer_norm(
    x0: Tensor,
    normalized_shape,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    return_statistics: bool = False,
):
    """LayerNorm over the last dimensions, as torch.nn.functional.layer_norm; weight and bias may have another type than x0.

    Args:
        x0: [A..., R...].
        normalized_shape: R, an int or a sequence of ints.
        weight: [R...]; None = 1.
        bias: [R...]; None = 0.
        eps: added to the variance inside the square root; finite, >= 0.
        return_statistics: also return mean and rstd, as :func:`layer_norm_backward` takes them.

    Returns:
        y, or (y, mean, rstd) with float32 [A...] statistics (float64 for float64), which carry no gradient.

    Equivalent to, in float32::

        d = x0 - x0.mean(-1, keepdim=True)
        y = d * torch.rsqrt(d.square().mean(-1, keepdim=True) + eps) * weight + bias

    Example:
        >>> addnorm.layer_norm(torch.tensor([[1.0, 3.0]]), 2, eps=0.0)
        tensor([[-1.,  1.]])
    """
    api = "addnorm.layer_norm"
    rank = _rank(api, "x0", x0, normalized_shape)
    if rank == 1 and not return_statistics:
        return _call.add_norm(api, False, x0, None, weight, bias, eps, False)
    y, _, _, stats = _call.norm(api, False, x0, None, weight, bias, eps, want_stats=return_statistics, normalized_rank=rank)
    return _with_extras(y, None, stats if return_statistics else None, False)


def rms_norm(
    x0: Tensor,
    normalized_shape,
    weight: Tensor | None = None,
    eps: float = 1e-5,
    *,
    bias: Tensor | None = None,
    return_statistics: bool = False,
):
    """RMSNorm over the last dimensions, as torch.nn.functional.rms_norm; weight may have another type than x0.

    Args:
        x0: [A..., R...].
        normalized_shape: R, an int or a sequence of ints.
        weight: [R...]; None = 1.
        eps: added to the mean square inside the square root; finite, >= 0. (torch's default depends on the type, this one does not.)
        bias: [R...]; None = 0.
        return_statistics: also return rstd.

    Returns:
        y, or (y, rstd) with float32 [A...] statistics (float64 for float64), which carry no gradient.

    Equivalent to, in float32::

        y = x0 * torch.rsqrt(x0.square().mean(-1, keepdim=True) + eps) * weight

    Example:
        >>> addnorm.rms_norm(torch.tensor([[3.0, -3.0]]), 2, eps=0.0)
        tensor([[ 1., -1.]])
    """
    api = "addnorm.rms_norm"
    rank = _rank(api, "x0", x0, normalized_shape)
    if rank == 1 and not return_statistics:
        return _call.add_norm(api, True, x0, None, weight, bias, eps, False)
    y, _, _, stats = _call.norm(api, True, x0, None, weight, bias, eps, want_stats=return_statistics, normalized_rank=rank)
    return _with_extras(y, None, stats if return_statistics else None, True)


def add_layer_norm(
    x0: Tensor,
    residual: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    norm_from_rounded: bool = False,
    save: str = "prenorm",
    return_statistics: bool = False,
):
    """LayerNorm(x0 + residual) * weight + bias. Arguments as in :func:`dropout_add_layer_norm`.

    Returns:
        y; with prenorm also the sum; with return_statistics then also mean and rstd ([...], float32), as
        :func:`add_layer_norm_grad` takes them.

    Equivalent to, in float32::

        y = torch.nn.functional.layer_norm(x0 + residual, x0.shape[-1:], weight, bias, eps)

    Example:
        >>> y, total = addnorm.add_layer_norm(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2.0]]), eps=0.0, prenorm=True)
        >>> y, total
        (tensor([[-1.,  1.]]), tensor([[1., 3.]]))
    """
    if save == "prenorm" and not (norm_from_rounded or return_statistics) and (residual is not None or not residual_in_fp32):
        return _call.add_norm("addnorm.add_layer_norm", False, x0, residual, weight, bias, eps, prenorm)
    y, pre, _, stats = _call.norm(
        "addnorm.add_layer_norm", False, x0, residual, weight, bias, eps, 0.0, None, None, prenorm, False, return_statistics,
        residual_in_fp32, None, None, norm_from_rounded, save,
    )  # fmt: skip
    return _with_extras(y, pre if prenorm else None, stats if return_statistics else None, False)


def add_rms_norm(
    x0: Tensor,
    residual: Tensor | None,
    weight: Tensor | None = None,
    eps: float = 1e-5,
    *,
    bias: Tensor | None = None,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    norm_from_rounded: bool = False,
    save: str = "prenorm",
    return_statistics: bool = False,
):
    """RMSNorm(x0 + residual) * weight. Arguments as in :func:`dropout_add_layer_norm`.

    Returns:
        y; with prenorm also the sum; with return_statistics then also rstd ([...], float32).

    Equivalent to, in float32::

        h = x0 + residual
        y = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + eps) * weight

    Example:
        >>> addnorm.add_rms_norm(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, -1.0]]), eps=0.0)
        tensor([[ 1., -1.]])
    """
    if save == "prenorm" and not (norm_from_rounded or return_statistics) and (residual is not None or not residual_in_fp32):
        return _call.add_norm("addnorm.add_rms_norm", True, x0, residual, weight, bias, eps, prenorm)
    y, pre, _, stats = _call.norm(
        "addnorm.add_rms_norm", True, x0, residual, weight, bias, eps, 0.0, None, None, prenorm, False, return_statistics,
        residual_in_fp32, None, None, norm_from_rounded, save,
    )  # fmt: skip
    return _with_extras(y, pre if prenorm else None, stats if return_statistics else None, True)


def _reduced_rank(dy: Tensor, mean: Tensor, gamma: Tensor | None) -> int:
    if gamma is not None:
        return gamma.dim()
    if mean.dim() < dy.dim():
        return dy.dim() - mean.dim()
    lead = next((i for i in range(dy.dim() - 1, 0, -1) if tuple(mean.shape) == (*dy.shape[:i], *(1,) * (dy.dim() - i))), dy.dim() - 1)
    return dy.dim() - lead


def add_layer_norm_grad(
    dy: Tensor,
    x1: Tensor,
    x2: Tensor,
    rstd: Tensor,
    mean: Tensor,
    gamma: Tensor | None = None,
    dsum: Tensor | None = None,
    *,
    in_gamma_dtype: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The backward of y = LayerNorm(x1 + x2) * gamma + beta (AddLayerNormGrad), with given statistics.

    Args:
        dy: [A..., R...], the gradient of y.
        x1, x2: [A..., R...]; their sum is formed in float32 and not rounded.
        rstd: [A...] or [A..., 1...], 1 / sqrt(variance + eps). Used as it is, never recomputed.
        mean: as rstd, of the same shape.
        gamma: [R...]; None = 1. R is the last dimension where neither gamma nor the statistics tell.
        dsum: [A..., R...], a gradient that reaches x1 + x2 around the norm, added to dx; None = 0.
        in_gamma_dtype: give dgamma and dbeta in gamma's type; the default is float32 (float64 for float64).

    Returns:
        (dx, dgamma, dbeta): dx in dy's type is the gradient of x1 and of x2 alike; dgamma and dbeta are [R...].

    Equivalent to, in float32 over the last dimension::

        xhat, w = (x1 + x2 - mean) * rstd, dy * gamma
        dx = rstd * (w - w.mean(-1, keepdim=True) - xhat * (w * xhat).mean(-1, keepdim=True)) + dsum
        dgamma, dbeta = (dy * xhat).sum(0), dy.sum(0)

    Example:
        >>> x1, x2, dy = torch.randn(3, 8), torch.randn(3, 8), torch.randn(3, 8)
        >>> y, mean, rstd = addnorm.add_layer_norm(x1, x2, return_statistics=True)
        >>> dx, dgamma, dbeta = addnorm.add_layer_norm_grad(dy, x1, x2, rstd, mean)
        >>> torch.allclose(dbeta, dy.sum(0), atol=1e-6)
        True
    """
    api, name = "addnorm.add_layer_norm_grad", "add_layer_norm_grad"
    _call.require(api, dy=dy, x1=x1, x2=x2, rstd=rstd, mean=mean)
    rank = _reduced_rank(dy, mean, gamma)
    return _call.gradient(api, name, dy, x1, x2, rstd, mean, gamma, dsum, rank, in_gamma_dtype)


def layer_norm_backward(
    grad_out: Tensor,
    input: Tensor,
    normalized_shape,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The backward of y = LayerNorm(input) * weight + bias (aclnnLayerNormBackward), with given statistics.

    Args:
        grad_out: [A..., R...], the gradient of y.
        input: [A..., R...].
        normalized_shape: R, an int or a sequence of ints.
        mean: [A...] or [A..., 1...]. Used as it is, never recomputed.
        rstd: as mean, of the same shape: 1 / sqrt(variance + eps).
        weight: [R...]; None = 1.
        bias: [R...]; only its type is used, for grad_bias; None = weight's type.
        output_mask: which of the three gradients are wanted.

    Returns:
        (grad_input, grad_weight, grad_bias) in the types of input, weight and bias; None where not wanted.

    Equivalent to, in float32 over the last dimension::

        xhat, w = (input - mean) * rstd, grad_out * weight
        grad_input = rstd * (w - w.mean(-1, keepdim=True) - xhat * (w * xhat).mean(-1, keepdim=True))
        grad_weight, grad_bias = (grad_out * xhat).sum(0), grad_out.sum(0)

    Example:
        >>> x, dy = torch.randn(3, 8), torch.randn(3, 8)
        >>> y, mean, rstd = addnorm.layer_norm(x, 8, return_statistics=True)
        >>> dx, dweight, dbias = addnorm.layer_norm_backward(dy, x, 8, mean, rstd, output_mask=(True, False, False))
        >>> dx.shape, dweight
        (torch.Size([3, 8]), None)
    """
    api = "addnorm.layer_norm_backward"
    _call.require(api, grad_out=grad_out, input=input, mean=mean, rstd=rstd)
    if len(output_mask) != 3:
        raise ValueError(f"{api}: argument 'output_mask' has {len(output_mask)} elements, expected 3")
    rank = _rank(api, "input", input, normalized_shape)
    results = _call.gradient(api, "layer_norm_backward", grad_out, input, rank, mean, rstd, weight, bias, list(output_mask))
    return tuple(result if wanted else None for result, wanted in zip(results, output_mask, strict=True))
