# SPDX-License-Identifier: Apache-2.0
"""The ranks of a torch.distributed process group as addnorm's operators use them.

The first call on a group connects it, which is a collective step: ranks tell each other where they are. Processes of one host exchange
rows over shared memory, others by messages over the group itself (all_to_all and all_gather of bytes: gloo, mpi). ``ADDNORM_TRANSPORT``
= ``shm`` or ``messages`` forces one; ``ADDNORM_TIMEOUT`` is the default timeout of a call in seconds (30).
"""

import datetime
import os
import secrets
import warnings
import weakref

import torch
import torch.distributed as dist

from addnorm import _errors
from addnorm._messages import Engine, gather_bytes, take_interrupt
from addnorm._news import News

_ops = torch.ops.addnorm_parallel
_TRANSPORTS = ("shm", "messages")
_SHM_RANKS = 64  # what one segment of shared memory can hold
_RECORD = 256  # bytes that each rank tells the others when it connects


class Ranks:
    """This process's rank in a connected group. Made by connect(); ends with the process group, or by disconnect()."""

    def __init__(self, handle: int, rank: int, size: int):
        self.handle, self.rank, self.size = handle, rank, size
        self.close = weakref.finalize(self, _ops.close, handle)

    @property
    def transport(self) -> str:
        """'shared memory', 'messages (gloo)', ..."""
        return _ops.transport(self.handle)

    def history(self) -> str:
        """What the ranks did last, one step per line, as far as this rank can see: for reports of failures."""
        return _ops.history(self.handle)

    def refuse(self, timeout: float) -> None:
        """Tells the other ranks, which wait in a call, that this one cannot take part."""
        _ops.refuse(self.handle, timeout)
        if (interrupt := take_interrupt()) is not None:
            raise interrupt

    def __repr__(self):
        return f"<addnorm rank {self.rank} of {self.size} over {self.transport if self.close.alive else 'nothing, closed'}>"


_default_group = dist.GroupMember if dist.is_available() else None
_connected: "weakref.WeakKeyDictionary[object, Ranks]" = weakref.WeakKeyDictionary()


def seconds(api: str, timeout) -> float:
    """A timeout in seconds: None = the default, a number, or a timedelta."""
    if timeout is None:
        text = os.environ.get("ADDNORM_TIMEOUT", "30")
        try:
            timeout = float(text)
        except ValueError:
            raise ValueError(f"{api}: the environment variable ADDNORM_TIMEOUT is {text!r}, expected seconds") from None
    elif isinstance(timeout, datetime.timedelta):
        timeout = timeout.total_seconds()
    elif isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"{api}: argument 'timeout' is of type {type(timeout).__name__}, expected seconds, a timedelta or None")
    if not timeout > 0:
        raise ValueError(f"{api}: argument 'timeout' is {timeout:g} s, expected > 0")
    return float(timeout)


def resolve(api: str, group):
    """The process group that `group` means: one itself, its name, or None for the default one."""
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            f"{api}: torch.distributed is not initialised, expected torch.distributed.init_process_group(...) before this call; a single "
            "process is a group of world_size=1"
        )
    if group is None or group == "":
        return dist.distributed_c10d._get_default_group()
    if isinstance(group, str):
        try:
            return dist.distributed_c10d._resolve_process_group(group)
        except (RuntimeError, ValueError, KeyError):
            raise ValueError(f"{api}: argument 'group' is {group!r}, expected the name of a process group of this process") from None
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(f"{api}: argument 'group' is of type {type(group).__name__}, expected a ProcessGroup, its name or None")
    return group


def ranks_of(api: str, group, timeout: float) -> Ranks:
    """The connected ranks of `group`."""
    # The default group without resolve()'s checks, which cost more than the lookup.
    found = resolve(api, group) if group else _default_group.WORLD if _default_group else None
    return (_connected.get(found) if found is not None else None) or _connect(api, resolve(api, found), None, timeout)


def connect(group=None, transport: str | None = None, timeout=None) -> Ranks:
    """Connects the ranks of `group` now, which their first call would do otherwise. Collective: every rank of the group must call it.

    group: a ProcessGroup, its name, or None for the default one.  transport: 'shm', 'messages', or None = ADDNORM_TRANSPORT, else shared
    memory where all ranks can share it.  timeout: seconds or a timedelta; None = ADDNORM_TIMEOUT, else 30 s.

    Raises PeerTimeoutError or PeerError where ranks are missing, PeerError where they ask for different transports.
    """
    api = "addnorm.distributed.connect"
    timeout, group = seconds(api, timeout), resolve(api, group)
    if transport is not None and transport not in _TRANSPORTS:
        raise ValueError(f"{api}: argument 'transport' is {transport!r}, expected 'shm', 'messages' or None")
    if group in _connected:
        raise ValueError(f"{api}: argument 'group' is connected already ({_connected[group]}), expected disconnect(group) before")
    return _connect(api, group, transport, timeout)


