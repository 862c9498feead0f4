# SPDX-License-Identifier: Apache-2.0
"""The operators as functions. Shapes: x0 is [..., H] with any leading dimensions, H >= 0.

Types: float32, float16 and bfloat16 in any mixture (computed in float32), or float64 throughout. The norm's result has x0's type, the
pre-norm result the residual's (without a residual: float32 if residual_in_fp32, else x0's). Gradients have the type of their parameter.
Any layout is accepted; rows with one stride are read in place, other layouts are copied first. No argument is ever changed or returned.
Autocast changes nothing here: mixed types are computed in float32 anyway.
"""

import torch
from torch import Tensor

from addnorm import _errors, ops

_forward = torch.ops.addnorm.forward.default
_backward = torch.ops.addnorm.backward.default
_is_grad_enabled = torch.is_grad_enabled
_is_compiling = torch.compiler.is_compiling
_functorch_level = torch._C._functorch.peek_interpreter_stack

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_EPSILON = {"eps": "epsilon", "p": "dropout_p"}


# ---- The dropout key -------------------------------------------------------------------------------------------------


def _int64(word: int) -> int:
    """The int64 with the bits of a word that may be given as signed or unsigned."""
    if not _INT64_MIN <= word < 2**64:
        raise ValueError(f"argument 'seed' holds {word}, expected 64-bit integers")
    return word - 2**64 if word > _INT64_MAX else word


def _under_vmap() -> bool:
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


def _key(api: str, seed, generator: torch.Generator | None, x0: Tensor) -> Tensor:
    """The dropout key as int64[2]: the one given, or two words drawn from the generator, so that manual_seed and checkpoint repeat it."""
    if seed is None:
        if not _is_compiling() and _functorch_level() is not None and _under_vmap():
            raise ValueError(f"{api}: argument 'seed' is None, expected an explicit seed, as 0 < p < 1 under vmap, where no key can be drawn")
        return torch.randint(_INT64_MIN, _INT64_MAX, (2,), dtype=torch.int64, device=x0.device, generator=generator)
    if generator is not None:
        raise ValueError(f"{api}: arguments 'seed' and 'generator' are both given, expected one of them")
    if isinstance(seed, Tensor):
        return seed
    words = (seed, 0) if isinstance(seed, int) else seed
    if not isinstance(words, tuple | list) or len(words) != 2 or not all(isinstance(word, int) for word in words):
        raise TypeError(f"{api}: argument 'seed' is {seed!r}, expected an int, a pair of ints (key, offset) or an int64 tensor of shape [2]")
    return torch.tensor([_int64(words[0]), _int64(words[1])], dtype=torch.int64, device=x0.device)


# ---- Eager autograd --------------------------------------------------------------------------------------------------


class _Norm(torch.autograd.Function):
    """Eager calls that want a gradient. Inputs with one come first; returns y and those of prenorm, mask and stats that are wanted."""

    @staticmethod
    def forward(ctx, x0, residual, weight, bias, rowscale, layerscale, seed, call):
        eps, p, is_rms_norm, residual_in_fp32, norm_from_rounded, normalized_rank, want_prenorm, want_mask, want_stats, save_inputs = call
        needs = ctx.needs_input_grad
        plain = residual is None and p == 0 and rowscale is None and layerscale is None
        dtype = ops.prenorm_dtype(x0, residual, residual_in_fp32)
        keep_stats = plain or save_inputs or ops.is_exact(dtype, norm_from_rounded)
        y, prenorm, mask, stats = _forward(
            x0, residual, weight, bias, eps, is_rms_norm, want_prenorm or not (plain or save_inputs), keep_stats or want_stats,
            rowscale, layerscale, seed, p, want_mask, residual_in_fp32, norm_from_rounded, normalized_rank,
        )  # fmt: skip
        inputs = (x0, residual, weight, bias, rowscale, layerscale, seed, p)
        ctx.save_for_backward(*ops.keep(needs, inputs, prenorm, stats if keep_stats else None, save_inputs))
        ctx.attributes = (eps, p, is_rms_norm, residual_in_fp32, norm_from_rounded, normalized_rank, x0.dtype, dtype)
        ctx.set_materialize_grads(False)
        if not (want_prenorm or want_mask or want_stats):
            return y
        results = [y]
        if want_prenorm:
            results.append(prenorm)
        if want_mask:
            results.append(mask)
        if want_stats:
            results.append(stats)
        if want_mask or want_stats:
            ctx.mark_non_differentiable(*results[1 + want_prenorm :])
        return tuple(results)

    @staticmethod
    def backward(ctx, dy, *others):
        # The gradient of prenorm, if it is an output; those of mask and stats are always None.
        dprenorm = others[0] if others else None
        op = _backward_once if _is_grad_enabled() else _backward
        return (*ops.gradients(op, ctx.needs_input_grad, dy, dprenorm, ctx.saved_tensors, ctx.attributes), None, None)


