# SPDX-License-Identifier: Apache-2.0
"""python -m addnorm ascendc KERNEL.cpp: builds an Ascend C kernel for the CPU, runs it with every check on, compares its results.

Without --arg the kernel is taken to have the arguments of the LayerNormGrad sample
(x, dy, variance, mean, gamma, pd_x, res_for_gamma, workspace, tiling) and is compared with the document's formula in float64.
With --arg, one per kernel parameter, any kernel runs; outputs that name an expected file are compared with it.
Exit status: 0 right, 1 wrong results, 2 a broken rule of the device, 3 usage, files or compiler.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

RIGHT, WRONG, BROKEN_RULE, UNUSABLE = 0, 1, 2, 3
# Usable bytes by architecture; 2201 if none is named.
UB_BYTES = dict.fromkeys((1001, 2002, 3002, 3102, 3510, 5102), 248 * 1024) | {2201: 192 * 1024, 3003: 118 * 1024, 3113: 118 * 1024}
DEFAULT_ARCHITECTURE = 2201
# A definition or declaration: __global__ among the attributes before `void`, in any order, with or without extern "C".
_ATTRIBUTE = r"(?:__\w+__(?:\s*\([^()]*\))?|inline|static|\[\[[^\]]*\]\])"
_ENTRY = re.compile(rf"((?:{_ATTRIBUTE}\s+)+)void\s+((?:{_ATTRIBUTE}\s+)*)(\w+)\s*\(")
# Strings and characters come first, so that what looks like a comment inside them stays.
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\')|//[^\n]*|/\*.*?\*/', re.DOTALL)


class UsageError(Exception):
    """A mistake of the caller; the text says what was given and what was expected."""


@dataclass
class Kit:
    """What a kernel is built with: the headers, the host main and the library."""

    include: Path
    main: Path
    library: Path


def find_kit() -> Kit:
    """ADDNORM_ASCENDC_LIBRARY with this checkout (or ADDNORM_ASCENDC_DOOR); else this package's own; else a build of
    this checkout (presets release, dev, clang)."""
    package = Path(__file__).parent
    own = package / "ascendc_kit"
    door = package.parents[1] / "ascendc"
    named = os.environ.get("ADDNORM_ASCENDC_LIBRARY")
    if named:
        door = Path(os.environ.get("ADDNORM_ASCENDC_DOOR", door))
        return Kit(door / "include", door / "run" / "run_kernel.cc", Path(named))
    if own.is_dir():
        return Kit(own / "include", own / "run_kernel.cc", next(own.glob("libaddnorm_ascendc.so*")))
    builds = [door.parents[1] / "build" / preset / "doors" / "ascendc" / "libaddnorm_ascendc.so" for preset in ("release", "dev", "clang")]
    library = next((path for path in builds if path.exists()), None)
    if library is None:
        raise UsageError("libaddnorm_ascendc is not in this installation; build it (`make build`) or set ADDNORM_ASCENDC_LIBRARY")
    return Kit(door / "include", door / "run" / "run_kernel.cc", library)


def find_entry(source: str, wanted: str | None) -> str:
    """The name of the kernel entry in `source`."""
    if wanted and re.search("::|<", wanted):
        return wanted  # in a namespace, or of a template: the compiler knows
    source = _COMMENT.sub(lambda match: match[1] or " ", source)
    entries = dict.fromkeys(name for before, after, name in _ENTRY.findall(source) if "__global__" in before + after)
    if not entries:
        raise UsageError("no kernel entry found, expected __global__ __aicore__ void NAME(GM_ADDR ...)")
    if wanted is None and len(entries) > 1:
        raise UsageError(f"the file has the kernels {', '.join(entries)}, expected --entry with one of them")
    name = wanted or next(iter(entries))
    if name not in entries:
        raise UsageError(f"--entry is {name}, expected one of {', '.join(entries)}")
    return name


@dataclass
class Build:
    """How to compile."""

    compiler: str = "g++"
    standard: str = "17"
    sanitize: str = ""
    optimize: str = "-O1"
    defines: list[str] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    architecture: int = DEFAULT_ARCHITECTURE


def build_kernel(kernel: Path, folder: Path, build: Build, entry: str | None = None, kit: Kit | None = None) -> Path:
    """Compiles `kernel` and the host main into a program in `folder`."""
    kit = kit or find_kit()
    name = find_entry(kernel.read_text(encoding="utf-8"), entry)
    program = folder / re.sub(r"\W+", "_", name)
    command = [build.compiler, f"-std=c++{build.standard}", "-g", build.optimize, "-Wall", "-Wno-unused-parameter"]
    if build.sanitize:
        command += [f"-fsanitize={build.sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    command += [f"-D{define}" for define in ["ASCENDC_CPU_DEBUG=1", *build.defines]]
    command += [f"-D__NPU_ARCH__={build.architecture}", f"-DADDNORM_KERNEL={name}", f'-DADDNORM_KERNEL_FILE="{kernel.absolute()}"']
    command += [f"-I{path}" for path in [*build.includes, kit.include]]
    command += [str(kit.main), str(kit.library), f"-Wl,-rpath,{kit.library.parent}", "-pthread", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        hint = ""
        if re.search(r"(redefinition|conflicting|overloaded)[^\n]*\bmain\b", done.stderr):
            hint = f"{kernel} has a main of its own, expected the kernel alone (with its main it builds as docs/ascendc.md says). "
        raise UsageError(f"{hint}{build.compiler} refused the kernel:\n{done.stderr}")
    sys.stderr.write(done.stderr)
    return program


def run_program(program: Path, arguments: list[str], options: list[str]) -> int:
    """Runs a built kernel; what it prints goes through. RIGHT or BROKEN_RULE; other ends raise."""
    status = subprocess.run([str(program), *options, *arguments]).returncode
    if status not in (RIGHT, BROKEN_RULE):
        raise UsageError(f"{program.name} ended with status {status} (a negative one is a signal), expected 0 or 2")
    return status


# ---- The reference of LayerNormGrad ----------------------------------------------------------------------------------------


@dataclass
class Tile:
    """A LayerNormGrad problem: arrays [B, S, H], [B, S] or [H], of which the first `original_h` columns are real."""

    x: np.ndarray
    dy: np.ndarray
    variance: np.ndarray
    mean: np.ndarray
    gamma: np.ndarray
    epsilon: float
    original_h: int


def layer_norm_grad(tile: Tile) -> dict[str, np.ndarray]:
    """The document's formula, line by line, in float64 over the real columns; the other columns are 0. Also the bounds of the errors."""
    h = tile.original_h
    x, dy = (array[..., :h].astype(np.float64) for array in (tile.x, tile.dy))
    gamma = tile.gamma[:h].astype(np.float64)
    mean, variance = (array.astype(np.float64)[..., None] for array in (tile.mean, tile.variance))
    with np.errstate(all="ignore"):
        shifted = variance + float(tile.x.dtype.type(tile.epsilon))  # the call takes it in the type of the data
        pd_xl = dy * gamma
        pd_var = np.sum(-0.5 * pd_xl * (x - mean) * shifted**-1.5, axis=-1, keepdims=True)
        pd_mean = np.sum(-pd_xl * shifted**-0.5, axis=-1, keepdims=True) + pd_var / h * np.sum(-2.0 * (x - mean), axis=-1, keepdims=True)
        pd_x = pd_xl * shifted**-0.5 + pd_var * (2.0 / h) * (x - mean) + pd_mean / h
        xhat = (x - mean) * shifted**-0.5
        unit = 2.0**-24
        scale = 1.0 + np.abs(xhat)
        bound = shifted**-0.5 * (np.abs(pd_xl) + scale * np.mean(np.abs(pd_xl) * scale, axis=-1, keepdims=True))
    pad = [(0, 0)] * (x.ndim - 1) + [(0, tile.x.shape[-1] - h)]
    results = {"pd_x": pd_x, "pd_x_bound": 6 * unit * bound, "res_for_gamma": xhat, "res_for_gamma_bound": 5 * unit * scale}
    return {name: np.pad(array, pad) for name, array in results.items()}


