# SPDX-License-Identifier: Apache-2.0
"""Makes 'npu' a device name that means the CPU.

torch.device('npu:0') itself must parse, so torch's spare backend (PrivateUse1) is renamed to 'npu'. It gets no kernels: every entry
point that takes a device is wrapped so that an NPU never reaches the dispatcher. Wrapped functions, not a TorchFunctionMode: a mode
belongs to one thread and taxes every operator; these cost nothing outside the calls that can name a device, and torch.compile traces them.
"""

import functools
import sys

import torch
from torch.jit import _builtins

NPU_COUNT = 8  # The largest server that spec 001 names. Every one of them is this CPU.
_CPU = torch.device("cpu")

_FACTORIES = {
    torch: (
        "empty empty_like empty_permuted empty_strided zeros zeros_like ones ones_like full full_like arange range linspace logspace eye "
        "rand rand_like randn randn_like randint randint_like randperm normal tensor as_tensor asarray scalar_tensor "
        "tril_indices triu_indices bartlett_window blackman_window hamming_window hann_window kaiser_window "
        "sparse_coo_tensor sparse_compressed_tensor sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor"
    ),
    torch.fft: "fftfreq rfftfreq",
    torch.nested: "nested_tensor as_nested_tensor",
    torch.Tensor: "to new_tensor new_empty new_empty_strided new_full new_ones new_zeros",
}


def place(device):
    """The CPU where `device` (torch.device, str or index) names an NPU; anything else as it is. ValueError for an NPU that is not there."""
    if isinstance(device, str):
        if not device.startswith("npu"):
            return device
        device = torch.device(device)
    elif isinstance(device, int) and not isinstance(device, bool):
        device = torch.device("npu", device)  # a bare index means the accelerator's
    elif not isinstance(device, torch.device):
        return device
    if device.type != "npu":
        return device
    if device.index is not None and device.index >= NPU_COUNT:
        raise ValueError(f"addnorm.ascend: argument 'device' is {device}, expected npu:0 to npu:{NPU_COUNT - 1}")
    return _CPU


def name_backend(name: str, module) -> None:
    """Gives torch's spare backend `name` and `module` as torch.<name>. RuntimeError if it has another name or module already."""
    current = torch._C._get_privateuse1_backend_name()
    if current != "privateuseone" or hasattr(torch, name):
        raise RuntimeError(
            f"addnorm.ascend.activate: torch's spare backend (PrivateUse1) is named '{current}', expected 'privateuseone': "
            "another extension has taken it in this process, and torch lets it be named only once"
        )
    torch.utils.rename_privateuse1_backend(name)
    torch._register_device_module(name, module)


def map_npu_to_cpu() -> None:
    """Wraps what takes a device in this process. Call once, after name_backend."""
    from torch.utils import _device

    _device._device_constructors()  # torch caches this set; it must hold the originals, with which DeviceContext compares
    for owner, names in _FACTORIES.items():
        for name in names.split():
            setattr(owner, name, _mapped(getattr(owner, name), owner, name))
    _map_first_argument(_device.DeviceContext)  # `with torch.device('npu'):` and torch.set_default_device
    _map_autocast()
    _hide_from_autodetection()
    _add_methods()
    # torch.load(..., map_location='npu:0'), and files that were saved on an NPU. Priority 9: before torch's own, which start at 10.
    torch.serialization.register_package(9, lambda storage: None, lambda storage, location: storage if location.startswith("npu") else None)


def _mapped(real, owner, name: str):
    """`real`, which is owner.name, with its device passed through place()."""
    by_position = name == "to"  # x.to(device); the others take a device by keyword only

    @functools.wraps(real)
    def call(*args, **kwargs):
        if kwargs.get("device") is not None:
            kwargs["device"] = place(kwargs["device"])
        if by_position and len(args) > 1:
            args = (args[0], place(args[1]), *args[2:])
        return real(*args, **kwargs)

    call.__module__ = owner.__module__ if isinstance(owner, type) else owner.__name__  # so that it still pickles by name
    call.__qualname__ = f"{owner.__name__}.{name}" if isinstance(owner, type) else name
    operator = _builtins._find_builtin(real)
    if operator is not None:
        _builtins._register_builtin(call, operator)  # so that torch.jit.script still knows what torch.zeros is
    return call


def _map_first_argument(cls) -> None:
    real = cls.__init__

    @functools.wraps(real)
    def init(self, device, *args, **kwargs):
        real(self, place(device), *args, **kwargs)

    cls.__init__ = init


def _map_autocast() -> None:
    autocast = torch.amp.autocast_mode.autocast
    real = autocast.__init__

    @functools.wraps(real)
    def init(self, device_type, dtype=None, *args, **kwargs):
        if device_type == "npu":
            # float16 is what an NPU's autocast takes by default; the CPU's own default is bfloat16.
            device_type, dtype = "cpu", torch.float16 if dtype is None else dtype
        real(self, device_type, dtype, *args, **kwargs)

    autocast.__init__ = init


class _NoAccelerator(torch._C._acc.PrivateUse1Hooks):
    """Tells torch that the renamed backend is not there. Without any hooks torch.accelerator raises, and with it optimizer.step()."""

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False

    def has_primary_context(self, device_index: int) -> bool:
        return False


_HOOKS = _NoAccelerator()  # torch keeps only a plain pointer


def _hide_from_autodetection() -> None:
    """Keeps torch's own search for an accelerator (pinned memory, streams, DataParallel) from finding one: the tensors are on the CPU."""
    data_parallel = sys.modules["torch.nn.parallel.data_parallel"]  # its package has a function of the same name
    torch._C._acc.register_python_privateuseone_hook(_HOOKS)
    torch.accelerator.current_accelerator = _none_for_npu(torch.accelerator.current_accelerator)
    for module in (torch._utils, data_parallel):
        module._get_available_device_type = _none_for_npu(module._get_available_device_type)


def _none_for_npu(find):
    @functools.wraps(find)
    def call(*args, **kwargs):
        found = find(*args, **kwargs)
        return None if getattr(found, "type", found) == "npu" else found

    return call


def _add_methods() -> None:
    def npu(self, device=None, non_blocking=False, **kwargs):
        """Returns self: the CPU stands in for every NPU, so a tensor is always where it should be, and a leaf stays a leaf."""
        place(0 if device is None else device)  # only to refuse an NPU that is not there
        return self

    torch.Tensor.npu = npu
    torch.Tensor.is_npu = property(lambda self: self.device.type == "cpu", doc="True for a CPU tensor: the CPU stands in for the NPU.")
    torch.nn.Module.npu = npu
