# SPDX-License-Identifier: Apache-2.0
"""Dropout + add + norm in float64 from the definitions, with its gradients, and the contract's bounds. Shares nothing with addnorm."""

from dataclasses import dataclass

import pytest
import torch

U = 2.0**-24


@dataclass
class Case:
    """One problem; every operand but x0 may be None. `mask`: True = kept."""

    x0: torch.Tensor
    residual: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    rowscale: torch.Tensor | None = None
    layerscale: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    p: float = 0.0
    eps: float = 1e-5
    is_rms: bool = False

    def operands(self):
        return self.x0, self.residual, self.weight, self.bias, self.rowscale, self.layerscale


def wide(tensor):
    return None if tensor is None else tensor.detach().double()


def kept_scale(case: Case):
    """s * m * rowscale * layerscale, what x0 is multiplied by."""
    scale = torch.ones_like(wide(case.x0))
    if case.p:
        scale = scale * case.mask * (1 / (1 - case.p) if case.p < 1 else 0.0)
    if case.rowscale is not None:
        scale = scale * wide(case.rowscale)[..., None]
    if case.layerscale is not None:
        scale = scale * wide(case.layerscale)
    return scale


def prenorm(case: Case):
    h = torch.where(kept_scale(case) == 0, 0.0, wide(case.x0) * kept_scale(case))
    return h if case.residual is None else h + wide(case.residual)


def statistics(case: Case, h):
    mean = torch.zeros_like(h[..., :1]) if case.is_rms else h.mean(-1, keepdim=True)
    return mean, 1 / ((h - mean).square().mean(-1, keepdim=True) + case.eps).sqrt()


def norm(case: Case, h):
    mean, rstd = statistics(case, h)
    y = (h - mean) * rstd
    if case.weight is not None:
        y = y * wide(case.weight)
    return y if case.bias is None else y + wide(case.bias)


def gradients(case: Case, h, dy, dprenorm=None):
    """The gradients of the six operands at h, the sum that was normalised, and the bound terms K of t = dL/dh."""
    dy, columns = wide(dy), tuple(range(h.dim() - 1))
    mean, rstd = statistics(case, h)
    xhat = (h - mean) * rstd
    w = dy if case.weight is None else dy * wide(case.weight)
    c1 = (w * xhat).mean(-1, keepdim=True)
    c2 = torch.zeros_like(c1) if case.is_rms else w.mean(-1, keepdim=True)
    e = torch.zeros_like(h) if dprenorm is None else wide(dprenorm)
    t = rstd * (w - c2 - xhat * c1) + e
    k = rstd * (w.abs() + (1 + xhat.abs()) * (w.abs() * (1 + xhat.abs())).mean(-1, keepdim=True)) + e.abs()
    scale, x0 = kept_scale(case), wide(case.x0)
    row = 1 if case.rowscale is None else wide(case.rowscale)[..., None]
    column = 1 if case.layerscale is None else wide(case.layerscale)
    kept = kept_scale(Case(case.x0, mask=case.mask, p=case.p))
    x0 = torch.where(kept == 0, 0.0, x0)
    values = (t * scale, t, (dy * xhat).sum(columns), dy.sum(columns), (t * kept * column * x0).sum(-1), (t * kept * row * x0).sum(columns))
    terms = (
        k * scale.abs(),
        k,
        (dy * xhat).abs().sum(columns) + (dy.abs() * (1 + xhat.abs())).sum(columns),
        dy.abs().sum(columns),
        (k * kept.abs() * (column if isinstance(column, int) else column.abs()) * x0.abs()).sum(-1),
        (k * kept.abs() * (row if isinstance(row, int) else row.abs()) * x0.abs()).sum(columns),
    )
    return values, terms


def y_terms(case: Case, h):
    """S of the contract: what the error of y is measured by, beside half an ulp."""
    mean, rstd = statistics(case, h)
    xhat = ((h - mean) * rstd).abs()
    weight = 1 if case.weight is None else wide(case.weight).abs()
    return weight * (1 + xhat) + (0 if case.bias is None else wide(case.bias).abs())


def half_ulp(dtype, value):
    info = torch.finfo(dtype)
    exponent = torch.frexp(value.abs().clamp_min(info.smallest_normal)).exponent - 1
    return torch.ldexp(torch.full_like(value, info.eps / 2, dtype=torch.float64), exponent)


def check(name, got, want, terms, factor, shape=None):
    """Fails if `got` is further from `want` than half an ulp of its type plus factor * u * terms."""
    if shape is not None:
        assert got.shape == shape, f"{name}: shape {got.shape}"
    u = 2.0**-53 if got.dtype == torch.float64 else U
    error = (got.detach().double() - want).abs()
    allowed = half_ulp(got.dtype, torch.maximum(want.abs(), got.detach().double().abs())) + factor * u * terms
    if got.dtype == torch.float64:
        allowed = 4 * allowed  # the reference, too, is float64
    bad = ~(error <= allowed)
    if bad.any():
        at = bad.flatten().nonzero()[0].item()
        figures = f"got {got.flatten()[at]}, want {want.flatten()[at]} +- {allowed.flatten()[at]}"
        pytest.fail(f"{name}: {bad.sum()} of {bad.numel()} wrong; at {at} {figures}")
