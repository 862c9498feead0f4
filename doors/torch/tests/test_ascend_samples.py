# SPDX-License-Identifier: Apache-2.0
"""The samples of spec 000, taken from the document and run unmodified through ``python -m addnorm ascend-run``."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import spec_samples

_CHECK = str(Path(__file__).with_name("ascend_sample_check.py"))
_FAULTS = ["rms_flag_inverted", "x0_and_residual_swapped", "residual_lost", "p_ignored", "p_slightly_off", "eps_slightly_off"]
_FUNCTION_FAULTS = ["weight_and_bias_swapped", "rowscale_lost", "layerscale_lost", "pre_norm_detached", "mask_inverted"]
_CASES = {1: [], 2: _FAULTS, 3: [], 4: _FAULTS + _FUNCTION_FAULTS}


@pytest.fixture(scope="module")
def document(request) -> str:
    """The text of spec 000. Without it: skipped, saying so; in CI that is a failure."""
    path = spec_samples.find_document("000")
    if path is None:
        reason = f"spec document 000 is not in {spec_samples.spec_dir()} (ADDNORM_SPEC_DIR names another folder): its samples are not run"
        if os.environ.get("CI"):
            pytest.fail(reason)
        request.config.get_terminal_writer().line(f"\n{reason}")
        pytest.skip(reason)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def samples(document, tmp_path_factory) -> list[Path]:
    return spec_samples.write_samples("000", tmp_path_factory.mktemp("spec000"))


def _ascend_run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "addnorm", "ascend-run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def test_samples_are_the_document_unmodified(document, samples):
    assert len(samples) == len(_CASES)
    end = 0
    for path in samples:
        text = path.read_text(encoding="utf-8")
        end = document.index(text, end) + len(text)
        assert text.startswith("import torch\nimport torch_npu\n")


@pytest.mark.parametrize("case", _CASES)
def test_sample_runs(samples, case):
    assert _ascend_run(str(samples[case - 1])).stderr == ""


@pytest.mark.parametrize("case", _CASES)
def test_sample_is_right_and_faults_are_noticed(samples, case):
    """Gradients there, finite, of the right shape and type; values those of fp64; and no fault passes the check."""
    faults = _CASES[case]
    done = _ascend_run(_CHECK, str(samples[case - 1]), *faults)
    assert re.findall(r"^fault (\w+) noticed", done.stdout, re.MULTILINE) == faults, done.stdout
    print(done.stdout)


def test_signature_is_the_documented_one(document):
    """The order and the defaults in the document's own words, against what test_ascend_names.py demands of the code."""
    from test_ascend_names import _CLASS, _SPEC_000

    function = re.search(r"^ascendspeed_te_ops\.npu_dropout_add_layer_norm\((.*)\)$", document, re.MULTILINE).group(1)
    assert function.replace(",", "").replace("p=0. ", "p=0.0 ").replace("1e-5", "1e-05") == _SPEC_000
    for cls in ("NPUDropoutAddLayerNorm", "NPUDropoutAddRMSNorm"):
        arguments = re.search(rf"^CLASS {cls}\((.*)\)$", document, re.MULTILINE).group(1)
        assert arguments.replace(",", "").replace("1e-5", "1e-05") == _CLASS.removesuffix(" *device=None")


def test_absent_document_skips_and_fails_in_ci(tmp_path):
    """Runs this file where there are no documents."""
    for ci, outcome, code in (("", "skipped", 0), ("1", "error", 1)):
        environment = os.environ | {"ADDNORM_SPEC_DIR": str(tmp_path), "CI": ci}
        test = f"{__file__}::test_samples_are_the_document_unmodified"
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", test], capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == code and f"1 {outcome}" in done.stdout, done.stdout
        assert f"spec document 000 is not in {tmp_path}" in done.stdout


def test_extractor():
    text = "```\nimport no\n```\n```python\na = 1\n\n```\ntext\n```python\nb = 2\n```"
    assert spec_samples.python_samples(text) == ["a = 1\n\n", "b = 2\n"]
    with pytest.raises(ValueError, match="no end"):
        spec_samples.python_samples("```python\na = 1\n")
