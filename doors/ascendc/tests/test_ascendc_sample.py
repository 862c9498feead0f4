# SPDX-License-Identifier: Apache-2.0
"""Spec 003's kernel, taken from the document, compiled as it stands and compared with the document's own formula in float64."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

# Seconds of processor time to compile the sample, at most.
COMPILE_SECONDS = 3.0


def write(folder: Path, text: str) -> Path:
    path = folder / "layernorm_grad_custom.cpp"
    path.write_text(text, encoding="utf-8")
    return path


def half_twin(text: str) -> str:
    """The same kernel with half data; the tiling keeps its float epsilon."""
    twin = re.sub(r"(LocalTensor|GlobalTensor|AllocTensor|DeQue)<float>", r"\1<half>", text)
    twin = twin.replace("__gm__ float *", "__gm__ half *").replace("sizeof(float)", "sizeof(half)")
    twin = twin.replace("LayerNormGrad<float,", "LayerNormGrad<half,").replace("(float)epsilon", "(half)epsilon")
    assert "<float" not in twin
    return twin


@pytest.fixture(scope="module")
def programs(ascendc, compilers, sample_text, tmp_path_factory):
    """The sample built with one compiler and standard each, and its variants."""
    gcc, clang = compilers
    variants = {
        "g++ 17": (sample_text, ascendc.Build(gcc, "17")),
        "g++ 20": (sample_text, ascendc.Build(gcc, "20")),
        "clang++ 17": (sample_text, ascendc.Build(clang, "17")),
        "clang++ 20": (sample_text, ascendc.Build(clang, "20")),
        "half": (half_twin(sample_text), ascendc.Build(gcc, "17")),
        "reuse": (sample_text.replace("KernelLayernormGrad<false>", "KernelLayernormGrad<true>"), ascendc.Build(gcc, "17")),
        "sanitized": (sample_text, ascendc.Build(clang, "17", "address,undefined")),
    }
    built = {}

    def get(name: str) -> Path:
        if name not in built:
            folder = tmp_path_factory.mktemp("sample")
            text, build = variants[name]
            built[name] = ascendc.build_kernel(write(folder, text), folder, build)
        return built[name]

    return get


@pytest.mark.parametrize("standard", ["17", "20"])
@pytest.mark.parametrize("index", [0, 1])
def test_compiles_quickly_and_lightly(ascendc, compilers, sample_text, tmp_path, index, standard):
    source = write(tmp_path, sample_text)
    include = ascendc.find_kit().include
    command = [compilers[index], f"-std=c++{standard}", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", f"-I{include}"]
    before = os.times()
    subprocess.run([*command, "-O2", "-c", str(source), "-o", str(tmp_path / "sample.o")], check=True)
    after = os.times()
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    print(f"{compilers[index]} -std=c++{standard}: {seconds:.2f} s of processor time")
    assert seconds <= COMPILE_SECONDS
    included = subprocess.run([*command, "-M", str(source)], check=True, capture_output=True, text=True).stdout
    heavy = re.findall(r"\S*(?:hwy/|torch/|immintrin|intrin\.h|addnorm/addnorm\.h|iostream|<thread>)\S*", included)
    assert not heavy, heavy
    assert "kernel_operator.h" in included


def tiles(ascendc, dtype: str):
    """Named problems: true and wrong statistics, non-zero pads, offsets, magnitudes."""
    kind = np.dtype(dtype)

    def make(shape=(2, 32, 16), original_h=None, seed=0, epsilon=1e-5):
        return ascendc.random_tile(shape, original_h or shape[2], kind, epsilon, seed)

    yield "the sample's shape", make()
    for number, (shape, original_h) in enumerate([((1, 16, 64), 64), ((2, 16, 48), 41), ((1, 32, 16), 1), ((3, 16, 32), 17)]):
        yield f"{shape} of {original_h}", make(shape, original_h, number + 1)
    for seed, shift, factor in [(11, 0.3, 1.0), (12, 20.0, 1.0), (13, 0.0, 0.1), (14, 0.5, 9.0)]:
        tile = make(seed=seed)
        tile.mean = (tile.mean + shift * np.random.default_rng(seed).standard_normal(tile.mean.shape)).astype(kind)
        tile.variance = (tile.variance * factor).astype(kind)
        yield f"mean off by {shift}, variance times {factor}", tile
    for fill in (7.0, np.nan):
        tile = make((2, 16, 48), 41, 21)
        tile.x[..., 41:], tile.dy[..., 41:], tile.gamma[41:] = fill, fill, fill
        yield f"pads of {fill}", tile
    tile = make(seed=31, epsilon=0.5)
    yield "a large epsilon", tile
    for scale in (1e-3, 100.0) if dtype == "float16" else (1e-12, 1e12):
        tile = make(seed=41, epsilon=0.0 if dtype == "float32" else 1e-3)
        tile.x, tile.mean = (tile.x * kind.type(scale)).astype(kind), (tile.mean * kind.type(scale)).astype(kind)
        tile.variance = (tile.variance.astype(np.float64) * scale**2).astype(kind)
        yield f"x times {scale}", tile


def check(ascendc, program: Path, folder: Path, dtype: str, reuse: bool = False):
    for name, tile in tiles(ascendc, dtype):
        status, outputs = ascendc.run_layer_norm_grad(program, folder, tile, [], reuse)
        assert status == ascendc.RIGHT, name
        exact = ascendc.layer_norm_grad(tile)
        for output, got in outputs.items():
            worst = ascendc.worst_error(got, exact[output], exact[output + "_bound"])
            assert worst <= 1, f"{name}: {output} is off by {worst} of its bound"
            assert not np.any(got[..., tile.original_h :]), f"{name}: the pads of {output} are not zero"


@pytest.mark.parametrize("variant", ["g++ 17", "g++ 20", "clang++ 17", "clang++ 20", "sanitized"])
def test_float(ascendc, programs, tmp_path, variant):
    check(ascendc, programs(variant), tmp_path, "float32")


def test_half_twin(ascendc, programs, tmp_path):
    check(ascendc, programs("half"), tmp_path, "float16")


def test_reuse_source(ascendc, programs, tmp_path):
    check(ascendc, programs("reuse"), tmp_path, "float32", reuse=True)


def test_the_reference_sees_faults(ascendc, programs, tmp_path):
    """An ulp-sized tolerance with teeth: each wrong input gives a result outside the bounds of the right one."""
    tile = ascendc.random_tile((2, 32, 16), 16, np.dtype(np.float32), 1e-5, 3)
    tile.mean += np.float32(0.1)
    exact = ascendc.layer_norm_grad(tile)

    def worst(**changes):
        wrong = ascendc.Tile(**{**vars(tile), **changes})
        status, outputs = ascendc.run_layer_norm_grad(programs("g++ 17"), tmp_path, wrong, [])
        assert status == ascendc.RIGHT
        return ascendc.worst_error(outputs["pd_x"], exact["pd_x"], exact["pd_x_bound"])

    assert worst() <= 1
    assert worst(epsilon=2e-5) > 1
    assert worst(mean=tile.mean - np.float32(1e-5)) > 1
    assert worst(variance=tile.variance * np.float32(1 + 1e-5)) > 1
    assert worst(gamma=tile.gamma[::-1].copy()) > 1
    assert worst(dy=-tile.dy) > 1


def line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def test_two_blocks_of_the_sample_write_the_same_bytes(ascendc, programs, sample_text, tmp_path, capfd):
    tile = ascendc.random_tile((2, 32, 16), 16, np.dtype(np.float32), 1e-5, 4)
    status, _ = ascendc.run_layer_norm_grad(programs("g++ 17"), tmp_path, tile, ["--blocks", "2"])
    assert status == ascendc.BROKEN_RULE
    expected = f"layernorm_grad_custom.cpp:{line_of(sample_text, 'DataCopy(outputPdXGlobal')}: rule 'block-conflict' broken on core 1"
    assert expected in capfd.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "rule", "at"),
    [
        ("inQueueMean.FreeTensor(inputMeanLocal);", "", "unfreed", "inQueueMean.AllocTensor<float>()"),
        ("AscendC::DataCopy(inputGammaLocal, inputGammaGlobal, hLength);", "", "never-written", "AscendC::LayerNormGrad<float"),
        ("{DataFormat::ND}", "{DataFormat::NZ}", "format", "AscendC::LayerNormGrad<float"),
        ("inQueueX.EnQue(inputXLocal);", "", "queue-state", "inQueueX.DeQue<float>()"),
        ("(outQueuePdX, 1, sizeof(float) * bshLength)", "(outQueuePdX, 1, 32)", "local-bounds", "AscendC::LayerNormGrad<float"),
        ("inputMeanGlobal, bsLength);", "inputMeanGlobal, bsLength + 8);", "local-bounds", "inputMeanGlobal, bsLength + 8"),
        ("inputMeanGlobal, bsLength);", "inputMeanGlobal, bsLength - 1);", "copy-length", "inputMeanGlobal, bsLength - 1"),
    ],
)  # fmt: skip
def test_faults_put_into_the_sample(ascendc, compilers, sample_text, tmp_path, capfd, old, new, rule, at):
    assert sample_text.count(old) == 1
    text = sample_text.replace(old, new)
    program = ascendc.build_kernel(write(tmp_path, text), tmp_path, ascendc.Build(compilers[0], optimize="-O0"))
    tile = ascendc.random_tile((2, 32, 16), 16, np.dtype(np.float32), 1e-5, 5)
    status, _ = ascendc.run_layer_norm_grad(program, tmp_path, tile, [])
    assert status == ascendc.BROKEN_RULE
    assert f"layernorm_grad_custom.cpp:{line_of(text, at)}: rule '{rule}' broken" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("queue", "tensor", "at", "done", "done_at"),
    [
        ("inQueueX", "inputXLocal", "AscendC::LayerNormGrad<float", "copied in", "DataCopy(inputXLocal"),
        ("outQueuePdX", "outputPdXLocal", "DataCopy(outputPdXGlobal", "computed", "AscendC::LayerNormGrad<float"),
    ],
)
def test_a_forgotten_hand_over_in_the_sample(ascendc, compilers, sample_text, tmp_path, capfd, queue, tensor, at, done, done_at):
    """The tensor goes from one function to the next without its queue."""
    text = sample_text.replace(f"{queue}.EnQue({tensor});", f"kept = {tensor};").replace(f"{queue}.DeQue<float>()", "kept")
    text = text.replace("    uint32_t bsLength;", "    uint32_t bsLength; AscendC::LocalTensor<float> kept;")
    program = ascendc.build_kernel(write(tmp_path, text), tmp_path, ascendc.Build(compilers[0], optimize="-O0"))
    tile = ascendc.random_tile((2, 32, 16), 16, np.dtype(np.float32), 1e-5, 6)
    status, _ = ascendc.run_layer_norm_grad(program, tmp_path, tile, [])
    assert status == ascendc.BROKEN_RULE
    error = capfd.readouterr().err
    assert f"layernorm_grad_custom.cpp:{line_of(text, at)}: rule 'queue-state' broken" in error
    assert re.search(rf"was {done} at \S*layernorm_grad_custom.cpp:{line_of(text, done_at)} and not handed over", error), error
