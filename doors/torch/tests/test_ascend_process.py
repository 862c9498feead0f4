# SPDX-License-Identifier: Apache-2.0
"""What activation does to a process and to those it starts. Every test runs scripts in processes of their own: it cannot be undone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from addnorm.ascend import is_active, main, module_path

_SCRIPTS = Path(__file__).parent / "ascend_scripts"


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, env=os.environ | environment)


def _ascend_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return _python("-m", "addnorm", "ascend-run", *arguments, **environment)


@pytest.mark.parametrize("script", sorted(path.name for path in _SCRIPTS.glob("*.py")))
def test_script(script):
    """Each script asserts what its first line says, in an activated process, and ends with 'done'."""
    done = _ascend_run(str(_SCRIPTS / script), "first", "--second")
    assert done.returncode == 0 and done.stdout.endswith("done\n"), f"{done.stdout}\n{done.stderr}"


def test_import_changes_nothing():
    code = """
import importlib.util, os, sys
path, environment = list(sys.path), dict(os.environ)
import torch
before = torch.zeros, torch.Tensor.to, torch.amp.autocast_mode.autocast.__init__, list(torch.distributed.Backend.backend_list)
import addnorm, addnorm.ascend
for name in ("torch_npu", "ascendspeed_te_ops", "ascendspeed", "mindspeed", "addnorm_ascend_autoload"):
    assert importlib.util.find_spec(name) is None, name
assert (path, environment) == (sys.path, dict(os.environ))
assert torch._C._get_privateuse1_backend_name() == "privateuseone"
assert before == (torch.zeros, torch.Tensor.to, torch.amp.autocast_mode.autocast.__init__, list(torch.distributed.Backend.backend_list))
assert not hasattr(torch, "npu") and not hasattr(torch.Tensor, "npu") and not hasattr(torch.nn.Module, "npu")
assert not addnorm.ascend.is_active()
"""
    done = _python("-c", code)
    assert done.returncode == 0, done.stderr


def test_activate_from_a_program():
    code = (
        "import addnorm.ascend as a; a.activate(); a.activate(); import torch_npu as t, torch; assert a.is_active() and torch.npu is t.npu"
    )
    done = _python("-c", code)
    assert done.returncode == 0, done.stderr


# ---- Refusals: with a message, and with nothing changed. ---------------------------------------------------------------

_UNCHANGED = """
import os, sys
import torch, addnorm.ascend
{before}
state = lambda: (list(sys.path), os.environ.get("PYTHONPATH"), torch._C._get_privateuse1_backend_name(), torch.zeros, hasattr(torch, "npu"))
was = state()
try:
    addnorm.ascend.activate()
except RuntimeError as error:
    print(error)
else:
    sys.exit("not refused")
assert was == state() and not addnorm.ascend.is_active()
"""


def _path_with(folder: Path) -> str:
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(folder)]))


@pytest.mark.parametrize("layout", ["torch_npu.py", "torch_npu/__init__.py"])
def test_refuses_where_a_real_torch_npu_is_installed(tmp_path, layout):
    file = tmp_path / layout
    file.parent.mkdir(exist_ok=True)
    file.write_text("raise AssertionError('the real torch_npu must not be imported')")
    path = _path_with(tmp_path)
    done = _python("-c", _UNCHANGED.format(before=""), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert f"torch_npu is {file}, expected none" in done.stdout


def test_command_refuses_without_a_traceback(tmp_path):
    (tmp_path / "torch_npu.py").write_text("")
    script = tmp_path / "script.py"
    script.write_text("raise AssertionError('must not run')")
    done = _ascend_run(str(script), PYTHONPATH=_path_with(tmp_path))
    assert done.returncode == 2 and done.stderr.startswith("ascend-run: ") and "torch_npu is" in done.stderr
    assert "Traceback" not in done.stderr


def test_refuses_where_a_real_torch_npu_is_loaded():
    code = _UNCHANGED.format(before="import types; sys.modules['torch_npu'] = types.ModuleType('torch_npu')")
    done = _python("-c", code)
    assert done.returncode == 0 and "loaded already" in done.stdout, done.stderr


def test_refuses_where_the_spare_backend_is_taken():
    done = _python("-c", _UNCHANGED.format(before="torch.utils.rename_privateuse1_backend('toaster')"))
    assert done.returncode == 0 and "'toaster'" in done.stdout, done.stderr


def test_another_python_keeps_its_torch():
    """A process that inherits the module path but has no addnorm: `import torch` works there and says what is missing."""
    code = "import sys; sys.modules['addnorm'] = None; import torch; print(torch._C._get_privateuse1_backend_name())"
    done = _python("-c", code, PYTHONPATH=module_path.SHIMS)
    assert done.returncode == 0 and done.stdout == "privateuseone\n" and "addnorm is not installed" in done.stderr, done.stderr


# ---- The command. ------------------------------------------------------------------------------------------------------


def test_wrong_command_lines(tmp_path, capsys):
    """Answered before anything is activated, so in this process."""
    assert main(["--help"]) == 0 and capsys.readouterr().out.startswith("usage: python -m addnorm ascend-run SCRIPT")
    for arguments in ([], ["--unknown", "script.py"]):
        assert main(arguments) == 2 and "usage:" in capsys.readouterr().err
    assert main([str(tmp_path / "absent.py")]) == 2 and "absent.py" in capsys.readouterr().err
    assert not is_active()


def test_the_script_decides_the_exit_status(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nsys.exit(7)\n")
    assert _ascend_run(str(script)).returncode == 7
    script.write_text("def fail():\n    raise KeyError('mine')\nfail()\n")
    done = _ascend_run(str(script))
    assert done.returncode == 1 and "KeyError: 'mine'" in done.stderr and f'"{script}", line 2, in fail' in done.stderr
