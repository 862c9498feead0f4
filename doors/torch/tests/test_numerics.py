# SPDX-License-Identifier: Apache-2.0
"""Values, types and gradients of the torch door against float64, within the contract's bounds; gradcheck."""

import itertools

import addnorm
import norm_reference as reference
import pytest
import torch

F32, F16, BF16, F64 = torch.float32, torch.float16, torch.bfloat16, torch.float64
MIXTURES = [
    *itertools.product((F32, F16, BF16), (None, F32, F16, BF16), (None, F32, F16, BF16)),
    (F64, F64, F64),
    (F64, None, F64),
    (F64, F64, None),
]


def make_case(shape, dtype, residual, weight, *, scales=False, p=0.0, is_rms=False, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(size, kind):
        return None if kind is None else torch.randn(size, generator=generator, dtype=F64).to(kind).requires_grad_()

    return reference.Case(
        draw(shape, dtype), draw(shape, residual), draw(shape[-1:], weight), draw(shape[-1:], weight),
        draw(shape[:-1], dtype) if scales else None, draw(shape[-1:], dtype) if scales else None, p=p, is_rms=is_rms,
    )  # fmt: skip


def run(case, **options):
    function = addnorm.dropout_add_rms_norm if case.is_rms else addnorm.dropout_add_layer_norm
    x0, residual, weight, bias, rowscale, layerscale = case.operands()
    y, prenorm, case.mask = function(
        x0, residual, weight, bias, case.p, case.eps, rowscale, layerscale, prenorm=True, return_dropout_mask=True, seed=(3, 5), **options
    )
    return y, prenorm


def check_case(case, **options):
    y, prenorm = run(case, **options)
    x0, residual = case.x0, case.residual
    sum_dtype = residual.dtype if residual is not None else F32 if options.get("residual_in_fp32") and x0.dtype != F64 else x0.dtype
    assert (y.dtype, prenorm.dtype, case.mask.dtype) == (x0.dtype, sum_dtype, torch.bool)
    h = reference.prenorm(case)
    magnitude = h.abs() + (x0.detach().double() * reference.kept_scale(case)).abs()
    reference.check("prenorm", prenorm, h, magnitude, 5, x0.shape)
    if options.get("norm_from_rounded"):
        h = prenorm.detach().double()
    reference.check("y", y, reference.norm(case, h), reference.y_terms(case, h), 5, x0.shape)

    generator = torch.Generator().manual_seed(1)
    dy, dprenorm = (torch.randn(x0.shape, generator=generator, dtype=F64).to(t.dtype) for t in (y, prenorm))
    present = [t for t in case.operands() if t is not None]
    grads = iter(torch.autograd.grad((y, prenorm), present, (dy, dprenorm)))
    plain = residual is None and case.p == 0 and case.rowscale is None
    if options.get("save") != "inputs" and not plain:
        h = prenorm.detach().double()  # the gradient is that of the sum as it was saved
    values, terms = reference.gradients(case, h, dy, dprenorm)
    names = ("dx0", "dresidual", "dweight", "dbias", "drowscale", "dlayerscale")
    for name, operand, value, term in zip(names, case.operands(), values, terms, strict=True):
        if operand is not None:
            grad = next(grads)
            assert grad.dtype == operand.dtype, name
            reference.check(name, grad, value, term, 6 if name in ("dx0", "dresidual") else 16, operand.shape)


@pytest.mark.parametrize("is_rms", [False, True], ids=["layer", "rms"])
@pytest.mark.parametrize("save", ["prenorm", "inputs"])
def test_every_mixture_of_types(is_rms, save):
    """The cross product of the 16- and 32-bit types for x0, residual and weight, the rows of spec 000 among them, and float64."""
    for number, (dtype, residual, weight) in enumerate(MIXTURES):
        for options in ({}, {"scales": True, "p": 0.37}):
            case = make_case((3, 5, 33), dtype, residual, weight, is_rms=is_rms, seed=number, **options)
            check_case(case, save=save)


@pytest.mark.parametrize(
    "options", [{"norm_from_rounded": True}, {"residual_in_fp32": True}, {"norm_from_rounded": True, "save": "inputs"}]
)
@pytest.mark.parametrize("dtype, residual", [(BF16, BF16), (F16, None), (BF16, F32), (F32, BF16), (F64, None)])
def test_options(options, dtype, residual):
    for is_rms, p in itertools.product((False, True), (0.0, 0.2)):
        check_case(make_case((4, 65), dtype, residual, dtype, p=p, is_rms=is_rms), **options)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 64), (7, 3), (130, 17), (2, 3, 1000), (4, 4096)])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_shapes(shape, p):
    for is_rms in (False, True):
        check_case(make_case(shape, F32, F32, F32, p=p, is_rms=is_rms))


