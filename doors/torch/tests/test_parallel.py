# SPDX-License-Identifier: Apache-2.0
"""The tensor-parallel operators over processes: values against float64, and the same bits on every rank and transport."""

import addnorm
import parallel_cases
import pytest
import torch
import torch.distributed as dist
from parallel_cases import CASES, PREPARED, spawn

SIZES = (1, 2, 3, 4)


@pytest.fixture(scope="module", params=SIZES)
def results(request, tmp_path_factory):
    """(size, {transport: [results of each rank]})."""
    found = {}
    for transport, name in (("shm", "shared memory"), ("messages", "messages (gloo)")):
        folder = tmp_path_factory.mktemp(f"ranks{request.param}")
        outcomes = spawn(parallel_cases.run_all, request.param, folder, str(folder), environment={"ADDNORM_TRANSPORT": transport})
        for outcome in outcomes:
            assert outcome.get("returned") == name, outcome
        found[transport] = [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]
    return request.param, found


@pytest.mark.parametrize("name", CASES)
def test_values(results, name):
    size, found = results
    case = CASES[name]
    for rank in range(size if case.per_rank_residual else 1):
        got = dict(zip(("y", "norm_out"), found["shm"][rank][name], strict=True))
        for key, (value, bound) in parallel_cases.reference(case, size, rank).items():
            assert got[key].dtype == case.residual and got[key].shape == value.shape
            worst = ((got[key].double() - value).abs() / bound).max().item()
            assert worst <= 1, f"{key} of rank {rank}: {worst:.3g} of the bound"


def test_bits_are_the_same_everywhere(results):
    """On every rank, over both transports, and with prepared weights."""
    _, found = results
    for name, first in found["shm"][0].items():
        for ranks in found.values():
            for rank, result in enumerate(ranks):
                if name == "own residuals":
                    first = found["shm"][rank][name]
                assert all(map(torch.equal, result[name], first)), (name, rank)
    for name in PREPARED:
        assert all(map(torch.equal, found["shm"][0][f"{name}, prepared"], found["shm"][0][name])), name


