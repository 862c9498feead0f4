# SPDX-License-Identifier: Apache-2.0
"""What the torch door promises beside values: keys and masks, what is returned, layouts, empty tensors, threads, training tools."""

import copy
import doctest
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import addnorm
import pytest
import torch
from addnorm import functional, nn, parallel
from addnorm.__main__ import main
from addnorm._library import build_info
from torch.utils.checkpoint import checkpoint

PUBLIC = [getattr(addnorm, name) for name in addnorm.__all__]


def dropout(x, p=0.5, **options):
    return addnorm.dropout_add_layer_norm(x, None, None, None, p, 1e-5, return_dropout_mask=True, **options)[1]


# ---- Keys and masks --------------------------------------------------------------------------------------------------


def test_manual_seed_repeats_the_masks():
    x = torch.ones(16, 33)
    torch.manual_seed(5)
    first = [dropout(x) for _ in range(3)]
    torch.manual_seed(5)
    again = [dropout(x) for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_is_drawn_where_nothing_is_random(p):
    before = torch.get_rng_state()
    mask = dropout(torch.ones(4, 8), p)
    assert torch.equal(torch.get_rng_state(), before)
    assert mask.all() if p == 0 else not mask.any()


def test_an_explicit_seed_leaves_the_generator_alone():
    before = torch.get_rng_state()
    dropout(torch.ones(4, 8), seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_all_forms_of_a_seed():
    x = torch.ones(9, 77)
    want = dropout(x, seed=torch.tensor([7, 0]))
    assert (
        torch.equal(dropout(x, seed=7), want) and torch.equal(dropout(x, seed=(7, 0)), want) and torch.equal(dropout(x, seed=[7, 0]), want)
    )
    assert not torch.equal(dropout(x, seed=(7, 1)), want) and not torch.equal(dropout(x, seed=8), want)
    assert torch.equal(dropout(x, seed=2**64 - 1), dropout(x, seed=-1))
    assert torch.equal(dropout(x, seed=torch.tensor([7, 1, 0, 2])[::2]), want)


def test_a_generator_of_ones_own():
    x = torch.ones(9, 77)
    masks = [dropout(x, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*masks)


def test_the_mask_is_the_one_that_was_applied():
    """y, mask, gradient and the pre-norm result agree on what was dropped; a dropped inf contributes nothing."""
    x = torch.full((6, 40), 2.0, requires_grad=True)
    _, pre, mask = addnorm.dropout_add_rms_norm(x, None, None, None, 0.25, 1e-5, prenorm=True, return_dropout_mask=True, seed=3)
    assert torch.equal(pre, torch.where(mask, 2 / 0.75, 0.0))
    (gradient,) = torch.autograd.grad(pre.sum(), x)
    assert torch.equal(gradient, torch.where(mask, torch.tensor(1 / 0.75), 0.0))
    poisoned = torch.where(mask, 2.0, torch.inf)
    assert torch.equal(addnorm.dropout_add_rms_norm(poisoned, None, None, None, 0.25, 1e-5, prenorm=True, seed=3)[1], pre)


def test_the_mask_depends_on_the_key_and_the_place_alone():
    """Not on the type, the norm, the leading dimensions or the layout."""
    x = torch.ones(12, 30)
    want = dropout(x, seed=4)
    assert torch.equal(dropout(x.bfloat16(), seed=4), want)
    assert torch.equal(dropout(x.reshape(3, 4, 30), seed=4).reshape(12, 30), want)
    assert torch.equal(dropout(torch.ones(30, 12).T, seed=4), want)
    assert torch.equal(addnorm.dropout_add_rms_norm(x, x, None, None, 0.5, 1e-5, return_dropout_mask=True, seed=4)[1], want)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
def test_checkpoint_repeats_the_mask(use_reentrant, seed):
    x, weight = torch.randn(8, 64), torch.randn(64)
    results = []
    for checkpointed in (False, True):
        leaf, w = x.clone().requires_grad_(), weight.clone().requires_grad_()

        def call(leaf, w):
            return addnorm.dropout_add_layer_norm(leaf, None, w, None, 0.4, 1e-5, seed=seed)

        torch.manual_seed(0)
        # With an explicit key not even the state of the generator is needed.
        y = checkpoint(call, leaf, w, use_reentrant=use_reentrant, preserve_rng_state=seed is None) if checkpointed else call(leaf, w)
        torch.manual_seed(99)
        y.square().sum().backward()
        results.append((y.detach(), leaf.grad, w.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# ---- Arguments and results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [addnorm.dropout_add_layer_norm, addnorm.dropout_add_rms_norm])
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_what_is_returned(function, p, requires_grad):
    x = torch.randn(3, 8, requires_grad=requires_grad)
    y = function(x, None, None, None, p, 1e-5)
    assert isinstance(y, torch.Tensor) and y.requires_grad == requires_grad
    for prenorm, mask in ((True, False), (False, True), (True, True)):
        results = function(x, None, None, None, p, 1e-5, prenorm=prenorm, return_dropout_mask=mask)
        kinds = [torch.float32] + [torch.float32] * prenorm + [torch.bool] * mask
        assert isinstance(results, tuple) and [r.dtype for r in results] == kinds
        assert [r.requires_grad for r in results] == [requires_grad] + [requires_grad] * prenorm + [False] * mask
    y, pre = function(x, None, None, None, 0.0, 1e-5, None, None, True, True)
    assert pre.data_ptr() != x.data_ptr() and torch.equal(pre, x)


def test_public_statistics():
    x = torch.randn(4, 5, 16) + 100
    _, mean, rstd = addnorm.layer_norm(x, 16, return_statistics=True)
    _, want_mean, want_rstd = torch.native_layer_norm(x.double(), (16,), None, None, 1e-5)
    assert torch.equal(mean, want_mean.squeeze(-1).float()) and mean.shape == rstd.shape == (4, 5)
    torch.testing.assert_close(rstd, want_rstd.squeeze(-1).float(), rtol=3e-7, atol=0)
    assert len(addnorm.rms_norm(x, (5, 16), return_statistics=True)) == 2
    assert len(addnorm.add_layer_norm(x, x, prenorm=True, return_statistics=True)) == 4
    assert len(addnorm.add_rms_norm(x.requires_grad_(), x, return_statistics=True)) == 2


def test_modules():
    norm = addnorm.DropoutAddLayerNorm(8, True, 0.5, 1e-6, True, device="cpu", dtype=torch.bfloat16)
    assert norm.weight.dtype == norm.bias.dtype == torch.bfloat16 and (norm.p, norm.eps, norm.epsilon) == (0.5, 1e-6, 1e-6)
    x = torch.randn(3, 8, dtype=torch.bfloat16)
    y, pre, mask = norm(x, rowscale=torch.ones(3), layerscale=torch.ones(8), return_dropout_mask=True)
    assert pre.dtype == torch.float32 and not mask.all()
    y, pre = norm.eval()(x)
    assert torch.equal(pre, x.float())
    rms = addnorm.DropoutAddRMSNorm(8)
    assert rms.bias is None and list(rms.state_dict()) == ["weight"] and list(norm.state_dict()) == ["weight", "bias"]
    assert repr(rms) == "DropoutAddRMSNorm(8, prenorm=False, p=0.0, eps=1e-05, residual_in_fp32=False)"
    with torch.no_grad():
        norm.weight.normal_(), norm.bias.normal_()
    twin = copy.deepcopy(norm)
    other = addnorm.DropoutAddLayerNorm(8, prenorm=True, dtype=torch.bfloat16)
    other.load_state_dict(norm.state_dict())
    other.eps = norm.eps
    y = norm(x)[0]
    for module in (twin.eval(), other.eval()):
        assert torch.equal(module(x)[0], y)
    norm.reset_parameters()
    assert torch.equal(norm.weight, torch.ones(8, dtype=torch.bfloat16)) and not norm.bias.any()


def test_arguments_are_never_changed_or_returned():
    torch.manual_seed(0)
    tensors = [torch.randn(s) for s in ((4, 16), (4, 16), (16,), (16,), (4,), (16,))]
    copies = [t.clone() for t in tensors]
    leaves = [t.requires_grad_() for t in tensors]
    results = addnorm.dropout_add_layer_norm(*leaves[:4], 0.3, 1e-5, *leaves[4:], prenorm=True, return_dropout_mask=True)
    gradients = torch.autograd.grad((results[0] + results[1]).sum(), leaves)
    assert all(torch.equal(t, c) for t, c in zip(tensors, copies, strict=True))
    memory = {t.untyped_storage().data_ptr() for t in tensors}
    assert memory.isdisjoint(t.untyped_storage().data_ptr() for t in (*results, *gradients))
    assert all(r.is_contiguous() for r in (*results, *gradients))


def test_saved_inputs_may_not_be_changed_before_the_backward():
    x = torch.randn(4, 8, requires_grad=True) * 1
    y = addnorm.layer_norm(x, 8)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


LAYOUTS = {
    "row stride": lambda t: torch.cat([t, t], -1)[..., : t.shape[-1]],
    "unaligned": lambda t: torch.cat([t.new_zeros(1), t.flatten()])[1:].view(t.shape),
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "columns apart": lambda t: torch.stack([t, t], -1)[..., 0],
    "batch permuted": lambda t: t.transpose(0, 1).contiguous().transpose(0, 1),
    "every second row": lambda t: torch.stack([t, t], 1).flatten(0, 1)[::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_bits_of_contiguous_tensors(layout):
    torch.manual_seed(0)
    view = LAYOUTS[layout]
    x0, residual, dy = (torch.randn(4, 3, 24) for _ in range(3))
    weight, bias, layerscale = torch.randn(3, 24).unbind()
    rowscale = torch.rand(4, 3)
    results = []
    for change in (lambda t: t, view):
        leaves = [change(x0).detach().requires_grad_(), change(residual).detach().requires_grad_()]
        # Vectors and row scales that are not contiguous either.
        vectors = [torch.stack([v, v], -1)[:, 0] if change is view else v for v in (weight, bias, layerscale)]
        vectors = [v.detach().requires_grad_() for v in vectors]
        row = (torch.stack([rowscale, rowscale], -1)[..., 0] if change is view else rowscale).detach().requires_grad_()
        y, pre = addnorm.dropout_add_layer_norm(*leaves, *vectors[:2], 0.3, 1e-5, row, vectors[2], prenorm=True, seed=2)
        gradients = torch.autograd.grad(y, [*leaves, *vectors, row], change(dy))
        results.append((y, pre, *gradients))
    for want, got in zip(*results, strict=True):
        assert torch.equal(got, want) and got.is_contiguous()


def test_expanded_operands():
    x, row = torch.randn(5, 8, requires_grad=True), torch.randn(1, 8)
    y = addnorm.add_layer_norm(x, row.expand(5, 8), torch.ones(1).expand(8))
    assert torch.equal(y, addnorm.add_layer_norm(x, row.repeat(5, 1), torch.ones(8)))
    y.sum().backward()  # the gradient of sum() is an expanded scalar
    assert x.grad.shape == (5, 8)


@pytest.mark.parametrize("shape", [(0, 8), (3, 0, 8), (3, 0), (0, 0), (2, 3, 0)])
@pytest.mark.parametrize("is_rms", [False, True])
def test_empty_tensors(shape, is_rms):
    """No rows: column gradients are 0. No columns: nothing to normalise, statistics are NaN."""
    function = addnorm.dropout_add_rms_norm if is_rms else addnorm.dropout_add_layer_norm
    x0, residual = torch.randn(shape, requires_grad=True), torch.randn(shape, requires_grad=True)
    weight, bias, layerscale = (torch.randn(shape[-1], requires_grad=True) for _ in range(3))
    rowscale = torch.randn(shape[:-1], requires_grad=True)
    for p in (0.0, 0.5):
        y, pre, mask = function(x0, residual, weight, bias, p, 1e-5, rowscale, layerscale, True, False, True)
        assert y.shape == pre.shape == mask.shape == shape
        inputs = (x0, residual, weight, bias, rowscale, layerscale)
        for tensor, gradient in zip(inputs, torch.autograd.grad(y.sum() + pre.sum(), inputs), strict=True):
            assert gradient.shape == tensor.shape and not gradient.any()
    if not is_rms and shape[-1] == 0:
        _, mean, rstd = addnorm.layer_norm(x0, shape[-1], return_statistics=True)
        assert mean.isnan().all() and rstd.isnan().all() and mean.shape == shape[:-1]


def test_one_dimension_is_one_row():
    x = torch.randn(8)
    assert torch.equal(addnorm.layer_norm(x, 8), addnorm.layer_norm(x[None], 8)[0])
    _, mean, _ = addnorm.layer_norm(x, 8, return_statistics=True)
    assert mean.shape == ()


# ---- torch's own tools -----------------------------------------------------------------------------------------------


def test_inference_mode_gives_the_same_bits():
    x, weight = torch.randn(5, 16), torch.randn(16, requires_grad=True)
    want = addnorm.layer_norm(x, 16, weight)
    with torch.inference_mode():
        assert torch.equal(addnorm.layer_norm(x, 16, weight), want) and torch.equal(addnorm.layer_norm(x.clone(), 16, weight), want)
    with torch.no_grad():
        assert torch.equal(addnorm.layer_norm(x, 16, weight), want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    """The result has x0's type; a 16-bit x0 from an autocast matmul meets float32 weights without a cast."""
    norm, linear = addnorm.DropoutAddLayerNorm(16, prenorm=True), torch.nn.Linear(16, 16)
    x = torch.randn(4, 16)
    with torch.autocast("cpu", dtype):
        half = linear(x)
        y, pre = norm(half, x)
        full = norm(x)[0]
    assert (half.dtype, y.dtype, pre.dtype, full.dtype) == (dtype, dtype, torch.float32, torch.float32)
    assert torch.equal(y, norm(half, x)[0])
    y.float().square().sum().backward()
    assert linear.weight.grad.dtype == torch.float32 and norm.weight.grad.dtype == torch.float32


def test_thread_counts_give_the_same_bits():
    torch.manual_seed(0)
    x0, residual, dy = (torch.randn(1500, 768) for _ in range(3))
    weight, bias = torch.randn(768), torch.randn(768)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            leaves = [t.clone().requires_grad_() for t in (x0, residual, weight, bias)]
            y, mask = addnorm.dropout_add_layer_norm(*leaves, 0.2, 1e-5, return_dropout_mask=True, seed=1)
            results.append((y, mask, *torch.autograd.grad(y, leaves, dy)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_calls_from_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    x = torch.randn(300, 256)
    want = addnorm.layer_norm(x, 256)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(y, want) for y in pool.map(lambda _: addnorm.layer_norm(x, 256), range(40)))


def test_batch_split_gives_the_same_rows():
    x, weight = torch.randn(70, 100), torch.randn(100)
    whole = addnorm.add_rms_norm(x, x, weight)
    for rows in (1, 7, 64):
        assert torch.equal(torch.cat([addnorm.add_rms_norm(part, part, weight) for part in x.split(rows)]), whole)


def test_two_ranks_of_ddp():
    """Each rank sees half of the batch; the averaged gradients are those of the whole."""
    script = Path(__file__).parent / "ddp_ranks.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- The package -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [functional, nn, parallel])
def test_examples_in_the_documentation(module):
    result = doctest.testmod(module, extraglobs={"torch": torch, "addnorm": addnorm})
    assert result.failed == 0 and result.attempted > 0


def test_everything_public_has_an_example():
    for public in PUBLIC:
        if not (isinstance(public, type) and issubclass(public, Exception)):
            assert ">>> " in public.__doc__, public.__name__


def test_command_line(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["version"] == addnorm.__version__ and facts["target"] in facts["targets"] and facts["torch"] == torch.__version__
    assert main(["selftest"]) == 0
    assert capsys.readouterr().out.endswith("selftest passed\n")
    with pytest.raises(SystemExit) as stop:
        main(["no-such-command"])
    assert stop.value.code == 2 and "no-such-command" in capsys.readouterr().err
    done = subprocess.run([sys.executable, "-m", "addnorm", "info"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and addnorm.__version__ in done.stdout


def run_code(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_every_target_gives_the_same_bits():
    code = (
        "import hashlib, torch, addnorm; torch.manual_seed(0); x = torch.randn(9, 777, requires_grad=True); "
        "y = addnorm.dropout_add_layer_norm(x, None, None, None, 0.3, 1e-5); y.backward(torch.randn(9, 777)); "
        "print(hashlib.sha256(y.detach().numpy().tobytes() + x.grad.numpy().tobytes()).hexdigest())"
    )
    targets = build_info()["targets"].split(",")
    runs = [run_code(code, ADDNORM_TARGET=target) for target in targets]
    assert all(run.returncode == 0 for run in runs), [run.stderr for run in runs]
    assert len({run.stdout for run in runs}) == 1
    unknown = run_code(code, ADDNORM_TARGET="NO_SUCH")
    assert unknown.returncode != 0 and "NO_SUCH" in unknown.stderr and targets[0] in unknown.stderr


def test_no_global_effects():
    """Importing addnorm changes no function or module of torch's."""
    done = run_code(
        "import sys, torch; before = dict(vars(torch.nn.functional)); import addnorm; "
        "assert all(vars(torch.nn.functional)[name] is value for name, value in before.items()); "
        "assert not {'torch_npu', 'ascendspeed', 'mindspeed'} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_repeated_runs_give_the_same_bits():
    x, weight, bias = torch.randn(257, 300), torch.randn(300), torch.randn(300)
    runs = []
    for _ in range(20):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = addnorm.layer_norm(leaves[0], 300, *leaves[1:])
        runs.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for other in itertools.islice(runs, 1, None):
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_returned_statistics_and_a_rounded_sum():
    """With statistics returned, the backward of a 16-bit sum sees the h that they belong to, eager or compiled."""

    def gradient(call):
        x = (torch.randn(4, 64, generator=torch.Generator().manual_seed(1)) + 20).bfloat16().requires_grad_()
        y = call(x, (torch.arange(256).reshape(4, 64) % 7).bfloat16())
        y.backward(torch.linspace(-1, 1, 256).reshape(4, 64).bfloat16())
        return x.grad

    def first(x, residual):
        return addnorm.add_layer_norm(x, residual, return_statistics=True)[0]

    assert torch.equal(gradient(first), gradient(torch.compile(first, backend="aot_eager", fullgraph=True)))
