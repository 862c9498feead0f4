# SPDX-License-Identifier: Apache-2.0
"""npu_mm_all_reduce_add_rms_norm of spec 001: its sample, its signature, its limits, the in-place twin, and npu_trans_quant_param."""

import inspect
import os
import re
import socket
import subprocess
import sys

import pytest
import spec_samples
import torch
import torch.distributed as dist
from addnorm.ascend import module_path, trans_quant

F16, BF16, I8 = torch.float16, torch.bfloat16, torch.int8
PREFIX = "001"


@pytest.fixture(scope="module")
def functions():
    """The operator and its twin under their documented names; the module path is as before afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, module_path.SHIMS)
    try:
        from mindspeed.ops.npu_mm_all_reduce_add_rms_norm import npu_mm_all_reduce_add_rms_norm
        from mindspeed.ops.npu_mm_all_reduce_add_rms_norm_ import npu_mm_all_reduce_add_rms_norm_
    finally:
        sys.path.remove(module_path.SHIMS)
        for name in set(sys.modules) - before:
            if name.split(".")[0] == "mindspeed":
                del sys.modules[name]
    return npu_mm_all_reduce_add_rms_norm, npu_mm_all_reduce_add_rms_norm_


@pytest.fixture
def hcom():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.distributed_c10d._get_default_group().group_name
    dist.destroy_process_group()


def test_signatures(functions):
    for function in functions:
        text = " ".join(str(p).split(":")[0] + ("=" + repr(p.default) if p.default is not p.empty else "")
                        for p in inspect.signature(function).parameters.values())  # fmt: skip
        assert text == (
            "x1 x2 residual gamma hcom reduce_op='sum' epsilon=1e-06 bias=None antiquant_scale=None antiquant_offset=None "
            "dequant_scale=None antiquant_group_size=0 comm_turn=0"
        )


# ---- The sample. -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(request) -> str:
    """The sample of spec 001, byte for byte. Without the document: skipped, saying so; in CI that is a failure."""
    path = spec_samples.find_document(PREFIX)
    if path is None:
        reason = (
            f"spec document {PREFIX} is not in {spec_samples.spec_dir()} (ADDNORM_SPEC_DIR names another folder): its sample is not run"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        request.config.get_terminal_writer().line(f"\n{reason}")
        pytest.skip(reason)
    (text,) = spec_samples.python_samples(path.read_text(encoding="utf-8"))
    return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _run(text: str, folder) -> list[str]:
    script = folder / "sample.py"
    script.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "addnorm", "ascend-run", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    # Anywhere: 8 processes share one pipe, and print writes the name, the blank, the tensor and the end of the line one by one.
    return re.findall(r"(?<![A-Za-z_])(y|norm_out):", done.stdout)


def test_sample_at_reduced_size(sample, tmp_path):
    """8 ranks. Of the text only the sizes are replaced, and the port where another program has it."""
    sizes = "b, s, k, n = 4, 1024, 1024, 8192"
    assert sample.count(sizes) == 1 and sample.count("'50001'") == 1
    text = sample.replace(sizes, "b, s, k, n = 2, 24, 64, 256")
    if not _is_free(50001):
        text = text.replace("'50001'", f"'{_free_port()}'")
    printed = _run(text, tmp_path)
    assert sorted(printed) == ["norm_out"] * 8 + ["y"] * 8


def test_sample_as_it_is(sample, tmp_path, request):
    """The document's own sizes: 8 ranks of 4 x 1024 x 1024 x 8192. Minutes on two cores, so only where ADDNORM_FULL_SAMPLES is set."""
    if not os.environ.get("ADDNORM_FULL_SAMPLES"):
        reason = "the sample of spec 001 at its full size is run where ADDNORM_FULL_SAMPLES is set"
        request.config.get_terminal_writer().line(f"\n{reason}")
        pytest.skip(reason)
    assert len(_run(sample, tmp_path)) == 16


# ---- Values. ---------------------------------------------------------------------------------------------------------


def plain(dtype=F16, **changed):
    generator = torch.Generator().manual_seed(3)
    made = {name: torch.randn(shape, generator=generator).to(dtype)
            for name, shape in (("x1", (2, 3, 40)), ("x2", (40, 8)), ("residual", (2, 3, 8)), ("gamma", (8,)))}  # fmt: skip
    return made | changed


