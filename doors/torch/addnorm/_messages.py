# SPDX-License-Identifier: Apache-2.0
"""A torch.distributed process group as a message engine: bytes only, through the group's own all_to_all and all_gather.

The functions are ctypes callbacks that C++ calls during an operator, which has released the GIL. They never raise: an error becomes a
code and a text. C types: include/addnorm/messages.h.
"""

import contextlib
import ctypes
import datetime
import itertools
import os
import threading
import time
import weakref
from ctypes import POINTER, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p

import torch
import torch.distributed as dist

from addnorm._news import News

# What C++ reads. _DONE is not 0: that is what ctypes returns for a function that an interrupt ended before it could say anything.
_DONE, _LATE, _FAILED = -1, 1, 2
_ALL_TO_ALL = 0


class _Exchange(ctypes.Structure):
    _fields_ = (
        ("kind", c_int32),
        ("ranks", c_int32),
        ("send", c_void_p),
        ("send_bytes", POINTER(c_size_t)),
        ("recv", c_void_p),
        ("recv_bytes", POINTER(c_size_t)),
    )


_START = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(_Exchange), c_int64, POINTER(c_uint64), POINTER(c_char), c_size_t)
_WAIT = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint64, c_int64, POINTER(c_char), c_size_t)
_RELEASE = ctypes.CFUNCTYPE(c_int32, c_void_p)
_FAIL = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
_ROLL_CALL = ctypes.CFUNCTYPE(None, c_void_p, c_int64, POINTER(c_uint8))
# A healthy wait ends before anybody looks whether a rank has given up; from then on it looks this often.
_PATIENCE, _LOOK = 0.05, 0.02


def _view(address: int, size: int) -> torch.Tensor:
    """[size] uint8 over memory that C++ owns."""
    if size == 0:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer((c_char * size).from_address(address), dtype=torch.uint8)


def _time(seconds: float) -> datetime.timedelta:
    """As torch takes it: whole milliseconds, and 0 would mean for ever."""
    return datetime.timedelta(milliseconds=max(1, int(seconds * 1000)))


def _all_gather(group, mine: torch.Tensor, everyone: torch.Tensor, timeout: datetime.timedelta):
    """Starts gathering the same number of bytes from each rank. The timeout is also the engine's own, whose threads it sets free."""
    options = dist.distributed_c10d.AllgatherOptions()
    options.timeout = timeout
    options.asyncOp = True
    return group._allgather_base(everyone, mine, options)


def _all_to_all(group, send, send_sizes, recv, recv_sizes, timeout: datetime.timedelta):
    options = dist.distributed_c10d.AllToAllOptions()
    options.timeout = timeout
    options.asyncOp = True
    return group.alltoall_base(recv, send, recv_sizes, send_sizes, options)


def gather_bytes(group, mine: bytes, timeout: float) -> list[bytes]:
    """`mine` of every rank, in rank order; all of one length. RuntimeError of torch's where that fails."""
    own = torch.frombuffer(bytearray(mine), dtype=torch.uint8)
    everyone = torch.empty(group.size() * len(mine), dtype=torch.uint8)
    _all_gather(group, own, everyone, _time(timeout)).wait(_time(timeout))
    return [bytes(part.tolist()) for part in everyone.chunk(group.size())]


class GivenUp(Exception):
    """Another rank will not go on: `result` is what its engine's functions gave."""

    def __init__(self, result: int, text: str):
        super().__init__(text)
        self.result = result


