# SPDX-License-Identifier: Apache-2.0
"""python -m addnorm ascendc: exit codes, messages, files, and kernels other than LayerNormGrad."""

import importlib.util
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ADD_CUSTOM = Path(__file__).with_name("icpu_sample") / "add_custom.cpp"


@pytest.fixture(scope="module")
def kernel(sample_text, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("kernel") / "layernorm_grad_custom.cpp"
    path.write_text(sample_text, encoding="utf-8")
    return str(path)


def test_sample_with_files(ascendc, kernel, tmp_path, capfd):
    generator = np.random.default_rng(1)
    x = generator.standard_normal((1, 16, 32)).astype(np.float32)
    dy = generator.standard_normal((1, 16, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    dy.tofile(tmp_path / "dy.bin")
    arguments = [kernel, "--x", str(tmp_path / "x.npy"), "--dy", str(tmp_path / "dy.bin"), "--out", str(tmp_path / "results")]
    assert ascendc.main(arguments) == ascendc.RIGHT
    out = capfd.readouterr().out
    assert out.count("right") == 2 and "[1, 16, 32]" in out
    xhat = np.load(tmp_path / "results" / "res_for_gamma.npy")
    wide = x.astype(np.float64)
    exact = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    assert np.max(np.abs(xhat - exact)) < 1e-5


def test_files_in_the_other_byte_order(ascendc, kernel, tmp_path):
    x = np.random.default_rng(3).standard_normal((1, 16, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "swapped.npy", x.astype(x.dtype.newbyteorder()))
    for name in ("x", "swapped"):
        arguments = [kernel, "--x", f"{tmp_path}/{name}.npy", "--out", f"{tmp_path}/{name}", "--std", "c++20"]
        assert ascendc.main(arguments) == ascendc.RIGHT
    assert np.array_equal(np.load(tmp_path / "x" / "pd_x.npy"), np.load(tmp_path / "swapped" / "pd_x.npy"))
    _, output = ascendc._prepare(f"io:{tmp_path}/swapped.npy:{tmp_path}/out.npy", 0, tmp_path)
    assert output.dtype.isnative and np.array_equal(np.fromfile(tmp_path / "given0.bin", np.float32), x.ravel())


def test_wrong_kernel_is_called_wrong(ascendc, kernel, tmp_path, capfd):
    # isReuseSource and so on are right, the formula is not: dy and x are swapped.
    text = Path(kernel).read_text(encoding="utf-8")
    text = text.replace("inputDyLocal, inputXLocal, inputVarianceLocal", "inputXLocal, inputDyLocal, inputVarianceLocal")
    wrong = tmp_path / "wrong.cpp"
    wrong.write_text(text, encoding="utf-8")
    assert ascendc.main([str(wrong)]) == ascendc.WRONG
    assert "WRONG" in capfd.readouterr().out


def test_broken_rule_ends_with_2(ascendc, kernel, capfd):
    assert ascendc.main([kernel, "--blocks", "2", "--threads", "2"]) == ascendc.BROKEN_RULE
    assert "rule 'block-conflict'" in capfd.readouterr().err


def test_a_tile_too_large_names_what_one_group_of_rows_needs(ascendc, kernel, capfd):
    assert ascendc.main([kernel, "--shape", "1,8,512", "--architecture", "3003"]) == ascendc.BROKEN_RULE
    assert f"expected at least {6 * 8 * 512 * 4} (the tiling's stackBufferSize)" in capfd.readouterr().err


def test_other_kernel_on_eight_blocks_and_threads(ascendc, tmp_path, capfd):
    generator = np.random.default_rng(2)
    x, y = (generator.standard_normal(8 * 2048).astype(np.float16) for _ in range(2))
    np.save(tmp_path / "x.npy", x)
    y.tofile(tmp_path / "y.bin")
    np.save(tmp_path / "expected.npy", (x.astype(np.float32) + y.astype(np.float32)).astype(np.float16))
    specs = [f"in:{tmp_path}/x.npy", f"in:{tmp_path}/y.bin", f"out:float16:8,2048:{tmp_path}/z.npy:{tmp_path}/expected.npy"]
    arguments = [str(ADD_CUSTOM), "--blocks", "8", "--threads", "8", "--compiler", "clang++-14", "--sanitize", "thread"]
    for spec in specs:
        arguments += ["--arg", spec]
    assert ascendc.main(arguments) == ascendc.RIGHT
    assert np.load(tmp_path / "z.npy").shape == (8, 2048)
    assert "worst error 0.000" in capfd.readouterr().out
    np.save(tmp_path / "expected.npy", x)
    assert ascendc.main(arguments) == ascendc.WRONG
    assert ascendc.main([*arguments, "--absolute", "10"]) == ascendc.RIGHT


RMS_NORM = ADD_CUSTOM.with_name("rms_norm_custom.cpp")


def rms_norm_arguments(folder: Path, rows: int, cols: int) -> list[str]:
    """Writes a problem and its answer into `folder`; the command's arguments for it."""
    generator = np.random.default_rng(cols)
    x, gamma = generator.standard_normal((rows, cols)).astype(np.float16), generator.standard_normal(cols).astype(np.float16)
    x.tofile(folder / "x.bin")
    gamma.tofile(folder / "gamma.bin")
    (folder / "tiling.bin").write_bytes(struct.pack("<IIf", rows, cols, 1e-5))
    wide = x.astype(np.float64)
    np.save(folder / "y.npy", wide / np.sqrt(np.mean(wide**2, -1, keepdims=True) + 1e-5) * gamma.astype(np.float64))
    out = f"out:float16:{rows},{cols}:{folder}/got.npy:{folder}/y.npy"
    specs = [f"in:{folder}/x.bin", f"in:{folder}/gamma.bin", out, "null", f"in:{folder}/tiling.bin"]
    return ["--tolerance", "1e-6", *(word for spec in specs for word in ("--arg", spec))]


@pytest.mark.parametrize(("rows", "cols", "blocks"), [(7, 100, 3), (5, 1, 8), (16, 4096, 4)])
def test_a_norm_of_basic_operations(ascendc, tmp_path, rows, cols, blocks):
    assert ascendc.main([str(RMS_NORM), "--blocks", str(blocks), *rms_norm_arguments(tmp_path, rows, cols)]) == ascendc.RIGHT


@pytest.mark.parametrize(("rows", "cols", "blocks"), [(5, 13, 2), (9, 256, 4)])
def test_a_softmax_with_reductions_and_padded_rows(ascendc, tmp_path, rows, cols, blocks):
    x = np.random.default_rng(cols).standard_normal((rows, cols)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    terms = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    np.save(tmp_path / "y.npy", terms / terms.sum(-1, keepdims=True))
    (tmp_path / "tiling.bin").write_bytes(struct.pack("<II", rows, cols))
    out = f"out:float32:{rows},{cols}:{tmp_path}/got.npy:{tmp_path}/y.npy"
    arguments = [str(ADD_CUSTOM.with_name("softmax_custom.cpp")), "--blocks", str(blocks), "--tolerance", "1e-6"]
    for spec in [f"in:{tmp_path}/x.npy", out, "null", f"in:{tmp_path}/tiling.bin"]:
        arguments += ["--arg", spec]
    assert ascendc.main(arguments) == ascendc.RIGHT


def test_a_norm_that_forgets_its_block_index(ascendc, tmp_path, capfd):
    wrong = tmp_path / "wrong.cpp"
    wrong.write_text(RMS_NORM.read_text(encoding="utf-8").replace("GetBlockIdx()", "GetBlockIdx() * 0"), encoding="utf-8")
    assert ascendc.main([str(wrong), "--blocks", "3", *rms_norm_arguments(tmp_path, 7, 100)]) == ascendc.BROKEN_RULE
    assert "cores stopped at a broken rule: 2" in capfd.readouterr().err


def test_usage(ascendc, kernel, tmp_path, capfd):
    def refused(arguments, *texts):
        assert ascendc.main(arguments) == ascendc.UNUSABLE
        error = capfd.readouterr().err
        for text in texts:
            assert text in error

    refused([str(tmp_path / "none.cpp")], "there is no file", "none.cpp")
    refused([kernel, "--entry", "other"], "--entry is other", "layernorm_grad_custom")
    refused([kernel, "--shape", "2,x"], "shape is '2,x'", "2,32,16")
    refused([kernel, "--arg", "in"], "--arg is 'in'", "out:DTYPE:SHAPE:FILE")
    refused([kernel, "--arg", "null"], "status 1")
    refused([kernel, "--stack", "100"], "stackBufferSize is 100, expected at least the 384 bytes of one row")
    (tmp_path / "x.bin").write_bytes(b"1234")
    refused([kernel, "--x", str(tmp_path / "x.bin")], "--x is float32 with 1 elements", "1024")
    (tmp_path / "host.cpp").write_text("int main() {}\n")
    refused([str(tmp_path / "host.cpp")], "no kernel entry")
    for main in ("int main() { return 0; }", "int main(int argc, char** argv) { return argc; }"):
        (tmp_path / "both.cpp").write_text(
            f'#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void both(GM_ADDR x) {{}}\n{main}\n'
        )
        for compiler in ("g++", "clang++-14"):
            refused([str(tmp_path / "both.cpp"), "--compiler", compiler], "both.cpp has a main of its own, expected the kernel alone")
    (tmp_path / "error.cpp").write_text(
        '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void error(GM_ADDR x) { nonsense; }\n'
    )
    refused([str(tmp_path / "error.cpp")], "refused the kernel", "nonsense")


def test_bad_arguments_end_with_3_and_one_line(ascendc, kernel, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    (tmp_path / "x.bin").write_bytes(bytes(4096))
    np.save(tmp_path / "one.npy", np.zeros(1, np.float32))
    out, x = f"{tmp_path}/z.npy", f"in:{tmp_path}/x.bin"
    add = [str(ADD_CUSTOM), "--arg", x, "--arg", x, "--arg"]
    for arguments, text in [
        ([kernel, "--compiler", "no-such-compiler"], "no-such-compiler"),
        ([kernel, "--out", str(tmp_path / "file")], "file"),
        ([kernel, "--keep", str(tmp_path / "file" / "below")], "file"),
        ([kernel, "--shape=-1,2,16"], "at least 1"),
        ([kernel, "--shape", "2,16,0"], "at least 1"),
        ([*add, f"out:no_type:8:{out}"], "dtype is 'no_type', expected one of float16, float32"),
        ([*add, f"out:bfloat16:8:{out}"], "uint16 holds its bits"),
    ]:
        assert ascendc.main(arguments) == ascendc.UNUSABLE, arguments
        error = capfd.readouterr().err
        assert text in error and error.count("\n") == 1, error
    assert ascendc.main([kernel, "--no-such-option"]) == ascendc.UNUSABLE
    assert "--no-such-option" in capfd.readouterr().err


def test_entries_as_people_write_them(ascendc):
    head = 'extern "C" __global__ __aicore__ void'
    for text in [
        f"{head} k(__gm__ uint8_t *__restrict__ x, uint8_t*__restrict__ y) {{}}",
        f"{head} k(GM_ADDR x /* (in), B */,\n  GM_ADDR y)  // (out), S\n {{}}",
        f"{head} k(GM_ADDR x, // first (of two)\n GM_ADDR y) {{}}\n// {head} old(int) {{}}",
        f'const char* s = "/*"; {head} k(GM_ADDR x) {{}} // */',
        "__global__ __vector__ void k(GM_ADDR x) {}",
        "__vector__ __global__ __aicore__ void k(GM_ADDR x, Tiling tiling) {}",
        "__global__ __mix__(1, 2) void k(GM_ADDR x) {}",
        "inline __aicore__ void helper(int) {}\n__global__ __aicore__\nvoid\nk (GM_ADDR x) {}",
        f"{head} k(GM_ADDR x);\n{head} k(GM_ADDR x) {{}}",
    ]:
        assert ascendc.find_entry(text, None) == "k", text
    with pytest.raises(ascendc.UsageError, match="kernels a, b"):
        ascendc.find_entry("__global__ void a() {} __global__ void b() {}", None)
    assert ascendc.find_entry("__global__ void a() {} __global__ void b() {}", "b") == "b"


SCALE = """
#include "kernel_operator.h"
struct Tiling { uint32_t count; float factor; };
namespace mine {
template <typename T>
__global__ __vector__ void scale(GM_ADDR data, Tiling tiling, float offset) {
  AscendC::GlobalTensor<T> gm;
  gm.SetGlobalBuffer((__gm__ T*)data, tiling.count);
  for (uint32_t i = 0; i < tiling.count; i++) gm.SetValue(i, gm.GetValue(i) * tiling.factor + offset + (TILING_KEY_IS(3) ? 100 : 0));
}
}
"""


def test_struct_and_number_by_value_io_and_key(ascendc, tmp_path, capfd):
    kernel = tmp_path / "scale.cpp"
    kernel.write_text(SCALE, encoding="utf-8")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "tiling.bin").write_bytes(struct.pack("<If", 6, 2.0))
    np.save(tmp_path / "expected.npy", x * 2 - 0.5)
    io = f"io:{tmp_path}/x.npy:{tmp_path}/y.npy:{tmp_path}/expected.npy"
    arguments = [str(kernel), "--entry", "mine::scale<float>", "--arg", io, "--arg", f"in:{tmp_path}/tiling.bin", "--arg"]
    assert ascendc.main([*arguments, "number:-0.5"]) == ascendc.RIGHT
    assert np.array_equal(np.load(tmp_path / "y.npy"), x * 2 - 0.5)
    assert np.array_equal(np.load(tmp_path / "x.npy"), x)
    assert ascendc.main([*arguments, "number:-0.5", "--key", "3"]) == ascendc.WRONG
    assert np.array_equal(np.load(tmp_path / "y.npy"), x * 2 + 99.5)
    capfd.readouterr()
    arguments[-2] = f"in:{tmp_path}/expected.npy"  # 24 bytes of data for a struct of 8
    assert ascendc.main([*arguments, "number:1"]) == ascendc.UNUSABLE
    assert "has 24 bytes, expected the 8 of the kernel's parameter" in capfd.readouterr().err


FILL = """
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void fill(GM_ADDR bytes) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, *(uint32_t*)bytes);
#if __NPU_ARCH__ != 3510
  pipe.InitBuffer(buffer, 250 * 1024);
#endif
}
"""


def test_architecture_by_option_or_define(ascendc, tmp_path, capfd):
    kernel = tmp_path / "fill.cpp"
    kernel.write_text(FILL, encoding="utf-8")
    (tmp_path / "bytes.bin").write_bytes(struct.pack("<I", 248 * 1024))
    arguments = [str(kernel), "--arg", f"in:{tmp_path}/bytes.bin"]
    assert ascendc.main(arguments) == ascendc.BROKEN_RULE
    assert "architecture 2201" in capfd.readouterr().err
    assert ascendc.main([*arguments, "--architecture", "3510"]) == ascendc.RIGHT
    assert ascendc.main([*arguments, "--define", "__NPU_ARCH__=3510"]) == ascendc.RIGHT
    assert ascendc.main([*arguments, "--define", "__NPU_ARCH__=3510", "--architecture", "2201"]) == ascendc.UNUSABLE
    assert "2201 and 3510, expected one number" in capfd.readouterr().err
    assert ascendc.main([*arguments, "--architecture", "7"]) == ascendc.UNUSABLE
    assert "--architecture is 7, expected one of" in capfd.readouterr().err


PRINTS = """
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void prints(GM_ADDR) {
  printf("before the fault\\n");
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, 64);
  AscendC::Duplicate(buffer.Get<float>()[1], 1.0f, 8);
}
"""


@pytest.mark.parametrize("options", [[], ["--abort"]])
def test_prints_before_the_fault_come_before_its_rule(ascendc, tmp_path, options):
    """In one pipe, where the C library keeps prints back until the end."""
    kernel = tmp_path / "prints.cpp"
    kernel.write_text(PRINTS, encoding="utf-8")
    program = ascendc.build_kernel(kernel, tmp_path, ascendc.Build(optimize="-O0"))
    done = subprocess.run([str(program), *options, "null"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == (-signal.SIGABRT if options else 2)
    lines = done.stdout.splitlines()
    assert lines[0] == "before the fault" and "rule 'alignment' broken" in lines[1], done.stdout


def test_keep_leaves_a_program_for_a_debugger(ascendc, kernel, tmp_path):
    assert ascendc.main([kernel, "--keep", str(tmp_path / "kept")]) == ascendc.RIGHT
    program = tmp_path / "kept" / "layernorm_grad_custom"
    assert os.access(program, os.X_OK)
    sections = subprocess.run(["readelf", "-SW", str(program)], capture_output=True, text=True, check=True).stdout
    assert ".debug_line" in sections


def test_by_its_file_without_torch(ascendc, kernel, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch here')\n")
    command = [sys.executable, ascendc.__file__, kernel]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("right") == 2


def test_installed_package(kernel):
    """The command as users have it, from the installed package."""
    package = importlib.util.find_spec("addnorm")
    kit = package and package.origin and Path(package.origin).parent / "ascendc_kit"
    if not kit or not kit.is_dir():
        reason = "addnorm is not installed with its Ascend C kit in this Python: `python -m addnorm ascendc` is not run from the package"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADDNORM_")}
    command = [sys.executable, "-m", "addnorm", "ascendc", kernel]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(kernel).parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("right") == 2