def quantised(residual=F16, **changed):
    given = plain(residual, x1=torch.full((2, 3, 40), 3, dtype=I8), x2=torch.full((40, 8), 5, dtype=I8))
    scale = torch.full((8,), 0.01)
    given["dequant_scale"] = trans_quant.npu_trans_quant_param(scale) if residual == F16 else scale.to(BF16)
    return given | changed


def quantised_weights(dtype=F16, groups=0, **changed):
    given = plain(dtype, x1=torch.ones(2, 3, 100, dtype=dtype), x2=torch.full((100, 8), 5, dtype=I8))
    given["antiquant_scale"] = torch.full((-(-100 // groups), 8) if groups else (8,), 0.5, dtype=dtype)
    return given | {"antiquant_group_size": groups} | changed


def test_in_place_twin_and_shapes(functions, hcom):
    function, twin = functions
    given = plain()
    y, norm_out = function(**given, hcom=hcom)
    assert y.shape == norm_out.shape == (2, 3, 8) and y.dtype == norm_out.dtype == F16
    want = (given["x1"].double() @ given["x2"].double() + given["residual"].double()).half()
    assert torch.equal(y, want)
    assert torch.equal(function(**given | {"x1": given["x1"].reshape(6, 40)}, hcom=hcom)[0], y)
    residual = given["residual"]
    got, norm = twin(**given, hcom=hcom)
    assert got is residual and torch.equal(residual, y) and torch.equal(norm, norm_out)
    with pytest.raises(ValueError):
        twin(**given | {"gamma": torch.ones(9, dtype=F16)}, hcom=hcom)
    assert torch.equal(residual, y)


def test_quantised_values(functions, hcom):
    function, _ = functions
    given = quantised()
    # 3 * 5 * 40 = 600, and 0.01 without its 13 low bits.
    scale = (given["dequant_scale"] & 0xFFFFFFFF).int().view(torch.float32)
    assert torch.equal(function(**given, hcom=hcom)[0], (600 * scale + given["residual"].float()).half())
    raw = torch.tensor([0.01]).view(torch.int32).to(torch.int64).expand(8).contiguous()  # never through npu_trans_quant_param
    assert torch.equal(function(**given | {"dequant_scale": raw}, hcom=hcom)[0], function(**given, hcom=hcom)[0])
    large = torch.full((8,), 1e6).view(torch.int32).to(torch.int64)
    assert torch.equal(function(**given | {"dequant_scale": large}, hcom=hcom)[0], torch.full((2, 3, 8), 65504.0).half())
    given = quantised(BF16)
    want = (600 * given["dequant_scale"].float() + given["residual"].float()).bfloat16()
    assert torch.equal(function(**given, hcom=hcom)[0], want)
    given = quantised_weights(BF16, groups=32)
    assert torch.equal(function(**given, hcom=hcom)[0], (250 + given["residual"].float()).bfloat16())


# ---- Limits: what the document does not allow is refused, the nearest that it does is not. -----------------------------

I64, F32 = torch.int64, torch.float32
LIMITS = {
    "x1 None": (plain, {"x1": None}, AssertionError, "x1 must not be None."),
    "x2 None": (plain, {"x2": None}, AssertionError, "x2 must not be None."),
    "residual None": (plain, {"residual": None}, AssertionError, "residual must not be None."),
    "gamma None": (plain, {"gamma": None}, AssertionError, "gamma must not be None."),
    "list": (plain, {"bias": [1]}, TypeError, "argument 'bias' is of type list, expected a Tensor"),
    "comm_turn": (plain, {"comm_turn": 1}, ValueError, "argument 'comm_turn' is 1, expected 0"),
    "reduce_op": (plain, {"reduce_op": "summary"}, ValueError, "argument 'reduce_op' is 'summary', expected 'sum'"),
    "epsilon 0": (plain, {"epsilon": 0.0}, ValueError, "argument 'epsilon' is 0.0, expected 0 < epsilon < 1"),
    "epsilon 1": (plain, {"epsilon": 1.0}, ValueError, "argument 'epsilon' is 1.0, expected 0 < epsilon < 1"),
    "x1 1-D": (plain, {"x1": torch.ones(40, dtype=F16)}, ValueError, "argument 'x1' has 1 dimensions, expected 2 or 3"),
    "x1 4-D": (plain, {"x1": torch.ones(1, 2, 3, 40, dtype=F16)}, ValueError, "argument 'x1' has 4 dimensions, expected 2 or 3"),
    "x2 3-D": (plain, {"x2": torch.ones(1, 40, 8, dtype=F16)}, ValueError, "argument 'x2' has 3 dimensions, expected 2"),
    "residual 2-D": (plain, {"residual": torch.ones(6, 8, dtype=F16)}, ValueError, "argument 'residual' has 2 dimensions, expected 3"),
    "gamma 2-D": (plain, {"gamma": torch.ones(1, 8, dtype=F16)}, ValueError, "argument 'gamma' has 2 dimensions, expected 1"),
    "bias 2-D": (plain, {"bias": torch.ones(1, 8, dtype=F16)}, ValueError, "argument 'bias' has 2 dimensions, expected 1"),
    "k": (plain, {"x1": torch.ones(2, 3, 39, dtype=F16)}, ValueError, "argument 'x1' has shape [2, 3, 39], expected 40 columns"),
    "k = 0": (
        plain,
        {"x1": torch.ones(2, 3, 0, dtype=F16), "x2": torch.ones(0, 8, dtype=F16)},
        ValueError,
        "argument 'x2' has shape [0, 8], expected k >= 1",
    ),
    "x1 strides": (
        plain,
        {"x1": torch.ones(2, 3, 80, dtype=F16)[..., ::2]},
        ValueError,
        "argument 'x1' has strides [240, 80, 2], expected",
    ),
    "x2 strides": (plain, {"x2": torch.ones(40, 16, dtype=F16)[:, ::2]}, ValueError, "argument 'x2' has strides [16, 2], expected"),
    "x2 rows apart": (plain, {"x2": torch.ones(40, 16, dtype=F16)[:, :8]}, ValueError, "argument 'x2' has strides [16, 1], expected"),
    "residual strides": (
        plain,
        {"residual": torch.ones(2, 8, 3, dtype=F16).transpose(1, 2)},
        ValueError,
        "argument 'residual' has strides [24, 1, 3], expected a contiguous tensor",
    ),
    "gamma strides": (plain, {"gamma": torch.ones(16, dtype=F16)[::2]}, ValueError, "argument 'gamma' has strides [2], expected"),
    "float32": (lambda: plain(F32), {}, TypeError, "argument 'x1' is float32, expected float16 or bfloat16"),
    "mixed": (plain, {"gamma": torch.ones(8, dtype=BF16)}, TypeError, "argument 'gamma' is bfloat16, expected float16, the type of x1"),
    "mixed residual": (plain, {"residual": torch.ones(2, 3, 8)}, TypeError, "argument 'residual' is float32, expected float16"),
    "mixed bias": (plain, {"bias": torch.ones(8)}, TypeError, "argument 'bias' is float32, expected float16, the type of x1"),
    "scale without need": (plain, {"dequant_scale": torch.ones(1)}, ValueError, "argument 'dequant_scale' is given, expected None"),
    "antiquant without need": (plain, {"antiquant_scale": torch.ones(1)}, ValueError, "argument 'antiquant_scale' is given, expected None"),
    "group without need": (plain, {"antiquant_group_size": 32}, ValueError, "argument 'antiquant_group_size' is 32, expected 0"),
    "no dequant_scale": (quantised, {"dequant_scale": None}, ValueError, "argument 'dequant_scale' is None, expected a Tensor"),
    "float dequant_scale": (
        quantised,
        {"dequant_scale": torch.ones(8)},
        TypeError,
        "argument 'dequant_scale' is float32, expected int64 or uint64",
    ),
    "words for bfloat16": (
        lambda: quantised(BF16),
        {"dequant_scale": torch.ones(8, dtype=I64)},
        TypeError,
        "argument 'dequant_scale' is int64, expected bfloat16",
    ),
    "float bias": (quantised, {"bias": torch.ones(8, dtype=F16)}, TypeError, "argument 'bias' is float16, expected int32"),
    "gamma unlike residual": (quantised, {"gamma": torch.ones(8, dtype=BF16)}, TypeError, "argument 'gamma' is bfloat16, expected float16"),
    "scale length": (
        quantised,
        {"dequant_scale": torch.ones(7, dtype=I64)},
        ValueError,
        "argument 'dequant_scale' has shape [7], expected [1]",
    ),
    "k of int8": (
        quantised,
        {"x1": torch.ones(2, 3, 65536, dtype=I8), "x2": torch.ones(65536, 8, dtype=I8)},
        ValueError,
        "argument 'x1' has shape [2, 3, 65536], expected a last dimension up to 65535",
    ),
    "n of int8": (
        quantised,
        {"x2": torch.ones(40, 65536, dtype=I8)},
        ValueError,
        "argument 'x2' has shape [40, 65536], expected a last dimension up to 65535: k if transposed, else n",
    ),
    "no antiquant_scale": (
        quantised_weights,
        {"antiquant_scale": None},
        ValueError,
        "argument 'antiquant_scale' is None, expected a Tensor",
    ),
    "antiquant type": (
        quantised_weights,
        {"antiquant_scale": torch.ones(8)},
        TypeError,
        "argument 'antiquant_scale' is float32, expected float16",
    ),
    "offset type": (
        quantised_weights,
        {"antiquant_offset": torch.ones(8)},
        TypeError,
        "argument 'antiquant_offset' is float32, expected float16",
    ),
    "offset shape": (
        quantised_weights,
        {"antiquant_offset": torch.ones(1, 8, dtype=F16)},
        ValueError,
        "argument 'antiquant_offset' has shape [1, 8], expected [8], the shape of antiquant_scale",
    ),
    "k of weights": (
        quantised_weights,
        {"x1": torch.ones(1, 1, 65536, dtype=F16), "x2": torch.ones(65536, 8, dtype=I8)},
        ValueError,
        "argument 'x2' has shape [65536, 8], expected k and n up to 65535",
    ),
    "n of weights": (
        quantised_weights,
        {"x2": torch.ones(100, 65536, dtype=I8)},
        ValueError,
        "argument 'x2' has shape [100, 65536], expected k",
    ),
    "group 33": (
        quantised_weights,
        {"antiquant_group_size": 33},
        ValueError,
        "argument 'antiquant_group_size' is 33, expected 0, or a multiple",
    ),
    "group 16": (
        quantised_weights,
        {"antiquant_group_size": 16},
        ValueError,
        "argument 'antiquant_group_size' is 16, expected 0, or a multiple",
    ),
    "group of k": (
        quantised_weights,
        {"antiquant_group_size": 128},
        ValueError,
        "argument 'antiquant_group_size' is 128, expected 0, or a multiple",
    ),
    "negative group": (
        quantised_weights,
        {"antiquant_group_size": -32},
        ValueError,
        "argument 'antiquant_group_size' is -32, expected 0, or",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(functions, hcom, name):
    make, changed, kind, text = LIMITS[name]
    for function in functions:
        with pytest.raises(kind) as error:
            function(**make() | changed, hcom=hcom)
        assert str(error.value).startswith(text if kind is AssertionError else f"{function.__name__}: {text}"), error.value


ALLOWED = {
    "plain": (plain, {}),
    "bfloat16": (lambda: plain(BF16), {}),
    "x2 transposed": (plain, {"x2": torch.ones(8, 40, dtype=F16).t()}),
    "bias": (plain, {"bias": torch.ones(8, dtype=F16)}),
    "no rows": (plain, {"x1": torch.ones(0, 3, 40, dtype=F16), "residual": torch.ones(0, 3, 8, dtype=F16)}),
    "no columns": (
        plain,
        {"x2": torch.ones(40, 0, dtype=F16), "residual": torch.ones(2, 3, 0, dtype=F16), "gamma": torch.ones(0, dtype=F16)},
    ),
    "int8": (quantised, {"bias": torch.ones(8, dtype=torch.int32)}),
    "int8, unsigned words": (quantised, {"dequant_scale": torch.ones(8, dtype=I64).view(torch.uint64)}),
    "int8, one word": (quantised, {"dequant_scale": torch.ones(1, dtype=I64)}),
    "int8, a row of words": (quantised, {"dequant_scale": torch.ones(1, 8, dtype=I64)}),
    "int8, bfloat16": (lambda: quantised(BF16), {}),
    "k of int8": (quantised, {"x1": torch.ones(2, 3, 65535, dtype=I8), "x2": torch.ones(65535, 8, dtype=I8)}),
    "n of int8, transposed": (
        quantised,
        {
            "x1": torch.ones(1, 1, 2, dtype=I8),
            "x2": torch.ones(65536, 2, dtype=I8).t(),
            "residual": torch.ones(1, 1, 65536, dtype=F16),
            "gamma": torch.ones(65536, dtype=F16),
            "dequant_scale": torch.ones(1, dtype=I64),
        },
    ),
    "weights": (quantised_weights, {"antiquant_offset": torch.ones(8, dtype=F16)}),
    "weights, one scale": (quantised_weights, {"antiquant_scale": torch.ones(1, dtype=F16)}),
    "weights, groups": (lambda: quantised_weights(groups=32), {}),
    "weights, largest group": (lambda: quantised_weights(groups=96), {}),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(functions, hcom, name):
    make, changed = ALLOWED[name]
    for function in functions:
        y, norm_out = function(**make() | changed, hcom=hcom)
        assert y.shape == norm_out.shape == (make() | changed)["residual"].shape


def test_hcom(functions, hcom):
    function, _ = functions
    with pytest.raises(TypeError, match="argument 'hcom' is None, expected the name that get_hccl_comm_name gives"):
        function(**plain(), hcom=None)
    with pytest.raises(ValueError, match="argument 'group' is 'nobody', expected the name of a process group"):
        function(**plain(), hcom="nobody")


def _three_ranks(rank, size):
    sys.path.insert(0, module_path.SHIMS)
    from mindspeed.ops.npu_mm_all_reduce_add_rms_norm import npu_mm_all_reduce_add_rms_norm

    npu_mm_all_reduce_add_rms_norm(**plain(), hcom=dist.distributed_c10d._get_default_group().group_name)


def test_number_of_ranks(tmp_path):
    from parallel_cases import spawn

    for outcome in spawn(_three_ranks, 3, tmp_path):
        assert outcome["error"] in ("ValueError", "PeerError"), outcome
        assert "names a group of 3 ranks, expected 1, 2, 4 or 8" in outcome["text"] or "refused its arguments" in outcome["text"]


# ---- npu_trans_quant_param. --------------------------------------------------------------------------------------------


def test_trans_quant_param():
    scale = torch.tensor([1.0, -0.01, 1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, float("inf")])
    words = trans_quant.npu_trans_quant_param(scale)
    bits = scale.view(torch.int32).to(I64) & 0xFFFFFFFF
    assert words.dtype == I64 and torch.equal(words, bits // 8192 * 8192 + 2**46)
    rounded = trans_quant.npu_trans_quant_param(scale, round_mode=1)
    value = (rounded & 0xFFFFFFFF).int().view(F32)
    assert value[2] == scale[2] and value[3] == 1.0 and value[4] == 1 + 2**-9 and value[5] == float("inf")
    offsets = torch.tensor([[1.4, -1.6, 300.0, -300.0, 0.0, 2.5]])
    fields = trans_quant.npu_trans_quant_param(scale[:1], offsets) >> 37 & 0x1FF
    assert fields.tolist() == [[1, 510, 255, 256, 0, 2]]
    assert torch.equal(trans_quant.npu_trans_quant_param(scale, torch.zeros(1)), words)


@pytest.mark.parametrize(
    "arguments, kind, text",
    [
        (([1.0],), TypeError, "argument 'scale' is of type list, expected a Tensor"),
        ((torch.ones(2).half(),), TypeError, "argument 'scale' is float16, expected float32"),
        ((torch.ones(2, 2),), ValueError, r"argument 'scale' has shape \[2, 2\], expected \[n\] or \[1, n\]"),
        ((torch.ones(2), torch.ones(3)), ValueError, "argument 'offset' has 3 elements, expected 1 or 2, those of scale"),
        ((torch.ones(2), None, 2), ValueError, "argument 'round_mode' is 2, expected 0 or 1"),
    ],
)
def test_trans_quant_param_refuses(arguments, kind, text):
    with pytest.raises(kind, match=text):
        trans_quant.npu_trans_quant_param(*arguments)


def test_trans_quant_param_under_its_names():
    code = (
        "import torch, torch_npu; s = torch.tensor([0.5]); w = torch_npu.npu_trans_quant_param(s); "
        "assert torch.equal(w, torch.ops.npu.npu_trans_quant_param(s)) and w.item() == 0x3F000000 | 1 << 46"
    )
    path = os.pathsep.join([module_path.SHIMS, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