def test_bfloat16_is_rounded_once():
    """Not one result of a bf16 norm differs from the float64 result rounded once, but for those within float32's error of a tie."""
    torch.manual_seed(0)
    x0, residual, weight, bias = (torch.randn(s, dtype=BF16) for s in ((64, 1024), (64, 1024), (1024,), (1024,)))
    y = addnorm.add_layer_norm(x0, residual, weight, bias)
    case = reference.Case(x0, residual, weight, bias)
    want = reference.norm(case, reference.prenorm(case))
    assert (y != want.to(BF16)).float().mean() < 1e-4


@pytest.mark.parametrize("is_rms", [False, True], ids=["layer", "rms"])
@pytest.mark.parametrize("save", ["prenorm", "inputs"])
def test_gradcheck(is_rms, save):
    """Every gradient in float64, with dropout under a fixed seed, through both outputs."""
    case = make_case((2, 3, 5), F64, F64, F64, scales=True, is_rms=is_rms)
    function = addnorm.dropout_add_rms_norm if is_rms else addnorm.dropout_add_layer_norm

    def call(x0, residual, weight, bias, rowscale, layerscale, p=0.3):
        return function(x0, residual, weight, bias, p, 1e-5, rowscale, layerscale, prenorm=True, seed=11, save=save)

    assert torch.autograd.gradcheck(call, case.operands())
    assert torch.autograd.gradcheck(lambda *tensors: call(*tensors, None, None, p=0.0), case.operands()[:4])
    assert torch.autograd.gradcheck(lambda x0, weight: call(x0, None, weight, None, None, None, p=0.0)[0], (case.x0, case.weight))


def test_gradcheck_of_the_named_operators():
    case = make_case((3, 4, 5), F64, F64, F64)
    x0, residual, weight, bias = case.operands()[:4]
    full = torch.randn(4, 5, dtype=F64, requires_grad=True)
    for call, inputs in (
        (lambda x, w, b: addnorm.layer_norm(x, (4, 5), w, b), (x0, full, full.detach().clone().requires_grad_())),
        (lambda x, w: addnorm.rms_norm(x, 5, w), (x0, weight)),
        (lambda x, r, w, b: addnorm.add_layer_norm(x, r, w, b), (x0, residual, weight, bias)),
        (lambda x, r, w, b: addnorm.add_layer_norm(x, r, w, b, prenorm=True), (x0, residual, weight, bias)),
        (lambda x, r, w: addnorm.add_rms_norm(x, r, w, prenorm=True), (x0, residual, weight)),
        (lambda x: addnorm.add_layer_norm(x, None, prenorm=True), (x0,)),
    ):
        assert torch.autograd.gradcheck(call, inputs)


@pytest.mark.parametrize("dtype", [F32, BF16, F16, F64])
def test_layer_norm_backward_is_the_gradient_of_layer_norm(dtype):
    """Spec 004: several normalised dimensions, all eight output masks, statistics as [A] or with dimensions of size 1."""
    torch.manual_seed(0)
    x, dy = torch.randn(6, 4, 10).to(dtype), torch.randn(6, 4, 10).to(dtype)
    weight, bias = torch.randn(4, 10).to(dtype), torch.randn(4, 10).to(F64 if dtype == F64 else F32)
    _, mean, rstd = addnorm.layer_norm(x, (4, 10), weight, bias, return_statistics=True)
    flat = reference.Case(x.reshape(6, 40), weight=weight.reshape(40))
    values, terms = reference.gradients(flat, x.double().reshape(6, 40), dy.reshape(6, 40))
    for mask in itertools.product((False, True), repeat=3):
        results = addnorm.layer_norm_backward(dy, x, (4, 10), mean.reshape(6, 1, 1), rstd.reshape(6, 1, 1), weight, bias, mask)
        assert [r is not None for r in results] == list(mask)
        for result, i, factor, kind in zip(results, (1, 2, 3), (8, 16, 16), (dtype, dtype, bias.dtype), strict=True):
            if result is not None:
                assert result.dtype == kind
                reference.check(f"output {i}", result.flatten(0 if i > 1 else 1), values[i], terms[i], factor)


