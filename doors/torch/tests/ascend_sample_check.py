# SPDX-License-Identifier: Apache-2.0
"""Runs a sample of spec 000 and checks what it leaves behind against fp64.

    python -m addnorm ascend-run ascend_sample_check.py SAMPLE [FAULT...]

Prints the measured errors, or fails with an AssertionError. Each FAULT then breaks the operator on purpose, which the check must notice.
"""

import inspect
import math
import runpy
import sys

import addnorm
import torch

_UNIT = 2.0**-24  # half a unit in the last place of float32, relative
_DROP = 0.37  # every sample's p
_EPS = 1e-5


def main(sample: str, *faults: str) -> None:
    check(sample)
    sound = addnorm.dropout_add_layer_norm, addnorm.dropout_add_rms_norm
    for fault in faults:
        _FAULTS[fault]()
        try:
            check(sample)
        except AssertionError as error:
            print(f"fault {fault} noticed: {error}")
        else:
            sys.exit(f"fault {fault} was not noticed")
        addnorm.dropout_add_layer_norm, addnorm.dropout_add_rms_norm = sound


def check(sample: str) -> None:
    """Runs the sample and asserts that its results are those of fp64 with the same mask."""
    torch.manual_seed(20)
    left = runpy.run_path(sample, run_name="__main__")
    gradients = _check_gradients(left)
    # Without a returned mask the gradient shows it: it is exactly zero where the element was dropped, and nowhere else.
    mask = left.get("mask_result")
    if mask is None:
        mask = left["x0"].grad != 0
    assert mask.dtype == torch.bool and mask.shape == left["x0"].shape, (mask.dtype, mask.shape)
    _check_rate(mask)
    expected = _reference(left, mask)
    errors = {}
    for name in ["norm_result", "pre_norm_result", *(name + "_grad" for name in gradients)]:
        if name in left:
            errors[name] = _error(name, left[name], expected[name])
    print("within fp64 +-", {name: f"{error:.2g}" for name, error in errors.items()})


def _check_gradients(left: dict) -> list[str]:
    """Every NAME_grad must be a finite gradient of NAME's (or model.NAME's) shape and type. Returns the names."""
    names = [name[: -len("_grad")] for name in left if name.endswith("_grad")]
    assert len(names) >= 3, names
    for name in names:
        value, gradient = _parameter(left, name), left[name + "_grad"]
        assert gradient is not None, f"{name}_grad is None"
        assert gradient.shape == value.shape and gradient.dtype == value.dtype, (name, gradient.shape, gradient.dtype)
        assert torch.isfinite(gradient).all(), name
    return names


def _parameter(left: dict, name: str):
    """`name` of the sample, or of its model; None if it has neither."""
    return left[name] if name in left else getattr(left.get("model"), name, None)


def _check_rate(mask: torch.Tensor) -> None:
    """Six standard deviations of the binomial distribution."""
    kept, count = int(mask.sum()), mask.numel()
    deviations = (kept - count * (1 - _DROP)) / math.sqrt(count * _DROP * (1 - _DROP))
    assert abs(deviations) < 6, f"{kept} of {count} kept: {deviations:.1f} standard deviations from 1 - p"


def _reference(left: dict, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """The sample's results in fp64, by torch's own operators and autograd; `mask` says what was kept."""
    names = [name for name in ("x0", "residual", "weight", "bias", "rowscale", "layerscale") if _parameter(left, name) is not None]
    leaf = {name: _parameter(left, name).detach().double().requires_grad_() for name in names}
    branch = leaf["x0"]
    if "rowscale" in leaf:
        branch = branch * leaf["rowscale"][..., None] * leaf["layerscale"]
    pre = torch.where(mask, branch / (1 - _DROP), 0.0) + leaf["residual"]
    # Case 2 is the one whose class has no bias.
    if "NPUDropoutAddRMSNorm" in left:
        norm = pre / (pre.square().mean(-1, keepdim=True) + _EPS).sqrt() * leaf["weight"]
    else:
        centred = pre - pre.mean(-1, keepdim=True)
        norm = centred / (centred.square().mean(-1, keepdim=True) + _EPS).sqrt() * leaf["weight"] + leaf["bias"]
    loss = norm * torch.sigmoid(pre) if "pre_norm_result" in left else norm
    loss.backward(left["g"].double())
    return {"norm_result": norm, "pre_norm_result": pre, **{name + "_grad": leaf[name].grad for name in names}}


def _error(name: str, got: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest error in units of max |expected|'s rounding; asserts the bound.

    Forward values: a handful of fp32 roundings. Gradients: also those of sigmoid and of the products in the sample itself.
    """
    unit = _UNIT * expected.abs().max().item()
    error = (got.detach().double() - expected.detach()).abs().max().item() / unit
    bound = 8 if name in ("norm_result", "pre_norm_result") else 32
    assert error <= bound, f"{name}: largest error is {error:.3g} roundings of max |{name}|, expected <= {bound}"
    return error


# ---- Faults: each breaks addnorm's two functions in one way. ----------------------------------------------------------


def _replace(wrap) -> None:
    for name in ("dropout_add_layer_norm", "dropout_add_rms_norm"):
        setattr(addnorm, name, wrap(getattr(addnorm, name)))


def _arguments(change):
    """A fault: the arguments, by name, are updated with change(arguments)."""

    def wrap(real):
        signature = inspect.signature(real)

        def call(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.arguments.update(change(bound.arguments))
            return real(*bound.args, **bound.kwargs)

        return call

    return lambda: _replace(wrap)


def _result(position: int, change):
    """A fault: where a tuple is returned, its value at `position` becomes change(value)."""

    def wrap(real):
        def call(*args, **kwargs):
            result = real(*args, **kwargs)
            if isinstance(result, tuple):
                result = list(result)
                result[position] = change(result[position])
            return result

        return call

    return lambda: _replace(wrap)


def _swap_norms() -> None:
    addnorm.dropout_add_layer_norm, addnorm.dropout_add_rms_norm = addnorm.dropout_add_rms_norm, addnorm.dropout_add_layer_norm


_FAULTS = {
    "rms_flag_inverted": _swap_norms,
    "weight_and_bias_swapped": _arguments(lambda given: {"weight": given["bias"], "bias": given["weight"]}),
    "x0_and_residual_swapped": _arguments(lambda given: {"x0": given["residual"], "residual": given["x0"]}),
    "residual_lost": _arguments(lambda given: {"residual": None}),
    "p_ignored": _arguments(lambda given: {"dropout_p": 0.0}),
    "p_slightly_off": _arguments(lambda given: {"dropout_p": given["dropout_p"] + 0.005}),
    "eps_slightly_off": _arguments(lambda given: {"epsilon": given["epsilon"] * 3}),
    "rowscale_lost": _arguments(lambda given: {"rowscale": None}),
    "layerscale_lost": _arguments(lambda given: {"layerscale": None}),
    "pre_norm_detached": _result(1, torch.Tensor.detach),
    "mask_inverted": _result(-1, torch.logical_not),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