def worst_error(got: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> float:
    """The largest |got - exact| over half an ulp of got's type plus `bound`; infinity where one is NaN and the other is not."""
    half_ulp = 0.5 * np.spacing(np.abs(exact).astype(got.dtype)).astype(np.float64)
    with np.errstate(all="ignore"):
        ratio = np.abs(got.astype(np.float64) - exact) / np.maximum(half_ulp + bound, np.finfo(np.float64).tiny)
    both_nan = np.isnan(got) & np.isnan(exact)
    same = both_nan | (got == exact.astype(got.dtype))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio)), initial=0.0))


def random_tile(shape: tuple[int, int, int], original_h: int, dtype: np.dtype, epsilon: float, seed: int) -> Tile:
    """Standard normal data with true statistics; the columns behind `original_h` are 0, as the document asks."""
    generator = np.random.default_rng(seed)
    b, s, h = shape
    x, dy = (generator.standard_normal(shape).astype(dtype) for _ in range(2))
    x[..., original_h:] = 0
    dy[..., original_h:] = 0
    gamma = generator.standard_normal(h).astype(dtype)
    real = x[..., :original_h].astype(np.float64)
    return Tile(
        x, dy, real.var(axis=-1).astype(dtype).reshape(b, s), real.mean(axis=-1).astype(dtype).reshape(b, s), gamma, epsilon, original_h
    )