@pytest.mark.parametrize("dtype", [F32, BF16, F64])
def test_add_layer_norm_grad_uses_the_statistics_it_is_given(dtype):
    """Spec 002: dsum is added, dgamma and dbeta are float32 unless gamma's type is asked for, statistics are never recomputed."""
    torch.manual_seed(0)
    dy, x1, x2, dsum = (torch.randn(5, 9, 24).to(dtype) for _ in range(4))
    gamma = torch.randn(24).to(dtype)
    mean, rstd = (torch.empty(5, 9, 1, dtype=F64).uniform_(-1, 1).to(F64 if dtype == F64 else F32) for _ in range(2))
    h = x1.double() + x2.double()
    xhat, w = (h - mean.double()) * rstd.double(), dy.double() * gamma.double()
    want = rstd.double() * (w - w.mean(-1, keepdim=True) - xhat * (w * xhat).mean(-1, keepdim=True)) + dsum.double()
    terms = (w.abs() + (1 + xhat.abs()) * (w.abs() * (1 + xhat.abs())).mean(-1, keepdim=True)) + dsum.double().abs()
    for shaped in ((rstd, mean), (rstd[..., 0], mean[..., 0])):
        dx, dgamma, dbeta = addnorm.add_layer_norm_grad(dy, x1, x2, *shaped, gamma, dsum)
        reference.check("dx", dx, want, terms, 8, dy.shape)
        assert dx.dtype == dtype and dgamma.dtype == dbeta.dtype == (F64 if dtype == F64 else F32)
        reference.check("dgamma", dgamma, (dy.double() * xhat).sum((0, 1)), (dy.double() * xhat).abs().sum((0, 1)) + 1, 16)
        reference.check("dbeta", dbeta, dy.double().sum((0, 1)), dy.double().abs().sum((0, 1)), 16)
    assert addnorm.add_layer_norm_grad(dy, x1, x2, rstd, mean, gamma, in_gamma_dtype=True)[1].dtype == dtype
    assert addnorm.add_layer_norm_grad(dy, x1, x2, rstd, mean)[1].shape == (24,)


def test_add_layer_norm_grad_is_the_gradient_of_add_layer_norm():
    torch.manual_seed(0)
    x1, x2, dy = (torch.randn(7, 30, dtype=F64) for _ in range(3))
    gamma, beta = (torch.randn(30, dtype=F64, requires_grad=True) for _ in range(2))
    x1.requires_grad_()
    y, mean, rstd = addnorm.add_layer_norm(x1, x2, gamma, beta, return_statistics=True)
    want = torch.autograd.grad(y, (x1, gamma, beta), dy)
    got = addnorm.add_layer_norm_grad(dy, x1.detach(), x2, rstd, mean, gamma.detach())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("is_rms", [False, True], ids=["layer", "rms"])
def test_the_short_way_gives_the_bits_of_the_long_way(is_rms):
    """Calls without dropout, scales and options go a shorter way (AddNorm); asking for the mask forces the long one (Norm)."""
    function = addnorm.dropout_add_rms_norm if is_rms else addnorm.dropout_add_layer_norm
    for (dtype, residual, weight), prenorm in itertools.product(MIXTURES, (False, True)):
        results = []
        for mask in (False, True):
            leaves = list(make_case((3, 5, 33), dtype, residual, weight).operands()[:4])
            if leaves[3] is not None and dtype != F64:  # a bias of another type than weight
                leaves[3] = leaves[3].detach().to(F32 if weight != F32 else F16).requires_grad_()
            outputs = function(*leaves, 0.0, 1e-5, prenorm=prenorm, return_dropout_mask=mask)
            outputs = [o for o in (outputs if isinstance(outputs, tuple) else (outputs,)) if o.dtype != torch.bool]
            torch.manual_seed(0)
            present = [t for t in leaves if t is not None]
            gradients = torch.autograd.grad(outputs, present, [torch.randn(o.shape).to(o.dtype) for o in outputs])
            assert [g.dtype for g in gradients] == [t.dtype for t in present]
            results.append((*outputs, *gradients))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True)), (dtype, residual, weight, prenorm)


@pytest.mark.parametrize("save", ["prenorm", "inputs"])
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_only_wanted_gradients_are_computed(save, p):
    """One operand at a time asks for its gradient, and gets the bits that it has among all."""
    shapes = ((4, 6), (4, 6), (6,), (6,), (4,), (6,))
    torch.manual_seed(0)
    tensors = [torch.randn(s, dtype=F64) for s in shapes]
    for count in (4, 6):

        def call(operands, count=count):
            scales = operands[4:] if count == 6 else (None, None)
            return addnorm.dropout_add_layer_norm(*operands[:4], p, 1e-5, *scales, seed=1, save=save).square().sum()

        full = [t.clone().requires_grad_() for t in tensors[:count]]
        call(full).backward()
        for i in range(count):
            some = [t.clone() for t in tensors[:count]]
            some[i].requires_grad_()
            call(some).backward()
            assert [t.grad is not None for t in some] == [j == i for j in range(count)]
            assert torch.equal(some[i].grad, full[i].grad)


def test_gradient_through_the_sum_only():
    """y unused: the gradient arrives through prenorm alone."""
    x0, residual = (torch.randn(3, 8, requires_grad=True) for _ in range(2))
    weight = torch.randn(8, requires_grad=True)
    _, total = addnorm.add_layer_norm(x0, residual, weight, prenorm=True)
    g = torch.randn(3, 8)
    total.backward(g)
    assert torch.equal(x0.grad, g) and torch.equal(residual.grad, g) and not weight.grad.any()
