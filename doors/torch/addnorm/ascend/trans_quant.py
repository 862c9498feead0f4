# SPDX-License-Identifier: Apache-2.0
"""torch_npu.npu_trans_quant_param: float32 scales as the 64-bit words that Ascend's vector unit reads."""

import torch
from torch import Tensor

_API = "torch_npu.npu_trans_quant_param"
_LOW_BITS = 13  # of a float32 that the unit does not read


def npu_trans_quant_param(scale: Tensor, offset: Tensor | None = None, round_mode: int = 0) -> Tensor:
    """int64 words: bits 0 to 31 = scale as float32 with 13 low bits 0, bits 37 to 45 = offset as an integer of 9 bits, bit 46 = 1.

    scale, offset: float32 [n] or [1, n]; one of them may have n = 1.  round_mode: 0 cuts the low bits off, 1 rounds to nearest even.
    The words serve as dequant_scale; there the offset has no effect.
    """
    for name, tensor in (("scale", scale), ("offset", offset)):
        if tensor is None and name == "offset":
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{_API}: argument '{name}' is of type {type(tensor).__name__}, expected a Tensor")
        if tensor.dtype != torch.float32:
            raise TypeError(f"{_API}: argument '{name}' is {str(tensor.dtype).removeprefix('torch.')}, expected float32")
        if not (tensor.dim() == 1 or (tensor.dim() == 2 and tensor.shape[0] == 1)):
            raise ValueError(f"{_API}: argument '{name}' has shape {list(tensor.shape)}, expected [n] or [1, n]")
    if round_mode not in (0, 1):
        raise ValueError(f"{_API}: argument 'round_mode' is {round_mode!r}, expected 0 or 1")
    if offset is not None and scale.shape[-1] != offset.shape[-1] and 1 not in (scale.shape[-1], offset.shape[-1]):
        raise ValueError(f"{_API}: argument 'offset' has {offset.shape[-1]} elements, expected 1 or {scale.shape[-1]}, those of scale")
    bits = scale.contiguous().view(torch.int32).to(torch.int64) & 0xFFFFFFFF
    if round_mode == 1:
        rounded = bits + ((1 << (_LOW_BITS - 1)) - 1) + ((bits >> _LOW_BITS) & 1)
        bits = torch.where(torch.isfinite(scale), rounded, bits)
    words = (bits & 0xFFFFE000) | (1 << 46)
    if offset is None:
        return words
    field = torch.round(offset).nan_to_num(0).clamp(-256, 255).to(torch.int64) & 0x1FF
    return words | (field << 37)
