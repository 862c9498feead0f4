# SPDX-License-Identifier: Apache-2.0
"""The Ascend names: argument order, defaults, what is returned, types, and the messages. No process is activated here: the shims that
translate need only their directory on the module path."""

import inspect
import sys

import pytest
import torch
from addnorm.ascend import is_active, module_path

_B, _S, _H = 3, 5, 48
_UNITS = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
# Spec 000's table: x0, residual, weight; norm_result has x0's type.
_ROWS = [(F32, F32, F32), (F16, F32, F32), (F16, F16, F32), (BF16, F32, F32), (BF16, BF16, F32), (F16, F16, F16), (BF16, BF16, BF16)]


@pytest.fixture(scope="module", autouse=True)
def names():
    """The operators and classes under their documented names; the module path is as before afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, module_path.SHIMS)
    try:
        import ascendspeed_te_ops
        from ascendspeed.te.ops.dropout_add_layer_norm import NPUDropoutAddLayerNorm
        from ascendspeed.te.ops.dropout_add_rms_norm import NPUDropoutAddRMSNorm
        from mindspeed.ops.dropout_add_layer_norm import npu_dropout_add_layer_norm
        from mindspeed.ops.dropout_add_rms_norm import npu_dropout_add_rms_norm
    finally:
        sys.path.remove(module_path.SHIMS)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("ascendspeed_te_ops", "ascendspeed", "mindspeed"):
                del sys.modules[name]
    assert not is_active()

    class Names:
        function = staticmethod(ascendspeed_te_ops.npu_dropout_add_layer_norm)
        layer_class = NPUDropoutAddLayerNorm
        rms_class = NPUDropoutAddRMSNorm
        mindspeed_layer = staticmethod(npu_dropout_add_layer_norm)
        mindspeed_rms = staticmethod(npu_dropout_add_rms_norm)

    return Names


def _operands(x0_dtype=F32, residual_dtype=F32, weight_dtype=F32) -> dict[str, torch.Tensor]:
    """All six, with gradients. rowscale and layerscale as documented: in x0's type."""
    generator = torch.Generator().manual_seed(7)
    shapes = {"x0": (_B, _S, _H), "weight": (_H,), "residual": (_B, _S, _H), "bias": (_H,), "rowscale": (_B, _S), "layerscale": (_H,)}
    dtypes = {"weight": weight_dtype, "bias": weight_dtype, "residual": residual_dtype}
    return {name: torch.randn(shape, generator=generator).to(dtypes.get(name, x0_dtype)).requires_grad_() for name, shape in shapes.items()}


def _reference(operands: dict[str, torch.Tensor], mask: torch.Tensor, p: float, eps: float, is_rms_norm: bool):
    """(norm, pre_norm, leaves) in fp64 by torch's own operators."""
    leaf = {name: value.detach().double().requires_grad_() for name, value in operands.items()}
    pre = torch.where(mask, leaf["x0"] * leaf["rowscale"][..., None] * leaf["layerscale"] / (1 - p), 0.0) + leaf["residual"]
    centred = pre if is_rms_norm else pre - pre.mean(-1, keepdim=True)
    norm = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * leaf["weight"] + leaf["bias"]
    return norm, pre, leaf


def _assert_rounded(name: str, got: torch.Tensor, expected: torch.Tensor, roundings: int) -> None:
    """One rounding to got's type, plus `roundings` of float32 at the size of the largest value."""
    expected = expected.detach()
    bound = _UNITS[got.dtype] * expected.abs() + roundings * 2.0**-24 * expected.abs().max()
    worst = ((got.detach().double() - expected).abs() / bound).max().item()
    assert worst <= 1, f"{name}: {worst:.3g} of the bound"


def _plain(names, **changed):
    """A call with x0, weight and residual only, and what is changed."""
    operands = _operands()
    return names.function(**{name: operands[name] for name in ("x0", "weight", "residual")} | changed)


# ---- Argument order and defaults. ------------------------------------------------------------------------------------

