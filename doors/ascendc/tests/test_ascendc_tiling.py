# SPDX-License-Identifier: Apache-2.0
"""Host tiling against an independent statement of the documented formulas, over many shapes, and the known golden values."""

import itertools
import random
import struct
import subprocess
from pathlib import Path

import pytest

GRAD_FIELDS = (
    "stackBufferSize bLength sLength hLength originalHLength oneCalSize nohCalSize loopNum tailSize nohTailSize tmpTensorBSHPos "
    "tmpTensorBSHSize pdVarTensorPos pdVarTensorSize pdMeanTensorPos pdMeanTensorSize x1TensorPos x1TensorSize x2TensorPos x2TensorSize "
    "x3TensorPos x3TensorSize tmpTensorPos tmpTensorSize tmpTensor1Pos tmpTensor1Size tmpTensor2Pos tmpTensor2Size lastDimValueBack "
    "lastDimValueBackMulTwo"
).split()
BETA_FIELDS = (
    "stackBufferSize bLength sLength hLength originalHLength bshLength bsLength oneCalSize numberOfTmpBuf loopRound inputTailSize "
    "inputTailPos bsTailSize bshCurLength bsCurLength gammaTempTensorPos betaTempTensorPos inputDyTmpTensorPos resForGammaTmpTensorPos "
    "reserved"
).split()
NORM_FIELDS = (
    "bLength sLength hLength originalHLength inputXSize meanVarSize numberOfTmpBuf meanTmpTensorPos "
    "meanTmpTensorSize varianceTmpTensorPos varianceTmpTensorSize tmpBufSize oneTmpSize firstTmpStartPos "
    "secondTmpStartPos thirdTmpStartPos loopRound inputRoundSize inputTailSize inputTailPos meanVarRoundSize "
    "meanVarTailSize meanVarTailPos bshCurLength bsCurLength lastDimValueBack"
).split()
UNTOUCHED = 77