class _NoDoubleBackward(torch.autograd.Function):
    """Calls `op`, whose results have no derivative: asking for one is an error and not a silent zero."""

    @staticmethod
    def forward(ctx, op, *args):
        return op(*args)

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError(ops.NO_DOUBLE_BACKWARD)


def _backward_once(*args):
    return _NoDoubleBackward.apply(_backward, *args)


# ---- The one path of all forwards ------------------------------------------------------------------------------------


def _norm(
    api, is_rms_norm, x0, residual, weight, bias, eps, p=0.0, rowscale=None, layerscale=None, want_prenorm=False, want_mask=False,
    want_stats=False, residual_in_fp32=False, seed=None, generator=None, norm_from_rounded=False, save="prenorm", normalized_rank=1,
    names=None,
):  # fmt: skip
    """(y, prenorm, mask, stats), those not wanted of size 0 or None."""
    if save != "prenorm" and save != "inputs":
        raise ValueError(f"{api}: argument 'save' is {save!r}, expected 'prenorm' or 'inputs'")
    try:
        if 0 < p < 1:
            seed = _key(api, seed, generator, x0)
        else:
            seed = None
        grad = _is_grad_enabled() and (
            x0.requires_grad
            or (weight is not None and weight.requires_grad)
            or (residual is not None and residual.requires_grad)
            or (bias is not None and bias.requires_grad)
            or (rowscale is not None and rowscale.requires_grad)
            or (layerscale is not None and layerscale.requires_grad)
        )
    except (AttributeError, TypeError) as error:
        raise _wrong_argument(api, names, p, x0=x0, residual=residual, weight=weight, bias=bias, rowscale=rowscale, layerscale=layerscale,
                              error=error) from None  # fmt: skip
    save_inputs = save == "inputs"
    if _is_compiling() or _functorch_level() is not None:
        return _traced(
            x0, residual, weight, bias, eps, is_rms_norm, want_prenorm, want_stats, rowscale, layerscale, seed, p, want_mask,
            residual_in_fp32, norm_from_rounded, normalized_rank, grad, save_inputs,
        )  # fmt: skip
    try:
        if not grad:
            return _forward(
                x0, residual, weight, bias, eps, is_rms_norm, want_prenorm, want_stats, rowscale, layerscale, seed, p, want_mask,
                residual_in_fp32, norm_from_rounded, normalized_rank,
            )  # fmt: skip
        call = (eps, p, is_rms_norm, residual_in_fp32, norm_from_rounded, normalized_rank, want_prenorm, want_mask, want_stats, save_inputs)
        results = _Norm.apply(x0, residual, weight, bias, rowscale, layerscale, seed, call)
    except (RuntimeError, ValueError) as error:
        raise _errors.translate(api, error, names) from None
    if not (want_prenorm or want_mask or want_stats):
        return results, None, None, None
    rest = list(results[1:])
    return (
        results[0],
        rest.pop(0) if want_prenorm else None,
        rest.pop(0) if want_mask else None,
        rest.pop(0) if want_stats else None,
    )


def _traced(
    x0, residual, weight, bias, eps, is_rms_norm, want_prenorm, want_stats, rowscale, layerscale, seed, p, want_mask, residual_in_fp32,
    norm_from_rounded, normalized_rank, grad, save_inputs,
):  # fmt: skip
    """The same under torch.compile and functorch, through the operator with a registered derivative (which ops._setup_context keeps)."""
    if grad:
        plain = ops.is_plain(residual, rowscale, layerscale, p)
        exact = ops.is_exact(ops.prenorm_dtype(x0, residual, residual_in_fp32), norm_from_rounded)
        want_prenorm = want_prenorm or not (plain or save_inputs)
        want_stats = want_stats or plain or save_inputs or exact
    return torch.ops.addnorm.dropout_add_norm(
        x0, residual, weight, bias, eps, is_rms_norm, want_prenorm, want_stats, rowscale, layerscale, seed, p, want_mask,
        residual_in_fp32, norm_from_rounded, normalized_rank,
    )  # fmt: skip


def _wrong_argument(api, names, p, error, **tensors) -> Exception:
    """What is wrong where not even the attributes of a tensor could be read."""
    names = names or {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) and (tensor is not None or name == "x0"):
            expected = "a Tensor" if name == "x0" else "a Tensor or None"
            return TypeError(f"{api}: argument '{names.get(name, name)}' is of type {type(tensor).__name__}, expected {expected}")
    if not isinstance(p, int | float):
        return TypeError(f"{api}: argument '{names.get('p', 'p')}' is of type {type(p).__name__}, expected a float")
    return error


