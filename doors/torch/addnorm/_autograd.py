# SPDX-License-Identifier: Apache-2.0
"""The derivatives of eager calls and under functorch; ops.py has those for torch.compile.

An eager call costs microseconds, most of them Python: whatever can be decided once is decided in the forward, and nothing is kept
that the backward can do without.
"""

import functools

import torch

from addnorm import ops

_forward = torch.ops.addnorm.forward.default
_backward = torch.ops.addnorm.backward.default
_is_grad_enabled = torch.is_grad_enabled


class Norm(torch.autograd.Function):
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


class AddNorm(torch.autograd.Function):
    """Norm without dropout, scales and options: what most calls are. Half the Python, which is what a small call costs."""

    @staticmethod
    def forward(ctx, x0, residual, weight, bias, eps, is_rms_norm, want_prenorm):
        if residual is None:
            y, prenorm, _, stats = _forward(x0, None, weight, bias, eps, is_rms_norm, want_prenorm, True)
            h, residual_dtype = x0, None
        else:
            residual_dtype = residual.dtype
            exact = residual_dtype is torch.float32 or residual_dtype is torch.float64
            y, prenorm, _, stats = _forward(x0, residual, weight, bias, eps, is_rms_norm, True, exact)
            h = prenorm
            if not exact:
                stats = None
        # Of bias only the type matters, and weight tells it as a rule.
        if bias is not None and weight is not None and weight.dtype is bias.dtype:
            bias = None
        ctx.save_for_backward(h, stats, weight, bias)
        ctx.set_materialize_grads(False)
        ctx.attributes = (eps, is_rms_norm, x0.dtype, x0.dtype is residual_dtype)
        return (y, prenorm) if want_prenorm else y

    @staticmethod
    def backward(ctx, dy, dprenorm=None):
        h, stats, weight, bias = ctx.saved_tensors
        eps, is_rms_norm, dtype, same_type = ctx.attributes
        needs_x0, needs_residual, needs_weight, needs_bias, _, _, _ = ctx.needs_input_grad
        if dy is None:
            if dprenorm is None:
                return (None,) * 7
            dy = torch.zeros(dprenorm.shape, dtype=dtype, device=dprenorm.device)
        # The gradients of x0 and residual are the same numbers; torch's own add, too, hands out one tensor twice.
        twin = same_type and needs_x0 and needs_residual
        op = _backward_once if _is_grad_enabled() else _backward
        wanted = (needs_x0, needs_residual and not twin, needs_weight, needs_bias, False, False)
        dx0, dresidual, dweight, dbias, _, _ = op(dy, dprenorm, h, stats, weight, bias, eps, wanted, is_rms_norm)
        return (
            dx0 if needs_x0 else None,
            dx0 if twin else dresidual if needs_residual else None,
            dweight if needs_weight else None,
            dbias if needs_bias else None,
            None,
            None,
            None,
        )


# Function.apply without its search for tensors that outlived a functorch transform, a Python loop over the arguments: 1.7 of 12 us.
apply_add_norm = super(torch.autograd.Function, AddNorm).apply


class Underivable(torch.autograd.Function):
    """Calls torch.ops.addnorm.`name`, whose results have no derivative: asking for one is an error and not a silent zero."""

    @staticmethod
    def forward(name, *args):
        return getattr(torch.ops.addnorm, name).default(*args)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError(ops.NO_DOUBLE_BACKWARD)

    @staticmethod
    def vmap(info, in_dims, name, *args):
        return ops.vmap(name, functools.partial(Underivable.apply, name), info, in_dims[1:], args)


_backward_once = functools.partial(Underivable.apply, "backward")


class TransformedNorm(torch.autograd.Function):
    """The operator under functorch's transforms, which take neither a context in `forward` nor a derivative from register_autograd."""

    @staticmethod
    def forward(*args):
        return torch.ops.addnorm.forward.default(*args)

    setup_context = staticmethod(ops.setup_context)

    @staticmethod
    def backward(ctx, dy, dprenorm, dmask, dstats):
        return ops.backward(_backward_once, ctx, dy, dprenorm)

    @staticmethod
    def vmap(info, in_dims, *args):
        return ops.vmap("forward", TransformedNorm.apply, info, in_dims, args)