def default_stack(tile: Tile, reuse: bool, ub_bytes: int) -> int:
    """A stackBufferSize of whole groups of rows that fit beside the sample's buffers in UB, of one group where none fits (the kernel then
    says what it lacks), at most the documented maximum; 0 = that maximum."""
    size, (b, s, h) = tile.x.dtype.itemsize, tile.x.shape
    tensors, unit = (9, 16) if size == 2 else (4 if reuse else 6, 8)
    used = sum(-(-elements * size // 32) * 32 * count for elements, count in ((b * s * h, 4), (b * s, 2), (h, 1)))
    rows = max((ub_bytes - used) // (4 * tensors * h) // unit, 1) * unit
    stack = rows * h * tensors * 4
    return 0 if stack >= max(b * s * h, h * h) * tensors * size else stack


def run_layer_norm_grad(
    program: Path,
    folder: Path,
    tile: Tile,
    options: list[str],
    reuse: bool = False,
    stack: int = 0,
    architecture: int = DEFAULT_ARCHITECTURE,
) -> tuple[int, dict]:
    """Runs a kernel with the sample's nine arguments. Returns the status and the outputs pd_x and res_for_gamma."""
    dtype = tile.x.dtype
    for name in ("x", "dy", "variance", "mean", "gamma"):
        getattr(tile, name).tofile(folder / f"{name}.bin")
    b, s, h = tile.x.shape
    outputs = {name: folder / f"{name}.bin" for name in ("pd_x", "res_for_gamma")}
    stack = stack or default_stack(tile, reuse, UB_BYTES[architecture])
    numbers = [b, s, h, tile.original_h, dtype.itemsize, int(reuse), stack, tile.epsilon]
    tiling = "layer_norm_grad:" + ",".join(map(repr, numbers))
    arguments = [f"in:{folder / name}.bin" for name in ("x", "dy", "variance", "mean", "gamma")]
    arguments += [f"out:{tile.x.nbytes}:{path}" for path in outputs.values()] + ["null", tiling]
    status = run_program(program, arguments, options)
    return status, {name: np.fromfile(path, dtype).reshape(b, s, h) for name, path in outputs.items()}


# ---- The command -----------------------------------------------------------------------------------------------------------


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in re.split("[,x]", text))
    except ValueError:
        raise UsageError(f"shape is '{text}', expected sizes such as 2,32,16") from None


def _load(path: str, dtype: np.dtype) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False) if path.endswith(".npy") else np.fromfile(path, dtype)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)  # kernels see this machine's byte order


