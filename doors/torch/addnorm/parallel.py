# SPDX-License-Identifier: Apache-2.0
"""Tensor parallelism: matmul + all-reduce + add + RMSNorm as one operator over the ranks of a process group. Forward only.

Every rank calls with the same shapes and types. residual and gamma must hold the same values on all ranks, as each rank normalises a
share of the rows for all; with per_rank_residual each rank has its own. docs/parallel.md has transports, faults and what is compared;
addnorm.distributed has connect and disconnect.
"""

import weakref

import torch
from torch import Tensor

from addnorm import _errors, _messages, distributed

_ops = torch.ops.addnorm_parallel
_matmul = _ops.matmul_all_reduce_add_rms_norm.default
_reduce = _ops.all_reduce_add_rms_norm.default
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled
_strided = torch.strided
_COMM_DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}  # the core's numbers
_UNTOLD = 30.0  # seconds in which a rank without a timeout tells the others so
_FORWARD_ONLY = "forward only: it has no gradient. Call it under torch.no_grad(), or with tensors that require none"


class PreparedWeights:
    """Weights in the kernels' own layout, with their antiquant scales. Made by prepare_weights; passed as x2 to any number of calls.

    Example:
        >>> addnorm.prepare_weights(torch.ones(4, 3)).shape
        torch.Size([4, 3])
    """

    def __init__(self, handle: int, nbytes: int, x2: Tensor, with_scales: bool):
        self.handle, self.nbytes = handle, nbytes
        self.shape, self.dtype, self.with_scales = x2.shape, x2.dtype, with_scales
        weakref.finalize(self, _ops.discard, handle)

    def __repr__(self):
        scales = ", with antiquant scales" if self.with_scales else ""
        return f"<addnorm weights {list(self.shape)} of {self.dtype}{scales}, {self.nbytes} bytes>"


def prepare_weights(
    x2: Tensor, antiquant_scale: Tensor | None = None, antiquant_offset: Tensor | None = None, antiquant_group_size: int = 0
) -> PreparedWeights:
    """x2 [k, n], plain or transposed, as :func:`matmul_all_reduce_add_rms_norm` takes it, in the kernels' own layout: once for many calls.

    The arguments are those of that function, and stay away from its calls with the result. x2 may be freed or changed afterwards.

    Example:
        >>> weights = addnorm.prepare_weights(torch.ones(4, 3))
        >>> weights.shape
        torch.Size([4, 3])
    """
    api = "addnorm.prepare_weights"
    _check_tensors(api, x2=x2)
    _check_optional(api, antiquant_scale=antiquant_scale, antiquant_offset=antiquant_offset)
    _check_ints(api, antiquant_group_size=antiquant_group_size)
    try:
        nbytes, handle = _ops.prepare_weights(x2.detach(), antiquant_scale, antiquant_offset, antiquant_group_size)
    except (RuntimeError, ValueError) as error:
        raise _errors.translate(api, error) from None
    return PreparedWeights(handle, nbytes, x2, antiquant_scale is not None)