_SPEC_000 = (
    "x0 weight residual=None bias=None rowscale=None layerscale=None p=0.0 eps=1e-05 prenorm=False residual_in_fp32=False "
    "is_rms_norm=False return_dropout_mask=False"
)
_MINDSPEED = (
    "x0 residual weight bias dropout_p epsilon rowscale=None layerscale=None prenorm=False residual_in_fp32=False return_dropout_mask=False"
)
_CLASS = "hidden_size prenorm=False p=0.0 eps=1e-05 residual_in_fp32=False dtype=None *device=None"
_FORWARD = "self x0 residual=None rowscale=None layerscale=None return_dropout_mask=False"


def _signature(function) -> str:
    parts = []
    for parameter in inspect.signature(function).parameters.values():
        star = "*" if parameter.kind is parameter.KEYWORD_ONLY else ""
        parts.append(star + parameter.name + ("" if parameter.default is parameter.empty else f"={parameter.default!r}"))
    return " ".join(parts)


def test_signatures(names):
    assert _signature(names.function) == _SPEC_000
    assert _signature(names.mindspeed_layer) == _MINDSPEED
    assert _signature(names.mindspeed_rms) == _MINDSPEED
    for cls in (names.layer_class, names.rms_class):
        assert _signature(cls) == _CLASS
        assert _signature(cls.forward) == _FORWARD


def test_positions_are_the_documented_ones(names):
    """Every argument by position, each different from its default, against fp64."""
    operands = _operands()
    for is_rms_norm in (False, True):
        got = names.function(*operands.values(), 0.25, 1e-3, True, True, is_rms_norm, True)
        norm, pre, _ = _reference(operands, got[2], 0.25, 1e-3, is_rms_norm)
        _assert_rounded("norm_result", got[0], norm, 16)
        _assert_rounded("pre_norm_result", got[1], pre, 16)
        assert 0 < got[2].sum() < got[2].numel()


def test_weight_and_residual_of_one_shape_keep_their_places(names):
    """With x0 [H] only the order tells weight from residual."""
    x0, weight, residual = (_operands()[name].detach().flatten()[:_H] for name in ("x0", "weight", "residual"))
    pre = (x0 + residual).double()
    expected = (pre - pre.mean()) / (pre.var(unbiased=False) + 1e-5).sqrt() * weight.double()
    swapped = (x0 + weight).double() * residual.double()
    _assert_rounded("norm_result", names.function(x0, weight, residual)[0], expected, 16)
    assert (expected - swapped).abs().max() > 0.1


# ---- What is returned. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("prenorm", [False, True])
def test_triples_with_none(names, prenorm, mask):
    operands = _operands()
    x0, residual = operands["x0"], operands["residual"]
    results = [_plain(names, p=0.5, prenorm=prenorm, return_dropout_mask=mask)]
    for cls in (names.layer_class, names.rms_class):
        results.append(cls(_H, prenorm, 0.5)(x0, residual, return_dropout_mask=mask))
    for result in results:
        assert isinstance(result, tuple) and len(result) == 3
        assert result[0].shape == x0.shape and result[0].dtype == F32
        assert (result[1] is not None) == prenorm and (result[2] is not None) == mask
        assert not prenorm or (result[1].shape == x0.shape and result[1].dtype == F32 and result[1].requires_grad)
        assert not mask or (result[2].shape == x0.shape and result[2].dtype == torch.bool)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("prenorm", [False, True])
def test_mindspeed_returns_what_was_asked(names, prenorm, mask):
    operands = _operands()
    order = [operands[name] for name in ("x0", "residual", "weight", "bias")]
    for function, is_rms_norm in ((names.mindspeed_layer, False), (names.mindspeed_rms, True)):
        result = function(*order, 0.25, 1e-3, operands["rowscale"], operands["layerscale"], prenorm, True, mask)
        values = result if prenorm or mask else (result,)
        assert isinstance(values, tuple) and len(values) == 1 + prenorm + mask
        if mask:
            assert values[-1].dtype == torch.bool
            norm, pre, _ = _reference(operands, values[-1], 0.25, 1e-3, is_rms_norm)
            _assert_rounded("out", values[0], norm, 16)
            if prenorm:
                _assert_rounded("pre_norm", values[1], pre, 16)