def _dtype(name: str) -> np.dtype:
    known = ("float16", "float32", "float64", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
    if name not in known:
        raise UsageError(f"dtype is '{name}', expected one of {', '.join(known)} (numpy has no bfloat16: uint16 holds its bits)")
    return np.dtype(name)


def _tile_of(given: argparse.Namespace, dtype: np.dtype) -> Tile:
    shape = _shape(given.shape)
    if given.x and given.x.endswith(".npy"):
        shape = _load(given.x, dtype).shape
    if len(shape) != 3 or min(shape) < 1:
        raise UsageError(f"shape is {shape}, expected B,S,H of at least 1")
    tile = random_tile(shape, given.original_h or shape[2], dtype, given.epsilon, given.seed)
    for name in ("x", "dy", "variance", "mean", "gamma"):
        path = getattr(given, name)
        if not path:
            continue
        array, expected = _load(path, dtype), getattr(tile, name)
        if array.dtype != dtype or array.size != expected.size:
            raise UsageError(f"--{name} is {array.dtype} with {array.size} elements, expected {dtype} with {expected.size}")
        setattr(tile, name, array.reshape(expected.shape))
    if given.x:  # statistics of the given x, where none are given
        real = tile.x[..., : tile.original_h].astype(np.float64)
        tile.mean = tile.mean if given.mean else real.mean(axis=-1).astype(dtype)
        tile.variance = tile.variance if given.variance else real.var(axis=-1).astype(dtype)
    return tile


def _check_layer_norm_grad(given: argparse.Namespace, program: Path, folder: Path, options: list[str]) -> int:
    tile = _tile_of(given, np.dtype(given.dtype))
    status, outputs = run_layer_norm_grad(program, folder, tile, options, given.reuse_source, given.stack, given.architecture)
    if status != RIGHT:
        return status
    exact = layer_norm_grad(tile)
    for name, got in outputs.items():
        if given.out:
            np.save(Path(given.out) / f"{name}.npy", got)
        worst = worst_error(got, exact[name], exact[name + "_bound"])
        print(f"{name:14} {got.dtype} {list(got.shape)}  worst error {worst:.3f} of its bound  {'right' if worst <= 1 else 'WRONG'}")
        status = status if worst <= 1 else WRONG
    return status


_ARGUMENTS = "in:FILE, out:DTYPE:SHAPE:FILE[:EXPECTED], io:FILE:FILE[:EXPECTED], number:VALUE, zeros:BYTES, null"


@dataclass
class _Output:
    """What a kernel leaves in `raw`, where it goes, and what it should be."""

    path: str
    dtype: np.dtype
    shape: tuple[int, ...]
    expected: str | None
    raw: Path


def _prepare(spec: str, index: int, folder: Path) -> tuple[str, _Output | None]:
    """The host main's form of one --arg, and its output if it is one."""
    kind, _, rest = spec.partition(":")
    words = rest.split(":") if rest else []
    raw, given = folder / f"argument{index}.bin", folder / f"given{index}.bin"
    if spec == "null" or (kind in ("zeros", "number") and len(words) == 1) or kind == "layer_norm_grad":
        return spec, None
    if kind == "in" and len(words) == 1:
        _load(words[0], np.dtype(np.uint8)).tofile(raw)
        return f"in:{raw}", None
    if kind == "out" and len(words) in (3, 4):
        dtype, shape = _dtype(words[0]), _shape(words[1])
        return f"out:{dtype.itemsize * int(np.prod(shape))}:{raw}", _Output(words[2], dtype, shape, (words[3:] or [None])[0], raw)
    if kind == "io" and len(words) in (2, 3):
        array = _load(words[0], np.dtype(np.uint8))  # a .npy file names its type, raw bytes are compared as bytes
        array.tofile(given)
        return f"io:{given}:{raw}", _Output(words[1], array.dtype, array.shape, (words[2:] or [None])[0], raw)
    raise UsageError(f"--arg is '{spec}', expected {_ARGUMENTS} or layer_norm_grad:...")


def _check_arguments(given: argparse.Namespace, program: Path, folder: Path, options: list[str]) -> int:
    prepared = [_prepare(spec, index, folder) for index, spec in enumerate(given.arg)]
    status = run_program(program, [words for words, _ in prepared], options)
    for output in (output for _, output in prepared if output):
        got = np.fromfile(output.raw, output.dtype).reshape(output.shape)
        np.save(output.path, got) if output.path.endswith(".npy") else got.tofile(output.path)
        if output.expected is None or status == BROKEN_RULE:
            continue
        exact = _load(output.expected, output.dtype).reshape(output.shape)
        if output.dtype.kind == "f":
            exact = exact.astype(np.float64)
            worst = worst_error(got, exact, given.tolerance * np.abs(exact) + given.absolute)
        else:
            worst = np.inf if np.any(got != exact) else 0.0
        print(
            f"{output.path}  {output.dtype} {list(output.shape)}  worst error {worst:.3f} of half an ulp + tolerance  "
            f"{'right' if worst <= 1 else 'WRONG'}"
        )
        status = status if worst <= 1 else WRONG
    return status


def _architecture(given: argparse.Namespace) -> int:
    """--architecture, or the __NPU_ARCH__ that --define gives to the kernel; both must agree. Leaves it out of the defines."""
    named = [define.partition("=")[2] for define in given.define if define.partition("=")[0] == "__NPU_ARCH__"]
    given.define = [define for define in given.define if define.partition("=")[0] != "__NPU_ARCH__"]
    numbers = {int(text) if text.isdigit() else 0 for text in named} | ({given.architecture} if given.architecture is not None else set())
    if len(numbers) > 1:
        raise UsageError(f"--architecture and --define __NPU_ARCH__ are {' and '.join(map(str, sorted(numbers)))}, expected one number")
    architecture = next(iter(numbers), DEFAULT_ARCHITECTURE)
    if architecture not in UB_BYTES:
        raise UsageError(f"--architecture is {architecture}, expected one of {', '.join(map(str, sorted(UB_BYTES)))}")
    return architecture


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m addnorm ascendc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernel", type=Path)
    parser.add_argument("--entry", help="the kernel function, if the file has several")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--std", default="17", choices=["17", "20"], type=lambda text: text.removeprefix("c++"), help="also as c++17")
    parser.add_argument("--sanitize", default="", metavar="LIST", help="for example address,undefined or thread")
    parser.add_argument("--define", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--include", action="append", default=[], metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the program, built for a debugger, and the data there")
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="blocks that run at the same time")
    parser.add_argument("--mode", default="aiv", choices=["aiv", "aic", "mix", "mix11"])
    parser.add_argument("--architecture", type=int, metavar="N", help="__NPU_ARCH__; 2201 unless this or --define says otherwise")
    parser.add_argument("--key", type=int, default=0, help="the tiling key, for TILING_KEY_IS")
    tile = parser.add_argument_group("LayerNormGrad")
    tile.add_argument("--shape", default="2,32,16", metavar="B,S,H")
    tile.add_argument("--original-h", type=int, help="real columns, if H is padded")
    tile.add_argument("--dtype", default="float32", choices=["float32", "float16"])
    tile.add_argument("--epsilon", type=float, default=1e-5)
    tile.add_argument("--seed", type=int, default=0, help="of the data that no file gives")
    tile.add_argument("--stack", type=int, default=0, help="stackBufferSize in bytes; 0 = the largest useful one that fits")
    tile.add_argument("--reuse-source", action="store_true", help="make the tiling for isReuseSource = true")
    tile.add_argument("--out", metavar="DIR", help="where pd_x.npy and res_for_gamma.npy go")
    for name in ("x", "dy", "variance", "mean", "gamma"):
        tile.add_argument(f"--{name}", metavar="FILE", help=".npy, or raw bytes of the dtype")
    other = parser.add_argument_group("other kernels")
    other.add_argument("--arg", action="append", metavar="SPEC", help=_ARGUMENTS)
    other.add_argument("--tolerance", type=float, default=0.0, help="relative, added to half an ulp")
    other.add_argument("--absolute", type=float, default=0.0, help="the same for any value, for sums that may cancel")
    return parser


