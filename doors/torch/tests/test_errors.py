# SPDX-License-Identifier: Apache-2.0
"""Bad input: the type of the exception and its exact text, which names API, argument, what it got and what was expected."""

import itertools

import addnorm
import pytest
import torch

X, R, W = torch.randn(2, 3, 8), torch.randn(2, 3, 8), torch.ones(8)
F64 = torch.float64


def dropout_add(x0=X, residual=None, weight=W, bias=None, p=0.0, epsilon=1e-5, rowscale=None, layerscale=None, **options):
    return addnorm.dropout_add_layer_norm(x0, residual, weight, bias, p, epsilon, rowscale, layerscale, **options)


def backward(**changes):
    stats = torch.ones(2, 3)
    arguments = {"grad_out": X, "input": X, "normalized_shape": 8, "mean": stats, "rstd": stats, "weight": W, **changes}
    return addnorm.layer_norm_backward(**arguments)


def add_grad(**changes):
    stats = torch.ones(2, 3)
    arguments = {"dy": X, "x1": X, "x2": R, "rstd": stats, "mean": stats, "gamma": W, **changes}
    return addnorm.add_layer_norm_grad(**arguments)


CASES = {
    "no x2": (
        lambda: add_grad(x2=None),
        TypeError,
        "addnorm.add_layer_norm_grad: argument 'x2' is of type NoneType, expected a Tensor",
    ),
    "no mean": (
        lambda: add_grad(mean=None, gamma=None),
        TypeError,
        "addnorm.add_layer_norm_grad: argument 'mean' is of type NoneType, expected a Tensor",
    ),
    "no rstd": (
        lambda: backward(rstd=None),
        TypeError,
        "addnorm.layer_norm_backward: argument 'rstd' is of type NoneType, expected a Tensor",
    ),
    "module p": (
        lambda: addnorm.DropoutAddLayerNorm(8, p=2.0),
        ValueError,
        "addnorm.DropoutAddLayerNorm: argument 'p' is 2.0, expected a probability in [0, 1]",
    ),
    "rank": (
        lambda: dropout_add(torch.tensor(1.0), weight=None),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'x0' has shape [], expected at least one dimension",
    ),
    "swapped": (
        lambda: addnorm.dropout_add_layer_norm(X, W, R, None, 0.0, 1e-5),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'residual' has shape [8], expected [2, 3, 8] (are weight and residual swapped?)",
    ),
    "swapped weight": (
        lambda: addnorm.add_layer_norm(X, None, R),
        ValueError,
        "addnorm.add_layer_norm: argument 'weight' has shape [2, 3, 8], expected [8] (are weight and residual swapped?)",
    ),
    "residual shape": (
        lambda: dropout_add(residual=torch.ones(2, 8)),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'residual' has shape [2, 8], expected [2, 3, 8], the shape of 'x0'",
    ),
    "elements beyond counting": (
        lambda: dropout_add(torch.empty(1).expand(2**31, 2**31), residual=None, weight=None),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'x0' has shape [2147483648, 2147483648], expected dimensions whose product fits in "
        "memory",
    ),
    "a copy beyond memory": (
        lambda: addnorm.layer_norm(torch.empty(1, 1).expand(2**44, 8), 8),
        RuntimeError,
        "addnorm.layer_norm: a contiguous copy of an argument of shape [17592186044416, 8] could not be allocated",
    ),
    "an output beyond memory": (
        lambda: addnorm.rms_norm(torch.empty(1, 8).expand(2**44, 8), 8),
        RuntimeError,
        "addnorm.rms_norm: an output of shape [17592186044416, 8] could not be allocated",
    ),
    "bias of another length": (
        lambda: backward(bias=torch.ones(3)),
        ValueError,
        "addnorm.layer_norm_backward: argument 'bias' has shape [3], expected [8]",
    ),
    "grad_out and input": (
        lambda: backward(grad_out=torch.ones(6, 8)),
        ValueError,
        "addnorm.layer_norm_backward: argument 'input' has shape [2, 3, 8], expected [6, 8], the shape of 'grad_out'",
    ),
    "vmap over nothing with dropout": (
        lambda: torch.vmap(lambda a: addnorm.dropout_add_layer_norm(a, None, W, None, 0.3, 1e-5, seed=3))(torch.ones(0, 2, 8)),
        ValueError,
        "torch.ops.addnorm.vmap: a batch of 0 samples, expected at least 1 where each sample is a call of its own",
    ),
    "weight length": (
        lambda: addnorm.rms_norm(X, 8, torch.ones(7)),
        ValueError,
        "addnorm.rms_norm: argument 'weight' has shape [7], expected [8]",
    ),
    "bias length": (
        lambda: dropout_add(bias=torch.ones(9)),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'bias' has shape [9], expected [8]",
    ),
    "rowscale shape": (
        lambda: dropout_add(rowscale=torch.ones(3, 2)),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'rowscale' has shape [3, 2], expected [2, 3]",
    ),
    "layerscale shape": (
        lambda: dropout_add(layerscale=torch.ones(2, 3, 8)),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'layerscale' has shape [2, 3, 8], expected [8]",
    ),
    "integer x0": (
        lambda: dropout_add(X.long()),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'x0' is int64, expected float32, float16, bfloat16 or float64",
    ),
    "integer weight": (
        lambda: dropout_add(weight=W.int()),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'weight' is int32, expected float32, float16, bfloat16 or float64",
    ),
    "complex residual": (
        lambda: dropout_add(residual=R + 0j),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'residual' is complex64, expected float32, float16, bfloat16 or float64",
    ),
    "float64 weight": (
        lambda: dropout_add(weight=W.to(F64)),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'weight' is float64, expected float32, float16 or bfloat16",
    ),
    "float32 residual of float64": (
        lambda: dropout_add(X.to(F64), R, None),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'residual' is float32, expected float64, the type of the others",
    ),
    "negative epsilon": (
        lambda: dropout_add(epsilon=-1e-5),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'epsilon' is -1e-05, expected a finite number >= 0",
    ),
    "nan eps": (
        lambda: addnorm.layer_norm(X, 8, eps=float("nan")),
        ValueError,
        "addnorm.layer_norm: argument 'eps' is nan, expected a finite number >= 0",
    ),
    "infinite eps": (
        lambda: addnorm.add_rms_norm(X, R, eps=float("inf")),
        ValueError,
        "addnorm.add_rms_norm: argument 'eps' is inf, expected a finite number >= 0",
    ),
    "p above 1": (
        lambda: dropout_add(p=1.5),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'dropout_p' is 1.5, expected a probability in [0, 1]",
    ),
    "negative p": (
        lambda: dropout_add(p=-0.1),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'dropout_p' is -0.1, expected a probability in [0, 1]",
    ),
    "nan p": (
        lambda: dropout_add(p=float("nan")),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'dropout_p' is nan, expected a probability in [0, 1]",
    ),
    "text p": (
        lambda: dropout_add(p="0.1"),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'dropout_p' is of type str, expected a float",
    ),
    "text epsilon": (
        lambda: dropout_add(epsilon="small"),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'epsilon' is of type str, expected a float",
    ),
    "bool residual": (
        lambda: dropout_add(residual=True),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'residual' is of type bool, expected a Tensor or None",
    ),
    "list x0": (
        lambda: dropout_add([1.0]),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'x0' is of type list, expected a Tensor",
    ),
    "no x0": (
        lambda: addnorm.add_layer_norm(None, R),
        TypeError,
        "addnorm.add_layer_norm: argument 'x0' is of type NoneType, expected a Tensor",
    ),
    "list for layer_norm": (
        lambda: addnorm.layer_norm([1.0], 1),
        TypeError,
        "addnorm.layer_norm: argument 'x0' is of type list, expected a Tensor",
    ),
    "number as rowscale": (
        lambda: dropout_add(rowscale=2.0),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'rowscale' is of type float, expected a Tensor or None",
    ),
    "text seed": (
        lambda: dropout_add(p=0.5, seed="7"),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'seed' is '7', expected an int, a pair (key, offset) or an int64 tensor of shape [2]",
    ),
    "three seeds": (
        lambda: dropout_add(p=0.5, seed=(1, 2, 3)),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'seed' is (1, 2, 3), expected an int, "
        "a pair (key, offset) or an int64 tensor of shape [2]",
    ),
    "long seed": (
        lambda: dropout_add(p=0.5, seed=2**64),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'seed' holds 18446744073709551616, expected integers of 64 bits",
    ),
    "float seed": (
        lambda: dropout_add(p=0.5, seed=torch.ones(2)),
        TypeError,
        "addnorm.dropout_add_layer_norm: argument 'seed' is float32, expected int64",
    ),
    "seed shape": (
        lambda: dropout_add(p=0.5, seed=torch.ones(3, dtype=torch.int64)),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'seed' has shape [3], expected [2]",
    ),
    "seed and generator": (
        lambda: dropout_add(p=0.5, seed=1, generator=torch.Generator()),
        ValueError,
        "addnorm.dropout_add_layer_norm: arguments 'seed' and 'generator' are both given, expected one of them",
    ),
    "save": (
        lambda: dropout_add(residual=R, save="nothing"),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'save' is 'nothing', expected 'prenorm' or 'inputs'",
    ),
    "normalized_shape": (
        lambda: addnorm.layer_norm(X, (2, 8)),
        ValueError,
        "addnorm.layer_norm: argument 'normalized_shape' is [2, 8], expected the last dimensions of 'x0', [2, 3, 8]",
    ),
    "no normalized_shape": (
        lambda: addnorm.rms_norm(X, ()),
        ValueError,
        "addnorm.rms_norm: argument 'normalized_shape' is [], expected the last dimensions of 'x0', [2, 3, 8]",
    ),
    "meta residual": (
        lambda: dropout_add(residual=R.to("meta")),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'residual' is on meta, expected cpu, the device of 'x0'",
    ),
    "meta x0": (
        lambda: dropout_add(X.to("meta")),
        ValueError,
        "addnorm.dropout_add_layer_norm: argument 'weight' is on cpu, expected meta, the device of 'x0'",
    ),
    "grad_out shape": (
        lambda: backward(grad_out=X[:1]),
        ValueError,
        "addnorm.layer_norm_backward: argument 'input' has shape [2, 3, 8], expected [1, 3, 8], the shape of 'grad_out'",
    ),
    "statistics shape": (
        lambda: backward(rstd=torch.ones(2)),
        ValueError,
        "addnorm.layer_norm_backward: argument 'rstd' has shape [2], expected [2, 3]",
    ),
    "output_mask": (
        lambda: backward(output_mask=(True, True)),
        ValueError,
        "addnorm.layer_norm_backward: argument 'output_mask' has 2 elements, expected 3",
    ),
    "backward normalized_shape": (
        lambda: backward(normalized_shape=(4,)),
        ValueError,
        "addnorm.layer_norm_backward: argument 'normalized_shape' is [4], expected the last dimensions of 'input', [2, 3, 8]",
    ),
    "x2 shape": (
        lambda: add_grad(x2=R[0]),
        ValueError,
        "addnorm.add_layer_norm_grad: argument 'x2' has shape [3, 8], expected [2, 3, 8], the shape of 'dy'",
    ),
    "gamma dtype": (
        lambda: add_grad(gamma=W.to(F64)),
        TypeError,
        "addnorm.add_layer_norm_grad: argument 'gamma' is float64, expected float32, float16 or bfloat16",
    ),
    "integer rstd": (
        lambda: add_grad(rstd=torch.ones(2, 3, dtype=torch.int32)),
        TypeError,
        "addnorm.add_layer_norm_grad: argument 'rstd' is int32, expected float32, float16, bfloat16 or float64",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_messages(name):
    call, kind, text = CASES[name]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text


@pytest.mark.parametrize("name", [n for n, (_, kind, _) in CASES.items() if "meta" not in n])
def test_the_same_with_a_gradient(name):
    """The way of autograd gives the same message."""
    call, kind, text = CASES[name]
    W.requires_grad_()
    try:
        with pytest.raises(kind) as error:
            call()
        assert str(error.value) == text
    finally:
        W.requires_grad_(False)


def test_overlapping_outputs_cannot_be_given():
    """No operator takes an output: there is nothing that a caller could make overlap."""
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("addnorm::"):
            op = getattr(torch.ops.addnorm, name.split("::")[1].split(".")[0]).default
            assert not op._schema.is_mutable and not any(a.alias_info for a in itertools.chain(op._schema.arguments, op._schema.returns))


def test_raw_operators():
    """The operators themselves name what is wrong, too; those that only Python can tell apart are RuntimeErrors with the type in front."""
    with pytest.raises(ValueError, match=r"^torch.ops.addnorm.dropout_add_norm: argument 'weight' has shape \[7\], expected \[8\]$"):
        torch.ops.addnorm.forward(X, None, torch.ones(7), None, 1e-5)
    with pytest.raises(RuntimeError, match=r"^TypeError: torch.ops.addnorm.dropout_add_norm: argument 'x0' is int64, expected"):
        torch.ops.addnorm.dropout_add_norm(X.long(), None, None, None, 1e-5)
    with pytest.raises(ValueError, match=r"argument 'seed' is None, expected an int64 tensor"):
        torch.ops.addnorm.forward(X, None, None, None, 1e-5, p=0.5)
    with pytest.raises(ValueError, match=r"argument 'output_mask' has another length, expected 6"):
        torch.ops.addnorm.backward(X, None, X, None, None, None, 1e-5, [True])
    with pytest.raises(ValueError, match=r"argument 'stats' has .* expected \[3, rows...\]"):
        torch.ops.addnorm.backward(X, None, X, torch.ones(1, 2, 3), None, None, 1e-5, [True] * 6)
    with pytest.raises(NotImplementedError, match="addnorm::forward"):
        torch.ops.addnorm.forward(X.to_sparse(), None, None, None, 1e-5)
    with pytest.raises(ValueError, match=r"argument 'x0' is absent"):
        torch.ops.addnorm.backward(X, None, X, None, None, None, 1e-5, [False] * 4 + [True, False])


def test_a_failed_call_leaves_no_trace():
    before = torch.get_rng_state()
    x = X.clone().requires_grad_()
    with pytest.raises(ValueError):
        dropout_add(x, weight=torch.ones(7))
    assert x.grad is None and torch.equal(x, X) and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("call", [lambda x: addnorm.layer_norm(x, 8), lambda x: dropout_add(x, R), lambda x: backward(input=x)])
def test_forward_mode_is_refused(call):
    """The raw operators would drop the tangent: a derivative of zero without a word."""
    with torch.autograd.forward_ad.dual_level():
        call(X)  # no tangent, no refusal
        with pytest.raises(NotImplementedError, match="forward-mode tangent"):
            call(torch.autograd.forward_ad.make_dual(X, torch.ones_like(X)))