def test_mask_is_bool_at_every_p(names):
    for p in (0.0, 0.5, 1.0):
        mask = _plain(names, p=p, return_dropout_mask=True)[2]
        assert mask.dtype == torch.bool
        assert mask.all() if p == 0 else not mask.all()
        assert p < 1 or not mask.any()
        operands = _operands()
        mindspeed = names.mindspeed_layer(operands["x0"], operands["residual"], operands["weight"], None, p, 1e-5, return_dropout_mask=True)
        assert mindspeed[-1].dtype == torch.bool


def test_everything_dropped_leaves_the_residual(names):
    operands = _operands()
    norm, pre, _ = _plain(names, p=1.0, prenorm=True)
    assert torch.equal(pre, operands["residual"])
    expected = _reference(operands | {"bias": torch.zeros(_H)}, torch.tensor(False), 0.0, 1e-5, False)[0]
    _assert_rounded("norm_result", norm, expected, 16)


def test_mask_follows_manual_seed(names):
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(_plain(names, p=0.5, return_dropout_mask=True)[2])
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


# ---- The classes. ----------------------------------------------------------------------------------------------------


def test_dropout_counts_in_training_mode_only(names):
    x0, residual = (_operands()[name] for name in ("x0", "residual"))
    for cls in (names.layer_class, names.rms_class):
        model, plain = cls(_H, p=0.5), cls(_H)
        assert model.training and not model(x0, residual, return_dropout_mask=True)[2].all()
        model.eval()
        norm, _, mask = model(x0, residual, return_dropout_mask=True)
        assert mask.all() and torch.equal(norm, plain(x0, residual)[0])


def test_class_parameters(names):
    layer = names.layer_class(_H, True, 0.1, 1e-4, True, F16)
    rms = names.rms_class(_H, True, 0.1, 1e-4, True, F16, device="cpu")
    assert list(layer.state_dict()) == ["weight", "bias"] and list(rms.state_dict()) == ["weight"] and rms.bias is None
    assert torch.equal(layer.weight, torch.ones(_H, dtype=F16)) and torch.equal(layer.bias, torch.zeros(_H, dtype=F16))
    for model in (layer, rms):
        assert (model.prenorm, model.p, model.eps, model.residual_in_fp32) == (True, 0.1, 1e-4, True)
    assert names.layer_class(_H).weight.dtype == torch.get_default_dtype()
    assert names.layer_class(_H, device="meta").bias.device.type == "meta"
    with pytest.raises(TypeError):
        names.layer_class(_H, False, 0.0, 1e-5, False, None, "cpu")


def test_class_passes_its_settings_on(names):
    operands = _operands()
    for cls, is_rms_norm in ((names.layer_class, False), (names.rms_class, True)):
        model = cls(_H, prenorm=True, p=0.25, eps=0.5)
        torch.nn.init.normal_(model.weight)
        own = {"weight": model.weight, "bias": torch.zeros(_H) if is_rms_norm else torch.nn.init.normal_(model.bias)}
        norm, pre, mask = model(operands["x0"], operands["residual"], operands["rowscale"], operands["layerscale"], True)
        expected_norm, expected_pre, _ = _reference(operands | own, mask, 0.25, 0.5, is_rms_norm)
        _assert_rounded("norm_result", norm, expected_norm, 16)
        _assert_rounded("pre_norm_result", pre, expected_pre, 16)


# ---- Types and gradients. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_rms_norm", [False, True])
@pytest.mark.parametrize("row", _ROWS, ids=lambda row: "-".join(str(dtype)[6:] for dtype in row))
def test_the_documented_rows_of_types(names, row, is_rms_norm):
    operands = _operands(*row)
    norm, pre, mask = names.function(*operands.values(), 0.25, 1e-5, True, True, is_rms_norm, True)
    assert (norm.dtype, pre.dtype, mask.dtype) == (row[0], row[1], torch.bool)
    expected_norm, expected_pre, leaf = _reference(operands, mask, 0.25, 1e-5, is_rms_norm)
    _assert_rounded("norm_result", norm, expected_norm, 16)
    _assert_rounded("pre_norm_result", pre, expected_pre, 16)
    generator = torch.Generator().manual_seed(8)
    gradients = [torch.randn(norm.shape, generator=generator).to(value.dtype) for value in (norm, pre)]
    torch.autograd.backward([norm, pre], gradients)
    torch.autograd.backward([expected_norm, expected_pre], [gradient.double() for gradient in gradients])
    # A 16-bit sum is normalised unrounded but kept rounded for the backward: one more rounding of that type.
    kept = 64 if row[1] == F32 else 8 * _UNITS[row[1]] * 2**24
    for name, value in operands.items():
        assert value.grad is not None and value.grad.dtype == value.dtype and value.grad.shape == value.shape, name
        _assert_rounded(name + ".grad", value.grad, leaf[name].grad, kept)