def _statistics(stats: Tensor, is_rms_norm: bool) -> tuple[Tensor, ...]:
    """(mean, rstd) of LayerNorm, (rstd,) of RMSNorm. The mean is kept in two words; their rounded sum is the public one."""
    return (stats[0],) if is_rms_norm else (stats[0] + stats[1], stats[2])


def _dropout_add_norm(
    api, is_rms_norm, x0, residual, weight, bias, dropout_p, epsilon, rowscale, layerscale, prenorm, residual_in_fp32,
    return_dropout_mask, seed, generator, norm_from_rounded, save,
):  # fmt: skip
    y, pre, mask, _ = _norm(
        api, is_rms_norm, x0, residual, weight, bias, epsilon, dropout_p, rowscale, layerscale, prenorm, return_dropout_mask,
        False, residual_in_fp32, seed, generator, norm_from_rounded, save, 1, _EPSILON,
    )  # fmt: skip
    if prenorm:
        return (y, pre, mask) if return_dropout_mask else (y, pre)
    return (y, mask) if return_dropout_mask else y


# ---- Public functions ------------------------------------------------------------------------------------------------


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
    return _dropout_add_norm("addnorm.dropout_add_rms_norm", True, x0, residual, weight, bias, dropout_p, epsilon, rowscale, layerscale,
                             prenorm, residual_in_fp32, return_dropout_mask, seed, generator, norm_from_rounded, save)  # fmt: skip


def _rank(api: str, x0: Tensor, normalized_shape) -> int:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or len(shape) > x0.dim() or tuple(x0.shape[x0.dim() - len(shape) :]) != shape:
        raise ValueError(f"{api}: argument 'normalized_shape' is {list(shape)}, expected the last dimensions (at least one) of x0, {list(x0.shape)}")
    return len(shape)


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
    y, _, _, stats = _norm(api, False, x0, None, weight, bias, eps, want_stats=return_statistics, normalized_rank=_rank(api, x0, normalized_shape))
    return (y, *_statistics(stats, False)) if return_statistics else y


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
    y, _, _, stats = _norm(api, True, x0, None, weight, bias, eps, want_stats=return_statistics, normalized_rank=_rank(api, x0, normalized_shape))
    return (y, *_statistics(stats, True)) if return_statistics else y


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
    y, pre, _, stats = _norm(
        "addnorm.add_layer_norm", False, x0, residual, weight, bias, eps, 0.0, None, None, prenorm, False, return_statistics,
        residual_in_fp32, None, None, norm_from_rounded, save,
    )  # fmt: skip
    if not (prenorm or return_statistics):
        return y
    return (y, *((pre,) if prenorm else ()), *(_statistics(stats, False) if return_statistics else ()))


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
    y, pre, _, stats = _norm(
        "addnorm.add_rms_norm", True, x0, residual, weight, bias, eps, 0.0, None, None, prenorm, False, return_statistics,
        residual_in_fp32, None, None, norm_from_rounded, save,
    )  # fmt: skip
    if not (prenorm or return_statistics):
        return y
    return (y, *((pre,) if prenorm else ()), *(_statistics(stats, True) if return_statistics else ()))


# ---- Public gradients ------------------------------------------------------------------------------------------------


def _call_gradient(api: str, op, *args):
    """`op`, which has no derivative: the results refuse to be differentiated."""
    try:
        if not _is_compiling() and _functorch_level() is None:
            if _is_grad_enabled() and any(isinstance(arg, Tensor) and arg.requires_grad for arg in args):
                return _NoDoubleBackward.apply(op, *args)
            # Below autograd: its formula, registered in Python, would only cost time.
            with torch.no_grad():
                return op(*args)
        return op(*args)
    except (RuntimeError, ValueError) as error:
        raise _errors.translate(api, error) from None


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
    rank = _reduced_rank(dy, mean, gamma)
    return _call_gradient("addnorm.add_layer_norm_grad", torch.ops.addnorm.add_layer_norm_grad.default,
                          dy, x1, x2, rstd, mean, gamma, dsum, rank, in_gamma_dtype)  # fmt: skip


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
    if len(output_mask) != 3:
        raise ValueError(f"{api}: argument 'output_mask' has {len(output_mask)} elements, expected 3")
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or len(shape) > input.dim() or tuple(input.shape[input.dim() - len(shape) :]) != shape:
        raise ValueError(f"{api}: argument 'normalized_shape' is {list(shape)}, expected the last dimensions of input, {list(input.shape)}")
    results = _call_gradient(api, torch.ops.addnorm.layer_norm_backward.default,
                             grad_out, input, len(shape), mean, rstd, weight, bias, list(output_mask))  # fmt: skip
    return tuple(result if wanted else None for result, wanted in zip(results, output_mask, strict=True))
