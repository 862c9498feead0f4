# SPDX-License-Identifier: Apache-2.0
"""npu_mm_all_reduce_add_rms_norm of spec 001 and its in-place twin: the document's limits, then addnorm's operator.

Anything that the document does not allow is refused, on all ranks, with outputs untouched. An absent required tensor is an AssertionError,
as in MindSpeed; anything else is a ValueError or TypeError.
"""

import torch
from torch import Tensor

from addnorm import parallel

_RANKS = (1, 2, 4, 8)
_INT_MAX = 2**31 - 1
_QUANTISED_MAX = 65535
_FLOATS = (torch.float16, torch.bfloat16)


def mm_all_reduce_add_rms_norm(
    api, x1, x2, residual, gamma, hcom, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale, antiquant_group_size,
    comm_turn,
):  # fmt: skip
    """(y, norm_out) in residual's shape and type."""
    if not isinstance(hcom, str) or not hcom:
        raise TypeError(f"{api}: argument 'hcom' is {hcom!r}, expected the name that get_hccl_comm_name gives")
    tensors = {"x1": x1, "x2": x2, "residual": residual, "gamma": gamma, "bias": bias, "antiquant_scale": antiquant_scale,
               "antiquant_offset": antiquant_offset, "dequant_scale": dequant_scale}  # fmt: skip

    def check(size: int) -> None:
        for name in ("x1", "x2", "residual", "gamma"):
            assert tensors[name] is not None, f"{name} must not be None."
        _Rules(api, tensors, antiquant_group_size).check(size, epsilon, comm_turn)

    return parallel.call(
        api, x1, x2, residual, gamma, hcom, reduce_op, epsilon, bias, antiquant_scale, antiquant_offset, dequant_scale,
        antiquant_group_size, comm_turn, None, per_rank_residual=True, ascend=True, check=check,
    )  # fmt: skip