@pytest.mark.parametrize("x0_dtype", [F32, F16, BF16])
def test_residual_in_fp32_matters_without_a_residual_only(names, x0_dtype):
    x0, weight = torch.randn(_B, _S, _H).to(x0_dtype), torch.ones(_H)
    assert names.function(x0, weight, prenorm=True)[1].dtype == x0_dtype
    assert names.function(x0, weight, prenorm=True, residual_in_fp32=True)[1].dtype == F32
    for residual_dtype in (F32, x0_dtype):
        residual = torch.zeros(_B, _S, _H, dtype=residual_dtype)
        for flag in (False, True):
            assert names.function(x0, weight, residual, prenorm=True, residual_in_fp32=flag)[1].dtype == residual_dtype


@pytest.mark.parametrize("shape", [(_H,), (4, _H), (2, 3, 4, _H), (0, 4, _H), (2, 3, 1), (1, 2, 7)])
def test_any_shape(names, shape):
    x0 = torch.randn(shape)
    norm, pre, mask = names.function(x0, torch.ones(shape[-1]), torch.zeros(shape), prenorm=True, return_dropout_mask=True)
    assert norm.shape == pre.shape == mask.shape == x0.shape
    torch.testing.assert_close(norm, torch.nn.functional.layer_norm(x0, shape[-1:]))


# ---- Bad input. ------------------------------------------------------------------------------------------------------

_WIDE = torch.zeros(_B, _S, _H)
_BAD = {
    "x0 is a list": ({"x0": [1.0]}, TypeError, ["'x0'", "list"]),
    "x0 of integers": ({"x0": _WIDE.int()}, TypeError, ["'x0'", "int"]),
    "weight missing": ({"weight": None}, TypeError, ["'weight'", "NoneType"]),
    "weight and residual swapped": (
        {"weight": _WIDE, "residual": torch.zeros(_H)},
        ValueError,
        ["weight", f"[{_B}, {_S}, {_H}]", "swapped"],
    ),
    "weight too long": ({"weight": torch.zeros(_H + 1)}, ValueError, ["'weight'", f"[{_H + 1}]", f"[{_H}]"]),
    "residual of another shape": ({"residual": _WIDE[:, 1:]}, ValueError, ["'residual'", str(_S - 1), str(_S)]),
    "bias too short": ({"bias": torch.zeros(_H - 1)}, ValueError, ["'bias'", str(_H - 1), str(_H)]),
    "rowscale with a column": ({"rowscale": torch.zeros(_B, _S + 1)}, ValueError, ["'rowscale'", str(_S + 1), str(_S)]),
    "layerscale too long": ({"layerscale": torch.zeros(_H + 1)}, ValueError, ["'layerscale'", str(_H + 1), str(_H)]),
    "one fp64": ({"residual": _WIDE.double()}, TypeError, ["'residual'", "float64", "float32"]),
    "p above 1": ({"p": 1.5}, ValueError, ["'p' is 1.5", "[0, 1]"]),
    "p below 0": ({"p": -0.25}, ValueError, ["'p' is -0.25", "[0, 1]"]),
    "p not a number": ({"p": float("nan")}, ValueError, ["'p' is nan", "[0, 1]"]),
    "eps below 0": ({"eps": -1.0}, ValueError, ["'eps' is -1", ">= 0"]),
    "eps not a number": ({"eps": float("nan")}, ValueError, ["'eps' is nan", ">= 0"]),
}


@pytest.mark.parametrize("case", _BAD)
def test_bad_input_is_named(names, case):
    changed, error, parts = _BAD[case]
    with pytest.raises(error) as raised:
        _plain(names, **changed)
    message = str(raised.value)
    assert message.startswith("ascendspeed_te_ops.npu_dropout_add_layer_norm: "), message
    assert "dropout_p" not in message and "epsilon" not in message, message
    for part in parts:
        assert part in message, message
