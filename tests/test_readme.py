# SPDX-License-Identifier: Apache-2.0
"""The examples of README.md, taken out of it and run as a reader would."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
# <!-- example: NAME --> and the fenced block below it.
_EXAMPLE = re.compile(r"^<!-- example: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = dict(_EXAMPLE.findall(_TEXT))
NAMES = {"python", "parallel", "ascend-run", "cmake", "example.cc", "example.c", "ascendc"}


def run(command, folder) -> str:
    """Its output. Fails with everything it printed if it does not end with 0."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def numbers(text) -> list[float]:
    return [float(word) for word in text.split()]


def skip(request, reason):
    """Says why on the terminal too. CI builds everything first, so that there it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    request.config.get_terminal_writer().line(f"\n{reason}")
    pytest.skip(reason)


def test_every_block_is_an_example():
    assert set(EXAMPLES) == NAMES
    code = re.findall(r"^```(python|cpp|c|cmake)$", _TEXT, re.MULTILINE)
    assert len(code) == len(NAMES - {"ascendc"}), "a block of code without an <!-- example: NAME --> line above it"


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", _TEXT)
    assert len(targets) >= 8
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:`|^|: )make ([a-z]+)", _TEXT, re.MULTILINE))
    assert {"demo", "test", "bench", "accuracy", "install", "setup"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_python(tmp_path):
    (tmp_path / "example.py").write_text(EXAMPLES["python"], encoding="utf-8")
    printed = run([sys.executable, "example.py"], tmp_path).splitlines()
    assert printed == ["torch.Size([2, 16, 64]) torch.Size([2, 16, 64]) torch.Size([64])", "torch.bfloat16 torch.bfloat16"]


def test_parallel(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Another program may have the port of the text.
    (tmp_path / "example.py").write_text(EXAMPLES["parallel"].replace("29511", str(port)), encoding="utf-8")
    printed = run([sys.executable, "example.py"], tmp_path)
    # Two processes share the terminal: their words may come in any order, and on one line.
    assert sorted(re.findall(r"torch\.Size\(\[6, 32\]\)|True|False", printed)) == ["True"] * 2 + ["torch.Size([6, 32])"] * 2


def test_ascend_script(tmp_path):
    (tmp_path / "sample.py").write_text(EXAMPLES["ascend-run"], encoding="utf-8")
    printed = run([sys.executable, "-m", "addnorm", "ascend-run", "sample.py"], tmp_path)
    assert printed.split() == "torch.Size([2, 16, 64]) torch.Size([2, 16, 64]) torch.Size([2, 16, 64])".split()


@pytest.fixture(scope="module")
def installed(request, tmp_path_factory) -> Path:
    """An install tree of the build at hand: of `make test`, or the one that ADDNORM_BUILD names."""
    names = ("release", "dev", "clang", "install")
    builds = [Path(os.environ["ADDNORM_BUILD"])] if "ADDNORM_BUILD" in os.environ else [ROOT / "build" / name for name in names]
    build = next(
        (path for path in builds if (path / "libaddnorm.so").exists() and (path / "doors/aclnn/libaddnorm_aclnn.so").exists()), None
    )
    if build is None:
        skip(request, f"README's C and C++ examples are not built: no library in {', '.join(map(str, builds))} (make build makes one)")
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        skip(request, "README's C and C++ examples are not built: no cmake or no C++ compiler")
    prefix = tmp_path_factory.mktemp("prefix")
    run(["cmake", "--install", str(build), "--prefix", str(prefix)], ROOT)
    return prefix


@pytest.fixture(scope="module")
def built(installed, tmp_path_factory) -> Path:
    """README's CMake project, built against the install tree."""
    folder = tmp_path_factory.mktemp("project")
    for file, name in (("CMakeLists.txt", "cmake"), ("example.cc", "example.cc"), ("example.c", "example.c")):
        (folder / file).write_text(EXAMPLES[name], encoding="utf-8")
    run(["cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={installed}"], folder)
    run(["cmake", "--build", "build"], folder)
    return folder / "build"


def test_cpp(built):
    # Both rows are an arithmetic sequence: the same after the norm.
    x = np.arange(4) - 1.5
    assert np.allclose(numbers(run(["./example"], built)), np.tile(x / np.sqrt(1.25 + 1e-5), 2), rtol=1e-5)


def test_c(built):
    rstd, xhat = 0.894427, (np.arange(4) - 1.5) * 0.894427
    expected = [rstd * (dy - dy.mean() - xhat * (dy * xhat).mean()) for dy in (np.eye(4)[0], np.eye(4)[3])]
    assert np.allclose(numbers(run(["./example_c"], built)), np.concatenate(expected), rtol=1e-5, atol=1e-6)


def test_kernel(tmp_path):
    kernel = re.search(r"\]\((\S+/add_custom\.cpp)\)", _TEXT)
    shutil.copy(ROOT / kernel[1], tmp_path)
    x = (np.arange(8 * 2048) % 2048).astype(np.float16).reshape(8, 2048)
    y = np.linspace(-1, 1, 8 * 2048, dtype=np.float16).reshape(8, 2048)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    words = EXAMPLES["ascendc"].split()
    assert words[0] == "python"
    run([sys.executable, *words[1:]], tmp_path)
    assert np.array_equal(np.load(tmp_path / "z.npy"), x + y)