def matmul_all_reduce_add_rms_norm(
    x1: Tensor,
    x2: "Tensor | PreparedWeights",
    residual: Tensor,
    gamma: Tensor,
    group=None,
    reduce_op: str = "sum",
    epsilon: float = 1e-6,
    bias: Tensor | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    dequant_scale: Tensor | None = None,
    antiquant_group_size: int = 0,
    comm_turn: int = 0,
    timeout=None,
    *,
    comm_dtype: torch.dtype = torch.float32,
    per_rank_residual: bool = False,
) -> tuple[Tensor, Tensor]:
    """y = all_reduce(x1 @ x2 + bias) + residual, norm_out = RMSNorm(y) * gamma: (y, norm_out), the same bits on every rank.

    The types of x1 and x2 choose the scenario: float; int8 both, partial = (x1 @ x2 + bias) * dequant_scale with an exact sum; or float x1
    with int8 x2, W = (x2 + antiquant_offset) * antiquant_scale.

    Args:
        x1: [..., k] float32, float16, bfloat16 or int8. k >= 1, and may differ between ranks.
        x2: [k, n], a transposed view of [n, k], or what prepare_weights made of one.
        residual: [..., n] with as many rows as x1; float32, float16 or bfloat16: the type of y and norm_out. The same on all ranks.
        gamma: [n], any of these types. The same on all ranks.
        group: a torch.distributed ProcessGroup, its name, or None for the default one.
        reduce_op: 'sum'.
        epsilon: inside the root; finite, >= 0.
        bias: [n], float, or int32 where x1 is int8. Every rank that passes one adds it: pass it on one rank to have it once.
        antiquant_scale, antiquant_offset: [1], [n], [1, n], or [ceil(k / antiquant_group_size), n]; float.
        dequant_scale: [1], [n] or [1, n]; float32, bfloat16, or int64 / uint64 words with a float32 in their low half.
        antiquant_group_size: 0, or how many k share a row of antiquant_scale.
        comm_turn: row blocks of which one is computed while the last one is reduced; 0 = automatic. No influence on bits.
        timeout: seconds or a timedelta; None = the environment variable ADDNORM_TIMEOUT, else 30 s.
        comm_dtype: the type in which partial sums cross ranks: float32, or a narrower one for less traffic and one more rounding.
        per_rank_residual: every rank adds its own residual and normalises with its own gamma. Slower: nothing but the sum is shared.

    Raises ValueError, TypeError or NotImplementedError for this rank's arguments; addnorm.PeerError (a RuntimeError) for another rank's
    faults, addnorm.PeerTimeoutError (also a TimeoutError) where one is late. Every rank ends with an error or every rank with results.

    Equivalent to, in wider precision::

        total = x1 @ x2 + bias
        torch.distributed.all_reduce(total, group=group)
        y = total + residual
        norm_out = torch.nn.functional.rms_norm(y, y.shape[-1:], gamma, epsilon)

    Example:
        >>> dist = torch.distributed
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> y, norm_out = addnorm.matmul_all_reduce_add_rms_norm(torch.ones(2, 3), torch.ones(3, 8), torch.ones(2, 8), torch.ones(8))
        >>> y[0, 0].item(), norm_out.shape
        (4.0, torch.Size([2, 8]))
        >>> dist.destroy_process_group()
    """
    return call(
        "addnorm.matmul_all_reduce_add_rms_norm", x1, x2, residual, gamma, group, reduce_op, epsilon, bias, antiquant_scale,
        antiquant_offset, dequant_scale, antiquant_group_size, comm_turn, timeout, comm_dtype, per_rank_residual,
    )  # fmt: skip


def all_reduce_add_rms_norm(
    partial: Tensor,
    residual: Tensor,
    gamma: Tensor,
    group=None,
    epsilon: float = 1e-6,
    comm_turn: int = 0,
    timeout=None,
    *,
    per_rank_residual: bool = False,
) -> tuple[Tensor, Tensor]:
    """y = all_reduce(partial) + residual, norm_out = RMSNorm(y) * gamma, for models with a matmul of their own: (y, norm_out).

    partial: [..., n] float32, float16 or bfloat16; partial sums cross ranks in this type and are added in float32, in rank order. Other
    arguments, results and errors as in :func:`matmul_all_reduce_add_rms_norm`.

    Example:
        >>> dist = torch.distributed
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> y, norm_out = addnorm.all_reduce_add_rms_norm(torch.ones(2, 8), torch.ones(2, 8), torch.ones(8))
        >>> y[0, 0].item(), norm_out.shape
        (2.0, torch.Size([2, 8]))
        >>> dist.destroy_process_group()
    """
    api = "addnorm.all_reduce_add_rms_norm"
    seconds = _seconds(api, timeout, group)
    if _is_compiling():
        name = _group_name(api, group)
        _check_reduce(api, partial, residual, gamma, epsilon, comm_turn)
        return torch.ops.addnorm.all_reduce_add_rms_norm(
            partial, residual, gamma, name, epsilon, comm_turn, bool(per_rank_residual), seconds
        )
    ranks = distributed.ranks_of(api, group, seconds)
    try:
        _check_reduce(api, partial, residual, gamma, epsilon, comm_turn)
        per_rank_residual = bool(per_rank_residual)  # a tensor of two elements is neither
    except Exception:
        ranks.refuse(seconds)
        raise
    try:
        return _reduce(partial, residual, gamma, ranks.handle, epsilon, comm_turn, per_rank_residual, seconds)
    except (RuntimeError, ValueError) as error:
        raise _failure(api, error) from None