def main(argv: list[str] | None = None) -> int:
    try:
        given = _parser().parse_args(argv)
    except SystemExit as end:  # argparse's own 2 would read as a broken rule
        return UNUSABLE if end.code else RIGHT
    options = []
    for name in ("blocks", "threads", "mode", "key"):
        options += [f"--{name}", str(getattr(given, name))]
    try:
        if not given.kernel.is_file():
            raise UsageError(f"there is no file {given.kernel}")
        given.architecture = _architecture(given)
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            if given.out:
                Path(given.out).mkdir(parents=True, exist_ok=True)
            optimize = "-O0" if given.keep else "-O1"
            build = Build(given.compiler, given.std, given.sanitize, optimize, given.define, given.include, given.architecture)
            program = build_kernel(given.kernel, folder, build, given.entry)
            if given.keep:
                print(f"for a debugger: gdb {program}, with the arguments that run_kernel.cc explains")
            check = _check_arguments if given.arg else _check_layer_norm_grad
            return check(given, program, folder, options)
    except UsageError as error:
        print(f"addnorm ascendc: {error}", file=sys.stderr)
        return UNUSABLE
    except (OSError, TypeError, ValueError) as error:  # folders that are files, no such compiler, shapes that numpy refuses
        print(f"addnorm ascendc: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
