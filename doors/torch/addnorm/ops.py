# SPDX-License-Identifier: Apache-2.0
"""What torch must know of torch.ops.addnorm beside its kernels: shapes for tracing, derivatives, and vmap.

``forward`` and ``backward`` never get a derivative: eager calls use them (see functional.py). ``dropout_add_norm`` and
``dropout_add_norm_backward`` are the same kernels with one, for torch.compile.
"""

import torch
from torch import Tensor

from addnorm import _library

_library.load()

NO_DOUBLE_BACKWARD = "addnorm: the gradients have no derivative of their own (double backward, create_graph=True) yet"


# ---- Shapes ----------------------------------------------------------------------------------------------------------


def _same_device(op: str, first: str, tensor: Tensor, **others: Tensor | None) -> None:
    for name, other in others.items():
        if other is not None and other.device != tensor.device:
            expected = f"{tensor.device}, the device of '{first}'"
            raise ValueError(f"torch.ops.addnorm.{op}: argument '{name}' is on {other.device}, expected {expected}")


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def prenorm_dtype(x0: Tensor, residual: Tensor | None, residual_in_fp32: bool) -> torch.dtype:
    """The type of the pre-norm result: the residual's, else float32 if asked for, else x0's. (float64 stays float64.)"""
    if residual is not None:
        return residual.dtype
    return _wide(x0) if residual_in_fp32 else x0.dtype


def _fake_forward(
    x0, residual, weight, bias, eps, is_rms_norm=False, want_prenorm=False, want_stats=False, rowscale=None, layerscale=None,
    seed=None, p=0.0, want_mask=False, residual_in_fp32=False, norm_from_rounded=False, normalized_rank=1,
):  # fmt: skip
    _same_device("dropout_add_norm", "x0", x0, residual=residual, weight=weight, bias=bias, rowscale=rowscale, layerscale=layerscale)
    lead = x0.shape[: x0.dim() - normalized_rank]
    stats_shape = (1 if is_rms_norm else 3, *lead) if want_stats else (0,)
    return (
        x0.new_empty(x0.shape),
        x0.new_empty(x0.shape if want_prenorm else (0,), dtype=prenorm_dtype(x0, residual, residual_in_fp32)),
        x0.new_empty(x0.shape if want_mask else (0,), dtype=torch.bool),
        x0.new_empty(stats_shape, dtype=_wide(x0)),
    )


def _fake_backward(
    dy, dprenorm, prenorm, stats, weight, bias, eps, output_mask, is_rms_norm=False, x0=None, residual=None, rowscale=None,
    layerscale=None, seed=None, p=0.0, residual_in_fp32=False, norm_from_rounded=False, normalized_rank=1,
):  # fmt: skip
    _same_device("dropout_add_norm_backward", "dy", dy, dprenorm=dprenorm, prenorm=prenorm, stats=stats, weight=weight, x0=x0,
                 residual=residual, rowscale=rowscale, layerscale=layerscale)  # fmt: skip
    lead, tail = dy.shape[: dy.dim() - normalized_rank], dy.shape[dy.dim() - normalized_rank :]
    x0_dtype = (dy if x0 is None else x0).dtype
    weight_dtype = x0_dtype if weight is None else weight.dtype
    if residual is None and prenorm is not None:
        residual_dtype = prenorm.dtype
    else:
        residual_dtype = prenorm_dtype(dy.new_empty(0, dtype=x0_dtype), residual, residual_in_fp32)
    shapes = (dy.shape, dy.shape, tail, tail, lead, tail)
    dtypes = (
        x0_dtype,
        residual_dtype,
        weight_dtype,
        weight_dtype if bias is None else bias.dtype,
        x0_dtype if rowscale is None else rowscale.dtype,
        x0_dtype if layerscale is None else layerscale.dtype,
    )
    return tuple(
        dy.new_empty(shape if wanted else (0,), dtype=dtype) for wanted, shape, dtype in zip(output_mask, shapes, dtypes, strict=True)
    )


def _fake_add_layer_norm_grad(dy, x1, x2, rstd, mean, gamma=None, dsum=None, normalized_rank=1, in_gamma_dtype=False):
    _same_device("add_layer_norm_grad", "dy", dy, x1=x1, x2=x2, rstd=rstd, mean=mean, gamma=gamma, dsum=dsum)
    column_dtype = (dy if gamma is None else gamma).dtype if in_gamma_dtype else _wide(dy)
    tail = dy.shape[dy.dim() - normalized_rank :]
    return dy.new_empty(dy.shape), dy.new_empty(tail, dtype=column_dtype), dy.new_empty(tail, dtype=column_dtype)