class Engine:
    """The engine of one communicator. The process group is only referred to: it may end before the communicator does."""

    def __init__(self, group, news: News):
        self._group, self.news, self._process = weakref.ref(group), news, os.getpid()
        self._numbers = itertools.count(1)
        self._flights = {}  # ticket -> (work, tensors that must live, what to do on arrival)

    def connect(self) -> int:
        """The handle of a communicator over the group."""
        group, context = self._group(), next(_contexts)
        _engines[context] = self
        return torch.ops.addnorm_parallel.messages(group.name(), group.rank(), group.size(), context, *_POINTERS)

    def start(self, exchange: _Exchange, timeout: float) -> int:
        """The ticket of an exchange that is under way."""
        if self.is_forked():
            raise RuntimeError("a forked child is not a rank: the sockets are its parent's")
        number = next(self._numbers)
        self._flights[number] = self._begin(exchange, timeout)
        return number

    def wait(self, ticket: int, timeout: float) -> None:
        work, _tensors, arrive = self._flights[ticket]
        end = time.monotonic() + timeout
        if not self._completes(work, min(_PATIENCE, timeout)):
            with self.news.listen():
                while not self._completes(work, min(_LOOK, end - time.monotonic())):
                    if self.news.heard is not None:
                        raise GivenUp(*self.news.heard)
                    if time.monotonic() >= end:
                        raise TimeoutError("timed out")
        if arrive is not None:
            arrive()
        del self._flights[ticket]

    @staticmethod
    def _completes(work, seconds: float) -> bool:
        """Whether the work ends within these seconds. Raises its error if it fails."""
        try:
            work.wait(_time(seconds))
        except RuntimeError:
            if work.is_completed():
                raise
            return False
        return True

    def is_forked(self) -> bool:
        return os.getpid() != self._process

    def is_idle(self) -> bool:
        return all(work.is_completed() for work, _, _ in self._flights.values())

    def _begin(self, exchange: _Exchange, timeout: float):
        group = self._group()
        if group is None:
            raise RuntimeError("the process group has been destroyed")
        recv_sizes = exchange.recv_bytes[: exchange.ranks]
        recv = _view(exchange.recv, sum(recv_sizes))
        if exchange.kind == _ALL_TO_ALL:
            send_sizes = exchange.send_bytes[: exchange.ranks]
            send = _view(exchange.send, sum(send_sizes))
            return _all_to_all(group, send, send_sizes, recv, recv_sizes, _time(timeout)), (send, recv), None
        send = _view(exchange.send, exchange.send_bytes[0])
        most = max(recv_sizes)
        if min(recv_sizes) == most:
            return _all_gather(group, send, recv, _time(timeout)), (send, recv), None
        # Ranges of different lengths travel padded to the longest.
        padded, everyone = torch.zeros(most, dtype=torch.uint8), torch.empty(most * exchange.ranks, dtype=torch.uint8)
        padded[: send.numel()] = send

        def arrive():
            for part, mine in zip(everyone.chunk(len(recv_sizes)), recv.split(recv_sizes), strict=True):
                mine.copy_(part[: mine.numel()])

        return _all_gather(group, padded, everyone, _time(timeout)), (padded, everyone, recv), arrive


# ---- What C++ calls. The functions live as long as the module; an engine is found by its number. ------------------------

_contexts = itertools.count(1)
_engines: dict[int, Engine] = {}


@_START
def _start(context, exchange, timeout_ns, ticket, error, error_bytes):
    try:
        ticket[0] = _engines[context].start(exchange.contents, timeout_ns / 1e9)
        return _DONE
    except BaseException as exception:
        return _tell(exception, error, error_bytes)


@_WAIT
def _wait(context, ticket, timeout_ns, error, error_bytes):
    end = time.monotonic() + timeout_ns / 1e9
    try:
        _engines[context].wait(ticket, timeout_ns / 1e9)
        return _DONE
    except GivenUp as given_up:
        _tell(given_up, error, error_bytes)
        return given_up.result
    except BaseException as exception:
        # Engines word their timeouts in many ways.
        return _tell(exception, error, error_bytes, late=time.monotonic() >= end - 0.005)


@_RELEASE
def _release(context):
    # What is still under way may touch its memory, which then is never freed; the tensors here only refer to it.
    return _DONE if _engines.pop(context).is_idle() else _FAILED


@_FAIL
def _fail(context, result, text):
    with contextlib.suppress(Exception):
        engine = _engines[context]
        if not engine.is_forked():
            engine.news.tell(result, text.decode(errors="replace"))


@_ROLL_CALL
def _roll_call(context, timeout_ns, failed):
    with contextlib.suppress(Exception):
        for rank in _engines[context].news.call_roll(timeout_ns / 1e9):
            failed[rank] = 1


_POINTERS = [ctypes.cast(function, c_void_p).value for function in (_start, _wait, _release, _fail, _roll_call)]


def take_interrupt() -> BaseException | None:
    """What ended the last call of this thread, if that was no error but a KeyboardInterrupt or the like: its caller raises it."""
    interrupt, _interrupts.exception = getattr(_interrupts, "exception", None), None
    return interrupt


_interrupts = threading.local()


def _tell(exception: BaseException, error, error_bytes: int, late: bool = False) -> int:
    if not isinstance(exception, Exception):
        _interrupts.exception, late = exception, False
    text = " ".join(str(exception).split()) or type(exception).__name__
    data = text.encode("ascii", "replace")[: error_bytes - 1] + b"\0"
    ctypes.memmove(error, data, len(data))
    return _LATE if late or "timed out" in text.lower() or "timeout" in text.lower() else _FAILED