def float_bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def grad_statement(b, s, h, original, stack, size, reuse):
    """LayerNormGrad: the larger and the smaller temporary size, and the 30 fields; None where the stack holds no row."""
    buffers = 9 if size == 2 else 4 if reuse else 6
    tile, square = b * s * h, h * h
    sizes = [buffers * max(tile, square) * size, buffers * min(tile, square) * size]
    one = stack // 4 // buffers
    one -= one % h
    if one == 0:
        return sizes, None
    granule = 16 if size == 2 else 8
    rows = -(-(one // h) // granule) * granule
    one = rows * h
    if size == 2:
        positions = [0, one, 2 * one, 3 * one, 4 * one, 5 * one, 6 * one, 7 * one, 8 * one]
    elif reuse:
        positions = [0, one, 2 * one, 0, 0, 3 * one, 0, 0, 0]
    else:
        positions = [0, one, 2 * one, 3 * one, 4 * one, 5 * one, 0, 0, 0]
    fields = [stack, b, s, h, original, one, rows, tile // one, tile % one, tile % one // h]
    for position in positions:
        fields += [position, one]
    return sizes, [*fields, float_bits(1 / original), float_bits(2 / original)]


def beta_statement(b, s, h, original, stack, size, reuse):
    """LayerNormGradBeta: sizes, and the fields up to bsCurLength."""
    del reuse
    buffers = 4 if size == 2 else 2
    sizes = [b * s * h * 4 * buffers, h * 4 * buffers]
    floats = stack // 4
    if floats < 2 * h:
        return sizes, None
    one = (floats - 2 * h) // 2 if size == 2 else floats
    one = min(one - one % h, b * s * h)
    if one == 0:
        return sizes, None
    tile = b * s * h
    tail = tile % one
    fields = [floats, b, s, h, original, tile, b * s, one, 2 if size == 2 else 1, tile // one, tail, tile - tail, tail // h, one, one // h]
    return sizes, fields


@pytest.fixture(scope="module")
def values(ascendc, tmp_path_factory):
    """Runs the C++ side on many problems at once: a list of (sizes, flavours agree, fields) per call for each."""
    kit = ascendc.find_kit()
    program = tmp_path_factory.mktemp("tiling") / "tiling_values"
    source = Path(__file__).with_name("tiling_values.cc")
    command = [
        "g++",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        f"-I{kit.include}",
        str(source),
        str(kit.library),
        f"-Wl,-rpath,{kit.library.parent}",
    ]
    subprocess.run([*command, "-o", str(program)], check=True)

    def run(problems):
        text = "\n".join(" ".join(str(int(word)) for word in problem) for problem in problems)
        lines = subprocess.run([str(program)], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
        assert len(lines) == len(problems)
        answers = []
        for line in lines:
            words = [int(word) for word in line.split()]
            answer = {}
            for name, names in (("grad", GRAD_FIELDS), ("beta", BETA_FIELDS), ("norm", NORM_FIELDS)):
                sizes, same, fields = words[:2], words[2], words[3 : 3 + len(names)]
                words = words[3 + len(names) :]
                assert same == 1, f"{name}: the two flavours of the tiling differ"
                answer[name] = (sizes, dict(zip(names, fields, strict=True)))
            assert not words
            answers.append(answer)
        return answers

    return run


def problems(count: int):
    generator = random.Random(20261120)
    for _ in range(count):
        size = generator.choice([2, 4])
        unit = 32 // size
        h = unit * generator.choice([1, 2, 3, 4, 5, 8, 16, 31, 64, 100])
        b, s = generator.randint(1, 9), generator.randint(1, 70)
        stack = generator.choice([generator.randint(0, 200_000), generator.randint(1, 40) * h * 4 * 6, 2 * h * 4, 2 * h * 4 - 1, 98304])
        yield b, s, h, generator.randint(1, h), stack, size, generator.random() < 0.5


def test_statement_over_many_shapes(values):
    cases = list(problems(6000))
    touched = 0
    for case, answer in zip(cases, values(cases), strict=True):
        for name, statement in (("grad", grad_statement), ("beta", beta_statement)):
            sizes, expected = statement(*case)
            got_sizes, fields = answer[name]
            assert got_sizes == sizes, (name, case)
            got = list(fields.values())
            if expected is None:
                assert fields["hLength"] == UNTOUCHED and sum(got) == UNTOUCHED, (name, case)
            else:
                assert got[: len(expected)] == expected, (name, case, fields)
                touched += 1
    assert touched > 7000  # the early return is the exception


def test_layouts_stay_inside(values):
    """Beta's and LayerNorm's temporary tensors are inside the stack, do not overlap, and the loops cover the tile."""
    cases = list(problems(2000))
    seen = 0
    for case, answer in zip(cases, values(cases), strict=True):
        b, s, h, _, stack, size, reuse = case
        (_, least), norm = answer["norm"]
        if norm["hLength"] == UNTOUCHED:
            assert stack < least
            continue
        seen += 1
        one = norm["oneTmpSize"]
        starts = [norm["firstTmpStartPos"], norm["secondTmpStartPos"]] + ([norm["thirdTmpStartPos"]] if not (reuse and size == 4) else [])
        assert norm["varianceTmpTensorPos"] + norm["varianceTmpTensorSize"] <= starts[0]
        assert all(later - earlier >= one for earlier, later in itertools.pairwise(starts))
        assert starts[-1] + one <= norm["tmpBufSize"] == stack // 4
        assert norm["loopRound"] * one + norm["inputTailSize"] == b * s * h
        beta = answer["beta"][1]
        if beta["hLength"] != UNTOUCHED and size == 2:
            starts = [beta[name] for name in ("gammaTempTensorPos", "betaTempTensorPos", "inputDyTmpTensorPos", "resForGammaTmpTensorPos")]
            assert starts == [0, h, 2 * h, 2 * h + beta["oneCalSize"]]
            assert starts[-1] + beta["oneCalSize"] <= stack // 4
    assert seen > 500


def test_golden_values(values):
    """The vendor's own expectations: the first four of six dimensions of 128 count."""
    side = 128
    for size, reuse, factor in [(2, False, 18), (2, True, 18), (4, True, 16), (4, False, 24)]:
        ((sizes, _),) = [answer["grad"] for answer in values([(side, side, side, side, 0, size, reuse)])]
        assert sizes == [side**3 * factor, side**2 * factor]
    # 100 KiB hold 33 rows of 128 floats, which become 40 and need 120 KiB.
    ((_, fields),) = [answer["grad"] for answer in values([(side, side, side, side, 100 * 1024, 4, False)])]
    assert fields["nohCalSize"] == 40 and fields["oneCalSize"] == 40 * 128
    assert (fields["x3TensorPos"] + fields["x3TensorSize"]) * 4 == 120 * 1024
    assert fields["stackBufferSize"] == 100 * 1024