def _fake_layer_norm_backward(grad_out, input, normalized_rank, mean, rstd, weight=None, bias=None, output_mask=(True, True, True)):
    _same_device("layer_norm_backward", "input", input, grad_out=grad_out, mean=mean, rstd=rstd, weight=weight)
    tail = input.shape[input.dim() - normalized_rank :]
    weight_dtype = (input if weight is None else weight).dtype
    return (
        input.new_empty(input.shape if output_mask[0] else (0,)),
        input.new_empty(tail if output_mask[1] else (0,), dtype=weight_dtype),
        input.new_empty(tail if output_mask[2] else (0,), dtype=weight_dtype if bias is None else bias.dtype),
    )


# ---- Derivatives -----------------------------------------------------------------------------------------------------


def is_plain(residual, rowscale, layerscale, p: float) -> bool:
    """True if h is x0 itself."""
    return residual is None and rowscale is None and layerscale is None and p == 0


def is_exact(dtype: torch.dtype, norm_from_rounded: bool) -> bool:
    """True if a pre-norm result of this type is the very h that was normalised, so that the statistics of the forward belong to it."""
    return norm_from_rounded or dtype == torch.float32 or dtype == torch.float64


def gradients(op, needs, dy, dprenorm, saved, attributes):
    """The gradients of x0, residual, weight, bias, rowscale, layerscale; None for those that `needs` does not ask for.

    saved: (h or None, stats, weight, bias, x0, residual, rowscale, layerscale, seed); attributes: see functional.py.
    """
    h, stats, weight, bias, x0, residual, rowscale, layerscale, seed = saved
    eps, p, is_rms_norm, residual_in_fp32, norm_from_rounded, normalized_rank, x0_dtype, residual_dtype = attributes
    if dy is None:
        if dprenorm is None:
            return (None,) * 6
        dy = torch.zeros(dprenorm.shape, dtype=x0_dtype, device=dprenorm.device)
    # Without dropout and scales the gradients of x0 and residual are the same numbers; torch, too, hands out one tensor twice.
    twin = needs[0] and needs[1] and p == 0 and rowscale is None and layerscale is None and x0_dtype == residual_dtype
    wanted = [needs[0], needs[1] and not twin, needs[2], needs[3], needs[4], needs[5]]
    results = op(
        dy, dprenorm, h, stats, weight, bias, eps, wanted, is_rms_norm, x0, residual, rowscale, layerscale, seed, p, residual_in_fp32,
        norm_from_rounded, normalized_rank,
    )  # fmt: skip
    results = [result if want else None for result, want in zip(results, wanted, strict=True)]
    if twin:
        results[1] = results[0]
    return results


def keep(needs, inputs, prenorm, stats, save_inputs: bool):
    """What the backward needs, in the order of gradients(). `prenorm`: the h to keep, or None if h is x0 or is formed again."""
    x0, residual, weight, bias, rowscale, layerscale, seed, p = inputs
    again = save_inputs and not is_plain(residual, rowscale, layerscale, p)
    h = None if again else (x0 if is_plain(residual, rowscale, layerscale, p) else prenorm)
    keep_x0 = again or needs[4] or needs[5]
    # Of bias only the type matters, and weight tells it as a rule.
    keep_bias = bias is not None and (weight is None or bias.dtype != weight.dtype)
    return (h, stats, weight, bias if keep_bias else None, x0 if keep_x0 else None, residual if again else None, rowscale, layerscale, seed)


def setup_context(ctx, inputs, output):
    (x0, residual, weight, bias, eps, is_rms_norm, want_prenorm, want_stats, rowscale, layerscale, seed, p, _, residual_in_fp32,
     norm_from_rounded, normalized_rank) = inputs  # fmt: skip
    _, prenorm, mask, stats = output
    needs = (*ctx.needs_input_grad, *(False,) * 5)  # torch leaves out trailing arguments that have their default
    needs = (needs[0], needs[1], needs[2], needs[3], needs[8], needs[9])
    dtype = prenorm_dtype(x0, residual, residual_in_fp32)
    # Statistics of the unrounded h with a rounded prenorm: the caller wants h formed again.
    save_inputs = not want_prenorm or (want_stats and not is_exact(dtype, norm_from_rounded))
    saved = keep(needs, (x0, residual, weight, bias, rowscale, layerscale, seed, p), prenorm, stats if want_stats else None, save_inputs)
    ctx.save_for_backward(*saved)
    ctx.attributes = (eps, p, is_rms_norm, residual_in_fp32, norm_from_rounded, normalized_rank, x0.dtype, dtype)
    ctx.needs = needs
    ctx.has_prenorm = want_prenorm
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(mask, stats)


