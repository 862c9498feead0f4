# SPDX-License-Identifier: Apache-2.0
"""The namespace torch.npu (= torch_npu.npu) of an activated process. Every NPU is the CPU: work is done when a call returns."""

import contextlib

import torch

from addnorm.ascend import device as _device
from addnorm.ascend import npu_amp
from addnorm.ascend.npu_streams import Event as Event
from addnorm.ascend.npu_streams import Stream

amp = npu_amp
_current = 0
_stream = Stream()


def __getattr__(name: str):
    raise AttributeError(
        f"torch.npu.{name} is not in addnorm.ascend, which emulates a part of torch_npu on the CPU (addnorm/ascend/README.md)"
    )


# What torch asks of a device module.


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def init() -> None:
    """Nothing to do."""


_lazy_init = init


def _is_in_bad_fork() -> bool:
    return False  # the CPU survives a fork


def get_amp_supported_dtype() -> list[torch.dtype]:
    return [torch.float16, torch.bfloat16]


def is_bf16_supported() -> bool:
    return True


# Devices.


def device_count() -> int:
    return _device.NPU_COUNT


def current_device() -> int:
    return _current


def set_device(device) -> None:
    """device: int, 'npu:k' or torch.device('npu', k). It only sets what current_device returns."""
    global _current
    _current = _index(device)


class device(contextlib.ContextDecorator):
    """``with torch.npu.device(k):`` sets the current device and puts the old one back."""

    def __init__(self, device):
        self.index = _index(device)

    def __enter__(self):
        self.previous = current_device()
        set_device(self.index)

    def __exit__(self, *exception):
        set_device(self.previous)


def get_device_name(device=None) -> str:
    _index(device)
    return "CPU (addnorm.ascend)"


def synchronize(device=None) -> None:
    _index(device)


def empty_cache() -> None:
    """Nothing to do: torch's CPU allocator keeps no cache."""


def _index(device) -> int:
    """The index of `device`, the current one if it names none."""
    if device is None:
        return _current
    _device.place(device)
    parsed = torch.device("npu", device) if isinstance(device, int) else torch.device(device)
    if parsed.type != "npu":
        raise ValueError(f"torch.npu: argument 'device' is {parsed}, expected an NPU: an index, 'npu' or 'npu:k'")
    return _current if parsed.index is None else parsed.index


# Random numbers: the CPU's generator is every NPU's.


def manual_seed(seed: int) -> None:
    torch.default_generator.manual_seed(int(seed))


manual_seed_all = manual_seed


def seed() -> None:
    torch.default_generator.seed()


seed_all = seed


def initial_seed() -> int:
    return torch.default_generator.initial_seed()


def get_rng_state(device="npu") -> torch.Tensor:
    """[state bytes] uint8: the CPU generator's state."""
    _index(device)
    return torch.default_generator.get_state()


def set_rng_state(new_state: torch.Tensor, device="npu") -> None:
    _index(device)
    torch.default_generator.set_state(new_state)


def get_rng_state_all() -> list[torch.Tensor]:
    return [get_rng_state() for _ in range(device_count())]


def set_rng_state_all(new_states) -> None:
    for state in new_states:
        set_rng_state(state)


# Streams: one, in order.


def current_stream(device=None) -> Stream:
    _index(device)
    return _stream


default_stream = current_stream


def set_stream(stream: Stream) -> None:
    """Nothing to do: all work runs in the order of the calls."""


@contextlib.contextmanager
def stream(stream: Stream | None):
    yield stream
