# SPDX-License-Identifier: Apache-2.0
"""NPUDropoutAddLayerNorm of spec 000, carried out by addnorm on the CPU."""

import torch
from ascendspeed_te_ops import npu_dropout_add_layer_norm
from torch import Tensor


class NPUDropoutAddLayerNorm(torch.nn.Module):
    """norm_result = LayerNorm(Dropout(x0 * rowscale * layerscale) + residual) with weight and bias [hidden_size].

    hidden_size: the last dimension of x0.  prenorm: return the sum before the norm as well.  p: probability of dropping, 0 in eval mode.
    eps: inside the square root.  residual_in_fp32: only without a residual: the sum is returned in float32.
    dtype, device: of the parameters; default: torch's defaults.  (device is not in the document.)
    """

    def __init__(
        self,
        hidden_size: int,
        prenorm: bool = False,
        p: float = 0.0,
        eps: float = 1e-5,
        residual_in_fp32: bool = False,
        dtype: torch.dtype | None = None,
        *,
        device: torch.device | str | int | None = None,
    ):
        super().__init__()
        self.prenorm = prenorm
        self.p = p
        self.eps = eps
        self.residual_in_fp32 = residual_in_fp32
        self.weight = torch.nn.Parameter(torch.empty(hidden_size, dtype=dtype, device=device))
        self.bias = torch.nn.Parameter(torch.empty(hidden_size, dtype=dtype, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(
        self,
        x0: Tensor,
        residual: Tensor | None = None,
        rowscale: Tensor | None = None,
        layerscale: Tensor | None = None,
        return_dropout_mask: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Shapes, types and the triple returned: ascendspeed_te_ops.npu_dropout_add_layer_norm."""
        return npu_dropout_add_layer_norm(
            x0,
            self.weight,
            residual,
            self.bias,
            rowscale,
            layerscale,
            self.p if self.training else 0.0,
            self.eps,
            self.prenorm,
            self.residual_in_fp32,
            is_rms_norm=False,
            return_dropout_mask=return_dropout_mask,
        )

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, prenorm={self.prenorm}, p={self.p}, eps={self.eps}, residual_in_fp32={self.residual_in_fp32}"