class _Rules:
    """The limits of spec 001 on one call. What addnorm's operator refuses by itself (k, n and b * s that do not fit) is not repeated."""

    def __init__(self, api: str, tensors: dict, group_size):
        self.api, self.given, self.group_size = api, {name: t for name, t in tensors.items() if t is not None}, group_size

    def fail(self, name: str, got, expected: str, kind=ValueError):
        raise kind(f"{self.api}: argument '{name}' {got}, expected {expected}")

    def check(self, size: int, epsilon, comm_turn) -> None:
        for name, tensor in self.given.items():
            if not isinstance(tensor, Tensor):
                self.fail(name, f"is of type {type(tensor).__name__}", "a Tensor", TypeError)
        if size not in _RANKS:
            self.fail("hcom", f"names a group of {size} ranks", "1, 2, 4 or 8")
        if comm_turn != 0:
            self.fail("comm_turn", f"is {comm_turn}", "0")
        if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
            self.fail("epsilon", f"is {epsilon}", "0 < epsilon < 1")
        self.ranks()
        self.layouts()
        x1, x2 = self.given["x1"], self.given["x2"]
        if x1.dtype == torch.int8:
            self.quantised()
        elif x2.dtype == torch.int8:
            self.quantised_weights()
        else:
            self.plain()

    def ranks(self) -> None:
        allowed = {"x1": (2, 3), "x2": (2,), "residual": (3,), "gamma": (1,), "bias": (1,)}
        for name, ranks in allowed.items():
            tensor = self.given.get(name)
            if tensor is not None and tensor.dim() not in ranks:
                self.fail(name, f"has {tensor.dim()} dimensions", " or ".join(map(str, ranks)))
        x1, x2 = self.given["x1"], self.given["x2"]
        for name, length in (("x1", x1.numel() // max(1, x1.shape[-1])), ("x1", x1.shape[-1]), ("x2", x2.shape[1])):
            if length > _INT_MAX:
                self.fail(name, f"has shape {list(self.given[name].shape)}", f"b * s, k and n up to {_INT_MAX}")

    def layouts(self) -> None:
        for name, tensor in self.given.items():
            if name == "x2":
                if not (tensor.is_contiguous() or tensor.t().is_contiguous()):
                    self.fail(name, f"has strides {list(tensor.stride())}", "a contiguous matrix or the transposed view of one")
            elif not tensor.is_contiguous():
                self.fail(name, f"has strides {list(tensor.stride())}", "a contiguous tensor")

    def types(self, wanted, why: str, *names: str) -> None:
        """Each of `names` that is given has type `wanted`, or one of several."""
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for name in names:
            tensor = self.given.get(name)
            if tensor is not None and tensor.dtype not in wanted:
                text = " or ".join(str(dtype).removeprefix("torch.") for dtype in wanted)
                self.fail(name, f"is {str(tensor.dtype).removeprefix('torch.')}", text + why, TypeError)

    def none(self, why: str, *names: str) -> None:
        for name in names:
            if name in self.given:
                self.fail(name, "is given", f"None {why}")

    def no_group(self, why: str) -> None:
        if self.group_size != 0:
            self.fail("antiquant_group_size", f"is {self.group_size}", f"0 {why}")

    def plain(self) -> None:
        x1 = self.given["x1"].dtype
        self.types(_FLOATS, " (int8 for quantised matmuls)", "x1")
        self.types(x1, ", the type of x1", "x2", "bias", "residual", "gamma")
        self.none("without quantisation", "dequant_scale", "antiquant_scale", "antiquant_offset")
        self.no_group("without quantisation")

    def quantised(self) -> None:
        x1, x2, residual = (self.given[name] for name in ("x1", "x2", "residual"))
        self.types(torch.int8, ", the type of x1", "x2")
        self.types(torch.int32, ", as x1 is int8", "bias")
        self.types(_FLOATS, "", "residual")
        self.types(residual.dtype, ", the type of residual", "gamma")
        self.none("where x1 is int8", "antiquant_scale", "antiquant_offset")
        self.no_group("where x1 is int8")
        if "dequant_scale" not in self.given:
            self.fail("dequant_scale", "is None", "a Tensor, as x1 is int8")
        if residual.dtype == torch.float16:
            self.types((torch.int64, torch.uint64), " (of torch_npu.npu_trans_quant_param), as residual is float16", "dequant_scale")
        else:
            self.types(torch.bfloat16, ", as residual is bfloat16", "dequant_scale")
        # The last dimension of x2 in memory.
        last = x2.shape[0] if not x2.is_contiguous() else x2.shape[1]
        if x1.shape[-1] > _QUANTISED_MAX:
            self.fail("x1", f"has shape {list(x1.shape)}", f"a last dimension up to {_QUANTISED_MAX}")
        if last > _QUANTISED_MAX:
            self.fail("x2", f"has shape {list(x2.shape)}", f"a last dimension up to {_QUANTISED_MAX}: k if transposed, else n")

    def quantised_weights(self) -> None:
        x1, x2 = self.given["x1"], self.given["x2"]
        self.types(_FLOATS, " or int8", "x1")
        self.types(x1.dtype, ", the type of x1", "bias", "residual", "gamma", "antiquant_scale", "antiquant_offset")
        self.none("where x1 is float", "dequant_scale")
        if "antiquant_scale" not in self.given:
            self.fail("antiquant_scale", "is None", "a Tensor, as x2 is int8")
        k, n = x2.shape
        if k > _QUANTISED_MAX or n > _QUANTISED_MAX:
            self.fail("x2", f"has shape {list(x2.shape)}", f"k and n up to {_QUANTISED_MAX}")
        group = self.group_size
        if group == 0:
            return
        if isinstance(group, bool) or not isinstance(group, int):
            self.fail("antiquant_group_size", f"is of type {type(group).__name__}", "an int", TypeError)
        if not 32 <= group <= min(k - 1, _INT_MAX) or group % 32 != 0:
            self.fail("antiquant_group_size", f"is {group}", f"0, or a multiple of 32 in [32, k - 1 = {k - 1}]")
