# SPDX-License-Identifier: Apache-2.0
"""The operators as torch sees them: opcheck, torch.compile, functorch, meta tensors, double backward."""

import itertools

import addnorm
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.func import functional_call, grad, vmap

OPS = torch.ops.addnorm


def tensors(*shapes, dtype=torch.float32, requires_grad=False):
    return [torch.randn(shape, dtype=dtype, requires_grad=requires_grad) for shape in shapes]


def forward_samples():
    seed = torch.tensor([1, 2])
    for dtype, residual_dtype in ((torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        x0, w, b, rowscale, layerscale = tensors((2, 3, 8), (8,), (8,), (2, 3), (8,), dtype=dtype, requires_grad=True)
        (residual,) = tensors((2, 3, 8), dtype=residual_dtype, requires_grad=True)
        yield (x0, residual, w, b, 1e-5)
        yield (x0, None, None, None, 1e-5, True, False, True)
        yield (x0, residual, w, b, 1e-5, False, True, True, rowscale, layerscale, seed, 0.4, True)
        yield (x0, residual, w, None, 1e-6, True, True, False, None, None, seed, 0.4, True, False, True)
        yield (x0, None, None, None, 1e-5, False, True, True, None, None, None, 0.0, False, True, False, 2)
    yield (torch.randn(0, 8), None, torch.randn(8), None, 1e-5, False, True, True)


def backward_samples():
    for sample in forward_samples():
        full = (*sample, *(False, False, False, None, None, None, 0.0, False, False, False, 1)[len(sample) - 5 :])
        x0, residual, w, b, eps, is_rms, _, _, rowscale, layerscale, seed, p, _, in_fp32, rounded, rank = full
        y, prenorm, _, stats = OPS.forward(x0, residual, w, b, eps, is_rms, True, True, *full[8:])
        dy, dprenorm = torch.randn_like(y), torch.randn_like(prenorm)
        mask = [True, residual is not None, w is not None, b is not None, rowscale is not None, layerscale is not None]
        tail = (rowscale, layerscale, seed, p, in_fp32, rounded, rank)
        detached = [None if t is None else t.detach() for t in (dy, dprenorm, prenorm, stats, w, b)]
        yield (*detached, eps, mask, is_rms, x0.detach(), None, *(t.detach() if isinstance(t, torch.Tensor) else t for t in tail))
        yield (*detached[:2], None, None, *detached[4:], eps, mask, is_rms, x0.detach(), None if residual is None else residual.detach(),
               *(t.detach() if isinstance(t, torch.Tensor) else t for t in tail))  # fmt: skip
        yield (
            detached[0],
            None,
            detached[2],
            None,
            None,
            None,
            eps,
            [True] + [False] * 5,
            is_rms,
            None,
            None,
            None,
            None,
            None,
            0.0,
            False,
            False,
            rank,
        )


@pytest.mark.parametrize("name", ["forward", "dropout_add_norm"])
def test_opcheck_forward(name):
    # Derivatives are for dropout_add_norm alone, so `forward` is checked without.
    for sample in forward_samples():
        if name == "forward":
            sample = tuple(t.detach() if isinstance(t, torch.Tensor) else t for t in sample)
        torch.library.opcheck(getattr(OPS, name).default, sample)


@pytest.mark.parametrize("name", ["backward", "dropout_add_norm_backward"])
def test_opcheck_backward(name):
    for sample in backward_samples():
        torch.library.opcheck(getattr(OPS, name).default, sample)


def test_opcheck_gradients():
    dy, x1, x2, gamma, dsum = tensors((2, 3, 8), (2, 3, 8), (2, 3, 8), (8,), (2, 3, 8))
    mean, rstd = torch.randn(2, 3), torch.rand(2, 3)
    for sample in (
        (dy, x1, x2, rstd, mean),
        (dy, x1, x2, rstd, mean, gamma, dsum),
        (dy.bfloat16(), x1, x2, rstd, mean, gamma.half(), dsum, 1, True),
    ):
        torch.library.opcheck(OPS.add_layer_norm_grad.default, sample)
    for mask in itertools.product((False, True), repeat=3):
        torch.library.opcheck(OPS.layer_norm_backward.default, (dy, x1, 1, mean, rstd, gamma, gamma.half(), list(mask)))
    torch.library.opcheck(OPS.layer_norm_backward.default, (dy, x1, 2, mean[:, 0], rstd[:, 0]))
    # test_aot_dispatch_dynamic cannot compare strings.
    torch.library.opcheck(OPS.build_info.default, (), test_utils=("test_schema", "test_autograd_registration", "test_faketensor"))


@pytest.fixture
def one_rank():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_opcheck_parallel(one_rank):
    x1, x2, residual, gamma, bias = tensors((2, 3, 8), (8, 4), (2, 3, 4), (4,), (4,))
    tail = (1e-6, bias, None, None, None, 0, 0, 0, 0, False, False, 30.0)
    torch.library.opcheck(OPS.matmul_all_reduce_add_rms_norm.default, (x1, x2, residual.bfloat16(), gamma, "", *tail))
    torch.library.opcheck(OPS.all_reduce_add_rms_norm.default, (residual, residual, gamma, "", 1e-6, 0, False, 30.0))


def test_every_operator_is_checked():
    """An operator that is added must be added above, too."""
    names = {name.removeprefix("addnorm::").split(".")[0] for name in torch._C._dispatch_get_all_op_names() if name.startswith("addnorm::")}
    assert names == {
        "forward",
        "backward",
        "dropout_add_norm",
        "dropout_add_norm_backward",
        "add_layer_norm_grad",
        "layer_norm_backward",
        "build_info",
        "matmul_all_reduce_add_rms_norm",
        "all_reduce_add_rms_norm",
    }


# ---- torch.compile ---------------------------------------------------------------------------------------------------


def block(x, residual, weight, bias, layerscale):
    y, residual = addnorm.dropout_add_layer_norm(x, residual, weight, bias, 0.25, 1e-5, None, layerscale, prenorm=True, seed=(5, 6))
    z = addnorm.add_rms_norm(torch.relu(y), residual, weight)
    z = addnorm.layer_norm(z, z.shape[-1], weight, bias) + addnorm.rms_norm(y, y.shape[-1])
    return addnorm.dropout_add_rms_norm(z, None, weight, None, 0.0, 1e-5, save="inputs")


def losses(function, args):
    args = [a.detach().clone().requires_grad_() for a in args]
    y = function(*args)
    y.square().sum().backward()
    return y.detach(), [a.grad for a in args]


@pytest.mark.parametrize(
    "dtype, residual_dtype", [(torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.bfloat16, torch.bfloat16)]
)
def test_compile_gives_the_bits_of_eager(dtype, residual_dtype):
    """fullgraph = no graph break. backend aot_eager runs the same kernels, so results are the same bits."""
    torch._dynamo.reset()
    args = tensors((4, 6, 16), (4, 6, 16), (16,), (16,), (16,), dtype=dtype)
    args[1] = args[1].to(residual_dtype)
    y, grads = losses(torch.compile(block, fullgraph=True, backend="aot_eager"), args)
    want, want_grads = losses(block, args)
    assert torch.equal(y, want)
    for got, expected in zip(grads, want_grads, strict=True):
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected)


def test_compile_with_inductor():
    torch._dynamo.reset()
    args = tensors((4, 6, 16), (4, 6, 16), (16,), (16,), (16,))
    y, grads = losses(torch.compile(block, fullgraph=True), args)
    want, want_grads = losses(block, args)
    torch.testing.assert_close(y, want)
    for got, expected in zip(grads, want_grads, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_recompiles_as_little_as_it_can(dynamic):
    """Three shapes: one graph each if static, one for all if dynamic."""
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(block, fullgraph=True, dynamic=dynamic, backend=counter)
    weight = tensors((16,), (16,), (16,))
    for rows in (4, 7, 9, 4, 7, 9):
        args = (*tensors((rows, 6, 16), (rows, 6, 16)), *weight)
        assert torch.equal(compiled(*args), block(*args))
    assert counter.frame_count == (1 if dynamic else 3)


def test_compile_draws_its_own_masks():
    """Without a seed each call drops other elements, in eager and compiled code alike."""
    torch._dynamo.reset()
    x = torch.ones(64, 64)

    def keep():
        return addnorm.dropout_add_rms_norm(x, None, None, None, 0.5, 1e-5, return_dropout_mask=True)[1]

    compiled = torch.compile(keep, fullgraph=True, backend="aot_eager")
    first, second = compiled(), compiled()
    assert not torch.equal(first, second) and 0.4 < first.float().mean() < 0.6


def test_compile_the_gradient_operators():
    torch._dynamo.reset()
    dy, x1, x2, gamma = tensors((3, 8), (3, 8), (3, 8), (8,))
    mean, rstd = torch.randn(3), torch.rand(3)

    def call():
        return (*addnorm.add_layer_norm_grad(dy, x1, x2, rstd, mean, gamma), *addnorm.layer_norm_backward(dy, x1, 8, mean, rstd, gamma))

    for got, want in zip(torch.compile(call, fullgraph=True, backend="aot_eager")(), call(), strict=True):
        assert torch.equal(got, want)


def test_compile_the_modules_in_training():
    torch._dynamo.reset()
    norm = addnorm.DropoutAddLayerNorm(16, prenorm=True, p=0.5)
    compiled = torch.compile(norm, fullgraph=True, backend="aot_eager")
    x, residual = tensors((5, 16), (5, 16))
    for module in (norm.train(), norm.eval()):
        for got, want in zip(compiled(x, residual, seed=torch.tensor([3, 4])), module(x, residual, seed=(3, 4)), strict=True):
            assert torch.equal(got, want)


def test_export():
    x, residual = tensors((5, 16), (5, 16))
    norm = addnorm.DropoutAddRMSNorm(16, prenorm=True).eval()
    program = torch.export.export(norm, (x, residual), dynamic_shapes=({0: torch.export.Dim("rows")}, {0: torch.export.Dim("rows")}))
    more = tensors((9, 16), (9, 16))
    for got, want in zip(program.module()(*more), norm(*more), strict=True):
        assert torch.equal(got, want)


def test_meta_tensors_give_shapes_and_types():
    x, residual = torch.empty(2, 3, 8, device="meta", dtype=torch.bfloat16), torch.empty(2, 3, 8, device="meta")
    y, prenorm, mask = addnorm.dropout_add_layer_norm(x, residual, None, None, 0.5, 1e-5, prenorm=True, return_dropout_mask=True)
    assert (y.shape, y.dtype, y.device.type) == ((2, 3, 8), torch.bfloat16, "meta")
    assert (prenorm.dtype, mask.dtype) == (torch.float32, torch.bool)


# ---- functorch -------------------------------------------------------------------------------------------------------


def per_sample(function, args, in_dims):
    """vmap by hand."""
    samples = []
    for i in range(3):
        samples.append(function(*(a if dim is None else a.select(dim, i) for a, dim in zip(args, in_dims, strict=True))))
    return [torch.stack(column) for column in zip(*samples, strict=True)]


@pytest.mark.parametrize("in_dims", [(0, 0, None, None), (1, None, None, None), (0, 0, 0, None), (None, 2, None, 0)])
@pytest.mark.parametrize("p, is_rms", [(0.0, False), (0.0, True), (0.5, False), (1.0, True)])
def test_vmap_is_a_loop(in_dims, p, is_rms):
    """Values and all gradients of each sample are the same bits as one call per sample gives, dropout included."""
    torch.manual_seed(0)
    function = addnorm.dropout_add_rms_norm if is_rms else addnorm.dropout_add_layer_norm
    shapes = {None: (4, 8), 0: (3, 4, 8), 1: (4, 3, 8), 2: (4, 8, 3)}
    vectors = {None: (8,), 0: (3, 8)}
    args = tensors(shapes[in_dims[0]], shapes[in_dims[1]], vectors[in_dims[2]], vectors[in_dims[3]])
    g = torch.randn(4, 8)

    def call(x0, residual, weight, bias):
        return function(x0, residual, weight, bias, p, 1e-5, prenorm=True, return_dropout_mask=True, seed=9)

    def loss(*args):
        y, total, _ = call(*args)
        return ((y + total) * g).sum()

    for got, want in zip(vmap(call, in_dims)(*args), per_sample(call, args, in_dims), strict=True):
        assert torch.equal(got, want)
    gradient = grad(loss, argnums=(0, 1, 2, 3))
    for got, want in zip(vmap(gradient, in_dims)(*args), per_sample(gradient, args, in_dims), strict=True):
        assert torch.equal(got, want)
    outer = grad(lambda *a: vmap(call, in_dims)(*a)[0].square().sum())(*args)
    eager = [a.clone().requires_grad_() for a in args]
    per_sample(lambda *a: call(*a)[:1], eager, in_dims)[0].square().sum().backward()
    torch.testing.assert_close(outer, eager[0].grad)


def test_vmap_over_the_module_gives_per_sample_gradients():
    norm = addnorm.DropoutAddLayerNorm(8)
    parameters = dict(norm.named_parameters())
    x = torch.randn(3, 5, 8)
    got = vmap(grad(lambda params, x: functional_call(norm, params, (x,)).square().sum()), (None, 0))(parameters, x)
    for i in range(3):
        norm.zero_grad()
        norm(x[i]).square().sum().backward()
        for name, parameter in norm.named_parameters():
            torch.testing.assert_close(got[name][i], parameter.grad)


def test_vmap_of_the_gradient_operators():
    dy, x = tensors((3, 4, 8), (3, 4, 8))
    mean, rstd = torch.randn(4), torch.rand(4)

    def call(dy, x):
        return (*addnorm.layer_norm_backward(dy, x, 8, mean, rstd), *addnorm.add_layer_norm_grad(dy, x, x, rstd, mean))

    for got, want in zip(vmap(call)(dy, x), per_sample(call, (dy, x), (0, 0)), strict=True):
        assert torch.equal(got, want)


def test_vmap_needs_an_explicit_seed():
    def call(x):
        return addnorm.dropout_add_layer_norm(x, None, None, None, 0.5, 1e-5)

    with pytest.raises(ValueError, match="argument 'seed' is None, expected an explicit seed, as no key can be drawn under vmap"):
        vmap(call)(torch.randn(3, 4, 8))
    assert grad(lambda x: call(x).sum())(torch.randn(4, 8)).shape == (4, 8)  # grad alone may draw
    seeds = torch.arange(6).reshape(3, 2)
    masks = vmap(
        lambda s: addnorm.dropout_add_rms_norm(torch.ones(4, 64), None, None, None, 0.5, 0.0, return_dropout_mask=True, seed=s)[1]
    )(seeds)
    assert not torch.equal(masks[0], masks[1])


def test_no_double_backward():
    """Asking for a second derivative is an error, never a silent zero; create_graph alone is not."""
    x, weight = torch.randn(3, 8, requires_grad=True), torch.randn(8, requires_grad=True)
    for function in (
        lambda: addnorm.layer_norm(x, 8, weight),
        lambda: addnorm.dropout_add_layer_norm(x, None, weight, None, 0.5, 1e-5, seed=1),
        lambda: OPS.dropout_add_norm(x, None, weight, None, 1e-5)[0],
    ):
        (first,) = torch.autograd.grad(function().square().sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match="double backward"):
            first.sum().backward()
    mean, rstd = torch.zeros(3), torch.ones(3)
    for dx in (addnorm.layer_norm_backward(x, x, 8, mean, rstd)[0], addnorm.add_layer_norm_grad(x, x, x, rstd, mean)[0]):
        with pytest.raises(NotImplementedError, match="double backward"):
            dx.sum().backward()
    with pytest.raises(NotImplementedError, match="double backward"):
        grad(lambda x: grad(lambda x: addnorm.layer_norm(x, 8).square().sum())(x).sum())(x.detach())
