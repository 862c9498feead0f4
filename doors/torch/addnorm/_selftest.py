# SPDX-License-Identifier: Apache-2.0
"""python -m addnorm selftest: is this installation right on this machine? The real test suite is in the source tree."""

import itertools

import torch

import addnorm

_HALF_ULP = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


def _reference(x0, residual, weight, bias, mask, p, eps, is_rms):
    h = torch.where(mask, x0 / (1 - p), 0) if p < 1 else torch.zeros_like(x0)
    h = h + residual
    d = h if is_rms else h - h.mean(-1, keepdim=True)
    return d * torch.rsqrt(d.square().mean(-1, keepdim=True) + eps) * weight + bias, h


def _error(got, want, terms) -> float:
    """The largest error in units of half an ulp of the result's type plus the contract's allowance for the float32 in between."""
    half_ulp = _HALF_ULP[got.dtype]
    u = min(half_ulp, 2.0**-24)
    tiny = torch.finfo(got.dtype).tiny
    return ((got.double() - want).abs() / (half_ulp * want.abs() + 16 * u * terms + tiny)).max().item()


def _case(rows, cols, dtype, is_rms, p) -> tuple[str, float]:
    generator = torch.Generator().manual_seed(rows * 1000 + cols)
    x0, residual, dy, dpre = (torch.randn(rows, cols, generator=generator, dtype=torch.float64).to(dtype) for _ in range(4))
    weight, bias = (torch.randn(cols, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    inputs = [t.clone().requires_grad_() for t in (x0, residual, weight, bias)]
    function = addnorm.dropout_add_rms_norm if is_rms else addnorm.dropout_add_layer_norm
    y, pre, mask = function(*inputs, p, 1e-5, prenorm=True, return_dropout_mask=True, seed=(cols, rows), save="inputs")
    torch.autograd.backward((y, pre), (dy, dpre))

    exact = [t.double().requires_grad_() for t in (x0, residual, weight, bias)]
    want, h = _reference(*exact, mask, p, 1e-5, is_rms)
    torch.autograd.backward((want, h), (dy.double(), dpre.double()))
    xhat = ((want - exact[3]) / exact[2]).detach()
    scale = exact[2].abs() * (1 + xhat.abs()) + exact[3].abs()
    d = h.detach() if is_rms else h.detach() - h.detach().mean(-1, keepdim=True)
    q = torch.rsqrt(d.square().mean(-1, keepdim=True) + 1e-5)
    w = exact[2] * dy.double()
    k = q * (w.abs() + (1 + xhat.abs()) * (w.abs() * (1 + xhat.abs())).mean(-1, keepdim=True)) + dpre.double().abs()
    worst = max(
        _error(y, want, scale),
        _error(pre, h, h.abs() + 1),
        _error(inputs[0].grad, exact[0].grad, k / (1 - p)),
        _error(inputs[1].grad, exact[1].grad, k),
        _error(inputs[2].grad, exact[2].grad, (dy.double() * xhat).abs().sum(0) + 1),
        _error(inputs[3].grad, exact[3].grad, dy.double().abs().sum(0)),
    )
    name = f"{'RMS' if is_rms else 'Layer'}Norm {rows}x{cols} {str(dtype).removeprefix('torch.')} p={p}"
    return name, worst


def run() -> int:
    """Prints one line per case; 0 if all are within the bounds."""
    failures = 0
    shapes = ((1, 1), (3, 7), (5, 64), (2, 1000), (70, 768))
    dtypes = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    for (rows, cols), dtype, is_rms, p in itertools.product(shapes, dtypes, (False, True), (0.0, 0.25)):
        name, worst = _case(rows, cols, dtype, is_rms, p)
        ok = worst <= 1.0
        failures += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name:40} error {worst:.2f} of the bound")
    print(f"{failures} failures" if failures else "selftest passed")
    return 1 if failures else 0