def call(
    api, x1, x2, residual, gamma, group, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale, antiquant_group_size,
    comm_turn, timeout, comm_dtype=torch.float32, per_rank_residual=False, ascend=False, check=None,
):  # fmt: skip
    """matmul_all_reduce_add_rms_norm under another name. ascend: the Ascend names' semantics (docs/parallel.md). check(size): further
    rules on a group of that size, which raise; the other ranks hear of it."""
    seconds = _seconds(api, timeout, group)

    def check_all(size):
        if check is not None:
            check(size)
        _check_matmul(api, x1, x2, residual, gamma, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale,
                      antiquant_group_size, comm_turn, comm_dtype)  # fmt: skip

    prepared = isinstance(x2, PreparedWeights)
    arguments = (
        epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale, antiquant_group_size, comm_turn, x2.handle if prepared else 0,
    )  # fmt: skip
    weights = None if prepared else x2
    if _is_compiling():
        name = _group_name(api, group)
        check_all(distributed.resolve(api, group).size() if check is not None else None)
        return torch.ops.addnorm.matmul_all_reduce_add_rms_norm(
            x1, weights, residual, gamma, name, *arguments, _COMM_DTYPES[comm_dtype], bool(per_rank_residual), ascend, seconds
        )
    ranks = distributed.ranks_of(api, group, seconds)
    try:
        check_all(ranks.size)
        per_rank_residual = bool(per_rank_residual)
    except Exception:
        ranks.refuse(seconds)
        raise
    try:
        return _matmul(x1, weights, residual, gamma, ranks.handle, *arguments, _COMM_DTYPES[comm_dtype], per_rank_residual, ascend, seconds)
    except (RuntimeError, ValueError) as error:
        raise _failure(api, error) from None


def _failure(api: str, error: Exception) -> BaseException:
    """What a failed call raises: its error in the caller's words, or the interrupt that ended it."""
    return _messages.take_interrupt() or _errors.translate(api, error)


def _seconds(api: str, timeout, group) -> float:
    """The timeout in seconds. A wrong one is told to the other ranks, too."""
    try:
        return distributed.seconds(api, timeout)
    except (TypeError, ValueError):
        if not _is_compiling():
            distributed.ranks_of(api, group, _UNTOLD).refuse(_UNTOLD)
        raise


# ---- Rules that only Python can see. ---------------------------------------------------------------------------------


def _check_tensors(api: str, **tensors) -> None:
    for name, tensor in tensors.items():
        if type(tensor) is Tensor and tensor.is_cpu and tensor.layout is _strided:
            continue  # the rest costs a microsecond, and a call of one row takes few
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{api}: argument '{name}' is of type {type(tensor).__name__}, expected a Tensor")
        if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            raise ValueError(f"{api}: argument '{name}' is {tensor.layout} on {tensor.device}, expected torch.strided on cpu")


def _check_optional(api: str, **tensors) -> None:
    for name, tensor in tensors.items():
        if tensor is not None:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"{api}: argument '{name}' is of type {type(tensor).__name__}, expected a Tensor or None")
            _check_tensors(api, **{name: tensor})


def _check_ints(api: str, **values) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{api}: argument '{name}' is of type {type(value).__name__}, expected an int")
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{api}: argument '{name}' is {value}, expected a number of 64 bits")


def _check_epsilon(api: str, epsilon) -> None:
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        raise TypeError(f"{api}: argument 'epsilon' is of type {type(epsilon).__name__}, expected a float")
    try:
        float(epsilon)
    except OverflowError:
        raise ValueError(f"{api}: argument 'epsilon' is more than a float can hold, expected a finite number") from None


def _check_grad(api: str, **tensors) -> None:
    if not _is_grad_enabled():
        return
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and tensor.requires_grad:
            raise NotImplementedError(f"{api}: argument '{name}' requires a gradient, but this operator is {_FORWARD_ONLY}")