def test_partial_sums(results):
    size, found = results
    residual, gamma = parallel_cases._residual_and_gamma()
    partial = sum(rank + 0.5 for rank in range(size))
    y = residual.double() + partial
    rms = (y.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    got_y, got_norm = found["shm"][0]["partial sums"]
    # In units of float32's rounding: one for each addition of y, and the contract's five of 1 + |xhat| for the norm of it.
    unit = 2.0**-24
    off = size * unit * (residual.double().abs() + partial)
    assert ((got_y.double() - y).abs() <= off).all()
    bound = gamma.double().abs() * (5 * unit * (1 + (y / rms).abs()) + off / rms)
    assert ((got_norm.double() - y / rms * gamma).abs() <= bound).all()


# ---- One rank, in this process. --------------------------------------------------------------------------------------


@pytest.fixture
def one_rank():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def arguments(**changed):
    return {"x1": torch.ones(2, 3, 8), "x2": torch.ones(8, 4), "residual": torch.ones(2, 3, 4), "gamma": torch.ones(4)} | changed


def call(**changed):
    return addnorm.matmul_all_reduce_add_rms_norm(**arguments(**changed))


API = "addnorm.matmul_all_reduce_add_rms_norm: argument "
INT8 = {"x1": torch.ones(2, 3, 8, dtype=torch.int8), "x2": torch.ones(8, 4, dtype=torch.int8)}
REFUSED = {
    "no x1": ({"x1": None}, TypeError, "'x1' is of type NoneType, expected a Tensor"),
    "list x2": ({"x2": [1]}, TypeError, "'x2' is of type list, expected a Tensor or prepared weights"),
    "text bias": ({"bias": "none"}, TypeError, "'bias' is of type str, expected a Tensor or None"),
    "meta gamma": ({"gamma": torch.ones(4, device="meta")}, ValueError, "'gamma' is torch.strided on meta, expected torch.strided on cpu"),
    "sparse x1": ({"x1": torch.ones(3, 8).to_sparse()}, ValueError, "'x1' is torch.sparse_coo on cpu, expected torch.strided on cpu"),
    "reduce_op": ({"reduce_op": "max"}, ValueError, "'reduce_op' is 'max', expected 'sum'"),
    "text epsilon": ({"epsilon": "small"}, TypeError, "'epsilon' is of type str, expected a float"),
    "negative epsilon": ({"epsilon": -1e-6}, ValueError, "'epsilon' is -1e-06, expected a finite number >= 0"),
    "float comm_turn": ({"comm_turn": 1.5}, TypeError, "'comm_turn' is of type float, expected an int"),
    "negative comm_turn": ({"comm_turn": -1}, ValueError, "'comm_turn' is -1, expected >= 0"),
    "huge group size": ({"antiquant_group_size": 2**63}, ValueError, f"'antiquant_group_size' is {2**63}, expected a number of 64 bits"),
    "comm_dtype": (
        {"comm_dtype": torch.int8},
        TypeError,
        "'comm_dtype' is torch.int8, expected torch.float32, torch.float16 or torch.bfloat16",
    ),
    "timeout": ({"timeout": 0}, ValueError, "'timeout' is 0 s, expected > 0"),
    "text timeout": ({"timeout": "30"}, TypeError, "'timeout' is of type str, expected seconds, a timedelta or None"),
    "gradient": (
        {"x2": torch.ones(8, 4, requires_grad=True)},
        NotImplementedError,
        "'x2' requires a gradient, but this operator is forward only: it has no gradient. Call it under torch.no_grad(), or with tensors "
        "that require none",
    ),
    "k": ({"x1": torch.ones(2, 3, 7)}, ValueError, "'x1' has shape [2, 3, 7], expected 8 columns, the rows of x2"),
    "k = 0": ({"x1": torch.ones(6, 0), "x2": torch.ones(0, 4)}, ValueError, "'x2' has shape [0, 4], expected k >= 1 rows"),
    "rows": ({"residual": torch.ones(2, 2, 4)}, ValueError, "'residual' has shape [2, 2, 4], expected 6 rows of 4, as x1 @ x2 has"),
    "gamma": ({"gamma": torch.ones(5)}, ValueError, "'gamma' has shape [5], expected [4]"),
    "double x1": ({"x1": torch.ones(6, 8).double()}, TypeError, "'x1' is float64, expected float32, float16, bfloat16 or int8"),
    "bool x1": ({"x1": torch.ones(6, 8).bool()}, TypeError, "'x1' is bool, expected float32, float16, bfloat16 or an integer type"),
    "int8 without scale": (INT8, ValueError, "'dequant_scale' is absent, expected a tensor: x1 and x2 are int8"),
    "float bias of int8": (
        INT8 | {"dequant_scale": torch.ones(1), "bias": torch.ones(4)},
        TypeError,
        "'bias' is float32, expected int32, as x1 is int8",
    ),
    "group": ({"group": 5}, TypeError, "'group' is of type int, expected a ProcessGroup, its name or None"),
    "group name": ({"group": "nobody"}, ValueError, "'group' is 'nobody', expected the name of a process group of this process"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(one_rank, name):
    changed, kind, text = REFUSED[name]
    with pytest.raises(kind) as error:
        call(**changed)
    assert str(error.value) == API + text
    call()  # the group lives on


def test_allowed(one_rank):
    y, norm_out = call()
    assert torch.equal(y, torch.full((2, 3, 4), 9.0)) and torch.allclose(norm_out, torch.ones(2, 3, 4))
    name = dist.distributed_c10d._get_default_group().group_name
    for group in (None, name, dist.group.WORLD):
        assert torch.equal(call(group=group)[0], y)
    with torch.no_grad():
        assert torch.equal(call(x2=torch.ones(8, 4, requires_grad=True))[0], y)
    assert call(residual=torch.ones(6, 4).half())[0].dtype == torch.float16
    assert not y.requires_grad


def test_without_a_process_group():
    with pytest.raises(RuntimeError, match=r"torch.distributed is not initialised, expected torch.distributed.init_process_group"):
        call()


def test_prepared_weights(one_rank):
    weights = addnorm.prepare_weights(torch.ones(8, 4))
    assert weights.shape == (8, 4) and weights.dtype == torch.float32 and weights.nbytes >= 128
    assert repr(weights).startswith("<addnorm weights [8, 4] of torch.float32, ")
    for _ in range(2):
        assert torch.equal(call(x2=weights)[0], call()[0])
    with pytest.raises(ValueError, match="'antiquant_scale' is given, expected none: the weights are prepared"):
        call(x2=weights, antiquant_scale=torch.ones(1))
    with pytest.raises(TypeError, match=r"addnorm.prepare_weights: argument 'x2' is float64, expected float32"):
        addnorm.prepare_weights(torch.ones(8, 4).double())
    with pytest.raises(TypeError, match="argument 'x2' is of type list, expected a Tensor"):
        addnorm.prepare_weights([1.0])


def test_group_ends_its_connection(one_rank):
    ranks = addnorm.distributed.connect()
    assert ranks.transport == "shared memory" and "rank 0" in repr(ranks) and ranks.history()
    with pytest.raises(ValueError, match="is connected already"):
        addnorm.distributed.connect()
    addnorm.distributed.disconnect()
    assert not ranks.close.alive and "closed" in repr(ranks)
    addnorm.distributed.disconnect()  # nothing to do
    assert addnorm.distributed.connect(transport="messages").transport == "messages (gloo)"
    call()
    again = addnorm.distributed.ranks_of("test", None, 1)
    dist.destroy_process_group()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    call()
    assert addnorm.distributed.ranks_of("test", None, 1) is not again


@pytest.mark.parametrize("wrong", ["carrier pigeon"])
def test_transport_by_environment(one_rank, monkeypatch, wrong):
    monkeypatch.setenv("ADDNORM_TRANSPORT", wrong)
    with pytest.raises(ValueError, match=r"ADDNORM_TRANSPORT is 'carrier pigeon' on rank 0, expected 'shm' or 'messages'"):
        call()
    monkeypatch.setenv("ADDNORM_TRANSPORT", "messages")
    call()
    assert addnorm.distributed.ranks_of("test", None, 1).transport == "messages (gloo)"
    monkeypatch.setenv("ADDNORM_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="ADDNORM_TIMEOUT is 'soon', expected seconds"):
        call()


def test_compiled(one_rank):
    """No graph break, the bits of eager, also with a group by name and prepared weights."""
    torch._dynamo.reset()
    given = arguments(x1=torch.randn(2, 3, 8), residual=torch.randn(2, 3, 4))
    weights = addnorm.prepare_weights(given["x2"])

    def block(x1, x2, residual, gamma):
        y, z = addnorm.matmul_all_reduce_add_rms_norm(torch.relu(x1), x2, residual, gamma)
        return addnorm.all_reduce_add_rms_norm(z + y, residual, gamma)

    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    for x2 in (given["x2"], weights):
        inputs = (given["x1"], x2, given["residual"], given["gamma"])
        assert all(map(torch.equal, compiled(*inputs), block(*inputs)))


def test_operator_has_no_gradient(one_rank):
    """Past the function, by the operator itself: an error and no silent zero."""
    x1 = torch.ones(2, 3, 8, requires_grad=True)
    rest = (torch.ones(8, 4), torch.ones(2, 3, 4), torch.ones(4), "", 1e-6, None, None, None, None, 0, 0, 0, 0, False, False, 30.0)
    y, _ = torch.ops.addnorm.matmul_all_reduce_add_rms_norm(x1, *rest)
    with pytest.raises(NotImplementedError, match="forward only"):
        y.sum().backward()


def test_other_threads_run_meanwhile(one_rank):
    """A call releases the GIL."""
    import threading

    x1, x2 = torch.ones(2000, 512), addnorm.prepare_weights(torch.ones(512, 2048))
    residual, gamma = torch.ones(2000, 2048), torch.ones(2048)
    call(x1=x1, x2=x2, residual=residual, gamma=gamma)
    inside, counted, stop = threading.Event(), [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += inside.is_set()

    thread = threading.Thread(target=count)
    thread.start()
    inside.set()
    addnorm.matmul_all_reduce_add_rms_norm(x1, x2, residual, gamma)
    inside.clear()
    stop.set()
    thread.join()
    # Held for the whole call, the interpreter would switch threads at its ends only.
    assert counted[0] > 1000