def disconnect(group=None) -> None:
    """Forgets the connection of `group`, on every rank; the next call connects it again. This is how a group goes on after an error that
    ended its connection, as long as all its processes live and the process group itself still works."""
    ranks = _connected.pop(resolve("addnorm.distributed.disconnect", group), None)
    if ranks is not None:
        ranks.close()


def _connect(api: str, group, transport: str | None, timeout: float) -> Ranks:
    if transport is None:
        transport = os.environ.get("ADDNORM_TRANSPORT") or "auto"
    rank, size = group.rank(), group.size()
    host = _ops.listen(size) if rank == 0 and transport != "messages" and size <= _SHM_RANKS else None
    try:
        # Rank 0's random word tells this connection's keys in the store from those of another.
        mine = [transport, _ops.host_id(), _ops.address(host) if host is not None else "", secrets.token_hex(8)]
        told = _exchange(api, group, mine, timeout)
        shared = _choose(api, told) == "shm"
        handle = _share_memory(rank, size, host, told[0][2], timeout / 2) if shared else None
        if shared:
            # Memory may be short on one rank alone: what all do next must not depend on what one could do. Such a rank comes here at
            # once, while the others wait for it half of the time.
            outcomes = _exchange(api, group, ["" if isinstance(handle, int) else str(handle)], timeout)
            failed = [(q, text) for q, (text,) in enumerate(outcomes) if text]
            causes = "; ".join(f"rank {q} failed: {text}" for q, text in failed)
            if failed and isinstance(handle, int):
                _ops.close(handle)
            if failed and any(record[0] == "shm" for record in told):
                raise _errors.PeerError(f"{api}: shared memory was asked for, but {causes}")
            if failed and rank == 0:
                warnings.warn(f"{api}: messages are used, as ranks cannot share memory: {causes}", RuntimeWarning, stacklevel=4)
            shared = not failed
        if not shared:
            handle = Engine(group, News(group, told[0][3])).connect()
    finally:
        if host is not None:
            _ops.stop_listening(host)
    _connected[group] = ranks = Ranks(handle, rank, size)
    return ranks


def _exchange(api: str, group, words: list[str], timeout: float) -> list[list[str]]:
    """What each rank said, in rank order. PeerError where ranks are missing."""
    text = "\n".join(" ".join(word.split()) for word in words).encode()[:_RECORD]
    try:
        everyone = gather_bytes(group, text.ljust(_RECORD, b"\0"), timeout)
    except RuntimeError as error:
        late = "timed out" in str(error).lower()
        kind = _errors.PeerTimeoutError if late else _errors.PeerError
        raise kind(f"{api}: the ranks of the group could not be connected within {timeout:g} s: {error}") from error
    said = [record.rstrip(b"\0").decode(errors="replace").split("\n") for record in everyone]
    for rank, record in enumerate(said):
        if len(record) != len(words):
            raise _errors.PeerError(f"{api}: rank {rank} is not connecting, or has another version of addnorm")
    return said


def _choose(api: str, told: list[list[str]]) -> str:
    """The transport that all ranks choose from what all have been told: the same on each."""
    wanted = {record[0] for record in told} - {"auto"}
    for rank, (transport, *_) in enumerate(told):
        if transport not in (*_TRANSPORTS, "auto"):
            raise ValueError(
                f"{api}: the environment variable ADDNORM_TRANSPORT is {transport!r} on rank {rank}, expected 'shm' or 'messages'"
            )
    if len(wanted) > 1:
        asked = ", ".join(f"{record[0]} on rank {rank}" for rank, record in enumerate(told))
        raise _errors.PeerError(f"{api}: ranks ask for different transports ({asked}), expected one")
    possible = len({record[1] for record in told}) == 1 and len(told) <= _SHM_RANKS
    if wanted == {"shm"} and not possible:
        raise _errors.PeerError(f"{api}: shared memory was asked for, but the ranks are on different hosts or more than {_SHM_RANKS}")
    return "shm" if possible and wanted != {"messages"} else "messages"


def _share_memory(rank: int, size: int, host, address: str, timeout: float):
    """The handle of this rank's communicator, or the error with which it failed."""
    try:
        return _ops.accept(host, timeout) if rank == 0 else _ops.join(address, rank, size, timeout)
    except (RuntimeError, ValueError) as error:
        return error