def backward(op, ctx, dy, dprenorm):
    """The gradients of dropout_add_norm's arguments after setup_context, by `op`."""
    dprenorm = dprenorm if ctx.has_prenorm else None  # else the gradient of a tensor of size 0
    dx0, dresidual, dweight, dbias, drowscale, dlayerscale = gradients(op, ctx.needs, dy, dprenorm, ctx.saved_tensors, ctx.attributes)
    return (dx0, dresidual, dweight, dbias, None, None, None, None, drowscale, dlayerscale, None, None, None, None, None, None)


def _backward(ctx, dy, dprenorm, dmask, dstats):
    return backward(torch.ops.addnorm.dropout_add_norm_backward.default, ctx, dy, dprenorm)


def _no_double_backward(ctx, *grads):
    raise NotImplementedError(NO_DOUBLE_BACKWARD)


# ---- vmap ------------------------------------------------------------------------------------------------------------


def _has_samples(arg, dim) -> bool:
    # The dimension of a list of bools is a list of None.
    return isinstance(arg, Tensor) and dim is not None


def _loop(call, info, in_dims, args):
    """One call per sample: always right."""
    if info.batch_size == 0:
        raise ValueError("torch.ops.addnorm.vmap: a batch of 0 samples, expected at least 1 where each sample is a call of its own")
    results = []
    for sample in range(info.batch_size):
        results.append(call(*(arg.select(dim, sample) if _has_samples(arg, dim) else arg for arg, dim in zip(args, in_dims, strict=True))))
    return tuple(torch.stack(column) for column in zip(*results, strict=True)), (0,) * len(results[0])


def _fold_rows(info, in_dims, args, row_operands, stats=None):
    """The arguments with the samples as more rows; None if an operand that all rows share has samples of its own."""
    if any(_has_samples(args[i], dim) and i not in row_operands and i != stats for i, dim in enumerate(in_dims)):
        return None
    folded = list(args)
    for i in row_operands:
        if i < len(args) and args[i] is not None:
            dim, tensor = in_dims[i], args[i]
            folded[i] = tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    if stats is not None and args[stats] is not None:
        dim, tensor = in_dims[stats], args[stats]
        shape = (tensor.shape[0], info.batch_size, *tensor.shape[1:])
        folded[stats] = tensor.unsqueeze(1).expand(shape) if dim is None else tensor.movedim(dim, 1)
    return folded


def _draws(p: float) -> bool:
    """True if there is a mask: it counts the rows of each sample from 0, so samples cannot become more rows."""
    return 0 < p < 1


def _vmap_forward(call, info, in_dims, args):
    p = args[11] if len(args) > 11 else 0.0
    folded = None if _draws(p) else _fold_rows(info, in_dims, args, (0, 1, 8))
    if folded is None:
        return _loop(call, info, in_dims, args)
    # An output that was not asked for has no samples.
    wanted = (True, *(len(args) > i and args[i] for i in (6, 12, 7)))
    return call(*folded), tuple(dim if want else None for dim, want in zip((0, 0, 0, 1), wanted, strict=True))


def _vmap_backward(call, info, in_dims, args):
    p = args[14] if len(args) > 14 else 0.0
    output_mask = args[7]
    columns = output_mask[2] or output_mask[3] or output_mask[5]
    folded = None if columns or _draws(p) else _fold_rows(info, in_dims, args, (0, 1, 2, 9, 10, 11), stats=3)
    if folded is None:
        return _loop(call, info, in_dims, args)
    return call(*folded), tuple(0 if wanted else None for wanted in output_mask)


def vmap(op, call, info, in_dims, args):
    """vmap of `op`, a name in torch.ops.addnorm, carried out by `call`: (outputs, their dimensions)."""
    rule = {"forward": _vmap_forward, "dropout_add_norm": _vmap_forward, "backward": _vmap_backward,
            "dropout_add_norm_backward": _vmap_backward}.get(op, _loop)  # fmt: skip
    return rule(call, info, in_dims, args)


# ---- Registration ----------------------------------------------------------------------------------------------------


def _register() -> None:
    library = torch.library
    fakes = {
        "forward": _fake_forward,
        "backward": _fake_backward,
        "dropout_add_norm": _fake_forward,
        "dropout_add_norm_backward": _fake_backward,
        "add_layer_norm_grad": _fake_add_layer_norm_grad,
        "layer_norm_backward": _fake_layer_norm_backward,
    }
    for name, fake in fakes.items():
        library.register_fake(f"addnorm::{name}", fake)
        op = getattr(torch.ops.addnorm, name)
        library.register_vmap(f"addnorm::{name}", lambda info, in_dims, *args, name=name, op=op: vmap(name, op, info, in_dims, args))
    library.register_autograd("addnorm::dropout_add_norm", _backward, setup_context=setup_context)
    for name in ("dropout_add_norm_backward", "add_layer_norm_grad", "layer_norm_backward"):
        library.register_autograd(f"addnorm::{name}", _no_double_backward)


_register()