def _check_reduce(api: str, partial, residual, gamma, epsilon, comm_turn) -> None:
    _check_tensors(api, partial=partial, residual=residual, gamma=gamma)
    _check_epsilon(api, epsilon)
    _check_ints(api, comm_turn=comm_turn)
    _check_grad(api, partial=partial, residual=residual, gamma=gamma)


def _check_matmul(
    api, x1, x2, residual, gamma, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale, antiquant_group_size,
    comm_turn, comm_dtype,
):  # fmt: skip
    _check_tensors(api, x1=x1, residual=residual, gamma=gamma)
    if not isinstance(x2, PreparedWeights):
        if not isinstance(x2, Tensor):
            raise TypeError(f"{api}: argument 'x2' is of type {type(x2).__name__}, expected a Tensor or prepared weights")
        _check_tensors(api, x2=x2)
    optional = {
        "bias": bias,
        "antiquant_scale": antiquant_scale,
        "antiquant_offset": antiquant_offset,
        "dequant_scale": dequant_scale,
    }
    _check_optional(api, **optional)
    if reduce_op != "sum":
        raise ValueError(f"{api}: argument 'reduce_op' is {reduce_op!r}, expected 'sum'")
    _check_epsilon(api, epsilon)
    _check_ints(api, antiquant_group_size=antiquant_group_size, comm_turn=comm_turn)
    if comm_dtype not in _COMM_DTYPES:
        raise TypeError(f"{api}: argument 'comm_dtype' is {comm_dtype}, expected torch.float32, torch.float16 or torch.bfloat16")
    _check_grad(api, x1=x1, x2=x2, residual=residual, gamma=gamma, **optional)


# ---- torch.compile: opaque operators that find their group by its name. ------------------------------------------------


def _group_name(api: str, group) -> str:
    """What a compiled graph holds of a group. Empty: the default group of the moment."""
    if group is None or isinstance(group, str):
        return group or ""
    return group.group_name


@torch.library.custom_op("addnorm::matmul_all_reduce_add_rms_norm", mutates_args=())
def _matmul_op(
    x1: Tensor,
    x2: Tensor | None,
    residual: Tensor,
    gamma: Tensor,
    group: str,
    epsilon: float,
    bias: Tensor | None,
    antiquant_scale: Tensor | None,
    antiquant_offset: Tensor | None,
    dequant_scale: Tensor | None,
    antiquant_group_size: int,
    comm_turn: int,
    prepared: int,
    comm_dtype: int,
    per_rank_residual: bool,
    ascend: bool,
    timeout: float,
) -> tuple[Tensor, Tensor]:
    api = "addnorm.matmul_all_reduce_add_rms_norm"
    ranks = distributed.ranks_of(api, group, timeout)
    try:
        return _matmul(x1, x2, residual, gamma, ranks.handle, epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale,
                       antiquant_group_size, comm_turn, prepared, comm_dtype, per_rank_residual, ascend, timeout)  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise _failure(api, error) from None


@torch.library.custom_op("addnorm::all_reduce_add_rms_norm", mutates_args=())
def _reduce_op(
    partial: Tensor, residual: Tensor, gamma: Tensor, group: str, epsilon: float, comm_turn: int, per_rank_residual: bool, timeout: float
) -> tuple[Tensor, Tensor]:
    api = "addnorm.all_reduce_add_rms_norm"
    ranks = distributed.ranks_of(api, group, timeout)
    try:
        return _reduce(partial, residual, gamma, ranks.handle, epsilon, comm_turn, per_rank_residual, timeout)
    except (RuntimeError, ValueError) as error:
        raise _failure(api, error) from None


def _fake_matmul(x1, x2, residual, *_):
    return residual.new_empty(residual.shape), residual.new_empty(residual.shape)


def _fake_reduce(partial, residual, *_):
    return residual.new_empty(residual.shape), residual.new_empty(residual.shape)


def _no_gradient(ctx, *grads):
    raise NotImplementedError(f"addnorm: this operator is {_FORWARD_ONLY}")


for _op, _fake in ((_matmul_op, _fake_matmul), (_reduce_op, _fake_reduce)):
    _op.register_fake(_fake)
    _op.register_autograd(_no_gradient)
