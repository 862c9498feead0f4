# SPDX-License-Identifier: Apache-2.0
"""The operators as modules, with flash-attention's argument names."""

import torch
from torch import Tensor, nn

from addnorm import functional


class _DropoutAddNorm(nn.Module):
    _function = None

    def __init__(
        self,
        hidden_size: int,
        prenorm: bool = False,
        p: float = 0.0,
        eps: float = 1e-5,
        residual_in_fp32: bool = False,
        device=None,
        dtype=None,
        *,
        norm_from_rounded: bool = False,
        save: str = "prenorm",
    ):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"addnorm.{type(self).__name__}: argument 'p' is {p}, expected a probability in [0, 1]")
        self.hidden_size = hidden_size
        self.prenorm = prenorm
        self.p = p
        self.eps = eps
        self.residual_in_fp32 = residual_in_fp32
        self.norm_from_rounded = norm_from_rounded
        self.save = save
        self.weight = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype))
        self.register_parameter("bias", None)

    @property
    def epsilon(self) -> float:
        """flash-attention's name of eps."""
        return self.eps

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x0: Tensor,
        residual: Tensor | None = None,
        rowscale: Tensor | None = None,
        layerscale: Tensor | None = None,
        return_dropout_mask: bool = False,
        *,
        seed=None,
        generator: torch.Generator | None = None,
    ):
        return type(self)._function(
            x0, residual, self.weight, self.bias, self.p if self.training else 0.0, self.eps, rowscale, layerscale, self.prenorm,
            self.residual_in_fp32, return_dropout_mask, seed=seed, generator=generator, norm_from_rounded=self.norm_from_rounded,
            save=self.save,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.hidden_size}, prenorm={self.prenorm}, p={self.p}, eps={self.eps}, residual_in_fp32={self.residual_in_fp32}"


class DropoutAddLayerNorm(_DropoutAddNorm):
    """LayerNorm(dropout(x0 * rowscale * layerscale) + residual) * weight + bias, as a module.

    Args:
        hidden_size: H, the size of the last dimension.
        prenorm: forward also returns the pre-norm result.
        p: probability of dropping; used in training mode only.
        eps: added to the variance inside the square root.
        residual_in_fp32: without a residual, the pre-norm result is float32.
        device, dtype: of weight and bias.
        norm_from_rounded, save: as in :func:`addnorm.dropout_add_layer_norm`.

    forward(x0, residual=None, rowscale=None, layerscale=None, return_dropout_mask=False, *, seed=None, generator=None) returns
    y, (y, prenorm), (y, mask) or (y, prenorm, mask); see :func:`addnorm.dropout_add_layer_norm`, which it calls.

    Example:
        >>> norm = addnorm.DropoutAddLayerNorm(8, prenorm=True, p=0.1)
        >>> y, residual = norm(torch.randn(2, 8), torch.randn(2, 8))
        >>> y.shape, residual.dtype
        (torch.Size([2, 8]), torch.float32)
    """

    _function = staticmethod(functional.dropout_add_layer_norm)

    def __init__(self, hidden_size, prenorm=False, p=0.0, eps=1e-5, residual_in_fp32=False, device=None, dtype=None, **options):
        super().__init__(hidden_size, prenorm, p, eps, residual_in_fp32, device, dtype, **options)
        self.bias = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype))
        self.reset_parameters()


class DropoutAddRMSNorm(_DropoutAddNorm):
    """RMSNorm(dropout(x0 * rowscale * layerscale) + residual) * weight, as a module. Arguments as in :class:`DropoutAddLayerNorm`.

    Example:
        >>> norm = addnorm.DropoutAddRMSNorm(4, eps=0.0)
        >>> norm(torch.full((1, 4), 2.0))
        tensor([[1., 1., 1., 1.]], grad_fn=<AddNormBackward>)
    """

    _function = staticmethod(functional.dropout_add_rms_norm)

    def __init__(self, hidden_size, prenorm=False, p=0.0, eps=1e-5, residual_in_fp32=False, device=None, dtype=None, **options):
        super().__init__(hidden_size, prenorm, p, eps, residual_in_fp32, device, dtype, **options)
        self.reset_parameters()
