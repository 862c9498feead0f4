# SPDX-License-Identifier: Apache-2.0
"""From the arguments of a public function to one operator: the dropout key, the way to call, and errors in the caller's words.

Eager calls use the raw operators, through a thin autograd.Function where a gradient is wanted; torch.compile and functorch are served
by operators with registered derivatives, whose Python kernels would triple the price of a small eager call.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from addnorm import _autograd, _errors, ops

_forward = torch.ops.addnorm.forward.default
_is_grad_enabled = torch.is_grad_enabled
_is_compiling = torch.compiler.is_compiling
_functorch_level = torch._C._functorch.peek_interpreter_stack

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def _int64(api: str, word: int) -> int:
    """The int64 with the bits of a word that may be given as signed or unsigned."""
    if not _INT64_MIN <= word < 2**64:
        raise ValueError(f"{api}: argument 'seed' holds {word}, expected integers of 64 bits")
    return word - 2**64 if word > _INT64_MAX else word


def _under_vmap() -> bool:
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


def _key(api: str, seed, generator: torch.Generator | None, x0: Tensor) -> Tensor:
    """The dropout key as int64[2]: the one given, or two words drawn from the generator, so that manual_seed and checkpoint repeat it."""
    if seed is None:
        if not _is_compiling() and _functorch_level() is not None and _under_vmap():
            raise ValueError(f"{api}: argument 'seed' is None, expected an explicit seed, as no key can be drawn under vmap")
        return torch.randint(_INT64_MIN, _INT64_MAX, (2,), dtype=torch.int64, device=x0.device, generator=generator)
    if generator is not None:
        raise ValueError(f"{api}: arguments 'seed' and 'generator' are both given, expected one of them")
    if isinstance(seed, Tensor):
        return seed
    words = (seed, 0) if isinstance(seed, int) else seed
    if not isinstance(words, tuple | list) or len(words) != 2 or not all(isinstance(word, int) for word in words):
        raise TypeError(f"{api}: argument 'seed' is {seed!r}, expected an int, a pair (key, offset) or an int64 tensor of shape [2]")
    return torch.tensor([_int64(api, words[0]), _int64(api, words[1])], dtype=torch.int64, device=x0.device)


def refuse_forward_mode(api: str, *args) -> None:
    """The raw operators would lose a tangent without a word."""
    if any(isinstance(arg, Tensor) and forward_ad.unpack_dual(arg).tangent is not None for arg in args):
        raise NotImplementedError(f"{api}: an argument carries a forward-mode tangent, expected none: only reverse mode is implemented")


def require(api: str, **tensors) -> None:
    """TypeError unless each argument is a Tensor."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{api}: argument '{name}' is of type {type(tensor).__name__}, expected a Tensor")


def norm(
    api, is_rms_norm, x0, residual, weight, bias, eps, p=0.0, rowscale=None, layerscale=None, want_prenorm=False, want_mask=False,
    want_stats=False, residual_in_fp32=False, seed=None, generator=None, norm_from_rounded=False, save="prenorm", normalized_rank=1,
    names=None,
):  # fmt: skip
    """(y, prenorm, mask, stats), those not wanted of size 0 or None."""
    if save != "prenorm" and save != "inputs":
        raise ValueError(f"{api}: argument 'save' is {save!r}, expected 'prenorm' or 'inputs'")
    try:
        seed = _key(api, seed, generator, x0) if 0 < p < 1 else None
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
    if want_stats and not save_inputs:
        # Statistics that are returned are those of the unrounded h: its backward must see the same, eager or compiled.
        save_inputs = not ops.is_exact(ops.prenorm_dtype(x0, residual, residual_in_fp32), norm_from_rounded)
    if forward_ad._current_level >= 0 and not _is_compiling():
        refuse_forward_mode(api, x0, residual, weight, bias, rowscale, layerscale)
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
        results = _autograd.Norm.apply(x0, residual, weight, bias, rowscale, layerscale, seed, call)
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


def add_norm(api, is_rms_norm, x0, residual, weight, bias, eps, want_prenorm, names=None):
    """norm without dropout, scales and options, by the shortest way: y or (y, prenorm)."""
    if forward_ad._current_level >= 0 and not _is_compiling():
        refuse_forward_mode(api, x0, residual, weight, bias)
    try:
        if _is_compiling() or _functorch_level() is not None:
            y, prenorm, _, _ = norm(api, is_rms_norm, x0, residual, weight, bias, eps, want_prenorm=want_prenorm, names=names)
        elif _is_grad_enabled() and (
            x0.requires_grad
            or (weight is not None and weight.requires_grad)
            or (residual is not None and residual.requires_grad)
            or (bias is not None and bias.requires_grad)
        ):
            return _autograd.apply_add_norm(x0, residual, weight, bias, eps, is_rms_norm, want_prenorm)
        else:
            y, prenorm, _, _ = _forward(x0, residual, weight, bias, eps, is_rms_norm, want_prenorm)
    except (AttributeError, TypeError) as error:
        raise _wrong_argument(api, names, 0.0, error, x0=x0, residual=residual, weight=weight, bias=bias) from None
    except (RuntimeError, ValueError) as error:
        raise _errors.translate(api, error, names) from None
    return (y, prenorm) if want_prenorm else y


def _traced(
    x0, residual, weight, bias, eps, is_rms_norm, want_prenorm, want_stats, rowscale, layerscale, seed, p, want_mask, residual_in_fp32,
    norm_from_rounded, normalized_rank, grad, save_inputs,
):  # fmt: skip
    """The same under torch.compile, by the operator with a registered derivative, and under functorch. ops.setup_context decides what is
    kept for the backward from what is asked for here."""
    if grad:
        plain = ops.is_plain(residual, rowscale, layerscale, p)
        exact = ops.is_exact(ops.prenorm_dtype(x0, residual, residual_in_fp32), norm_from_rounded)
        want_prenorm = want_prenorm or not (plain or save_inputs)
        want_stats = want_stats or plain or save_inputs or exact
    op = torch.ops.addnorm.dropout_add_norm if _is_compiling() else _autograd.TransformedNorm.apply
    return op(
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


def statistics(stats: Tensor, is_rms_norm: bool) -> tuple[Tensor, ...]:
    """(mean, rstd) of LayerNorm, (rstd,) of RMSNorm. The mean is kept in two words; their rounded sum is the public one."""
    return (stats[0],) if is_rms_norm else (stats[0] + stats[1], stats[2])


def gradient(api: str, name: str, *args):
    """torch.ops.addnorm.`name`, which has no derivative."""
    op = getattr(torch.ops.addnorm, name).default
    if forward_ad._current_level >= 0 and not _is_compiling():
        refuse_forward_mode(api, *args)
    try:
        if _is_compiling():
            return op(*args)
        if _functorch_level() is not None or (_is_grad_enabled() and any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)):
            return _autograd.Underivable.apply(name, *args)
        # Below autograd: its formula, registered in Python, would only cost time.
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)
    except (RuntimeError, ValueError) as error:
        raise _errors.translate(api, error) from None
