# SPDX-License-Identifier: Apache-2.0
"""The command's module from this checkout, the compilers, and spec 003's sample."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import extract_sample

_MODULE = Path(__file__).absolute().parents[2] / "torch" / "addnorm" / "ascendc.py"


def _absent(reason: str) -> None:
    """Skips, saying why; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def ascendc():
    """doors/torch/addnorm/ascendc.py, with a library to link."""
    spec = importlib.util.spec_from_file_location("ascendc_command", _MODULE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    try:
        module.find_kit()
    except module.UsageError as error:
        _absent(str(error))
    return module


@pytest.fixture(scope="session")
def compilers() -> list[str]:
    """Both compilers that the door promises."""
    found = [name for name in ("g++", "clang++-14") if shutil.which(name)]
    if len(found) < 2:
        _absent(f"only {found} of g++ and clang++-14 are installed: kernels are not compiled with the other")
    return found


@pytest.fixture(scope="session")
def sample_text() -> str:
    """Spec 003's kernel, as printed."""
    document = extract_sample.find_document()
    if document is None:
        _absent(f"spec document 003 is not in {extract_sample.spec_dir()} (ADDNORM_SPEC_DIR names another folder): its sample is not run")
    return extract_sample.kernel_sample(document.read_text(encoding="utf-8"))
