# SPDX-License-Identifier: Apache-2.0
"""What ranks do in test_parallel_faults.py. Each function runs in every process of a group; rank 1 is the one with the fault."""

import json
import os
import signal
import threading
import time
import warnings

import addnorm
import torch


def tensors(rows: int = 5) -> dict:
    return {"x1": torch.ones(rows, 8), "x2": torch.ones(8, 4), "residual": torch.ones(rows, 4), "gamma": torch.ones(4)}


def call(timeout: float = 20, **changed) -> float:
    return addnorm.matmul_all_reduce_add_rms_norm(**tensors() | {"timeout": timeout} | changed)[0].sum().item()


def timed(seconds: float, **changed):
    """What a call came to: [name of the error, text, seconds]."""
    start = time.monotonic()
    try:
        result = ["", str(call(**{"timeout": seconds} | changed))]
    except Exception as error:
        result = [type(error).__name__, str(error)]
    return [*result, time.monotonic() - start]


def killed(rank, size, in_call):
    """Rank 1 dies after a call that succeeded: before its next one, or while the others wait in it."""
    call()
    if rank == 1:
        time.sleep(0.3 if in_call else 0.0)
        os.kill(os.getpid(), signal.SIGKILL)
    if not in_call:
        time.sleep(0.3)
    return timed(20)


def raises_before(rank, size):
    """Rank 1's program fails before the call, and its process ends."""
    call()
    if rank == 1:
        raise RuntimeError("the loader found no data")
    return timed(20)


def never_connects(rank, size):
    """Rank 1 never makes the first call."""
    return time.sleep(4) if rank == 1 else timed(1.5)


def late(rank, size):
    """Rank 1 comes after the deadline of the others; then all go on: connected again, or in a new group where gloo ended the old."""
    call()
    if rank == 1:
        time.sleep(2.5)
    first = timed(1.0)
    second = timed(1.0)
    time.sleep(max(0.0, 3.0 - first[2] - (2.5 if rank == 1 else 0.0)))
    if os.environ["ADDNORM_TRANSPORT"] == "messages":
        return [first, second, timed(20, group=torch.distributed.new_group())]
    addnorm.distributed.disconnect()
    return [first, second, timed(20)]


def gives_up(rank, size):
    """Rank 1 waits for rank 2 for half a second, rank 0 would for 20. Rank 2 never comes."""
    call()
    return time.sleep(6) if rank == 2 else timed(0.5 if rank == 1 else 20)


def interrupted(rank, size):
    """Rank 2 is late for a call. A signal interrupts rank 1, which waits for it: [name of the error, text, seconds] on ranks 0 and 1."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    call()
    if rank == 2:
        return time.sleep(6)
    if rank == 1:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    try:
        return ["", str(call(20)), time.monotonic() - start]
    except BaseException as error:
        return [type(error).__name__, str(error), time.monotonic() - start]


def cannot_share(rank, size, transport):
    """Rank 1 has no descriptors left for shared memory: [transport, its warning] or the error's text."""
    if rank == 1:
        addnorm.distributed._share_memory = lambda *_: OSError("too many open files")
    with warnings.catch_warnings(record=True) as caught:
        try:
            connected = addnorm.distributed.connect(transport=transport, timeout=4)
        except addnorm.PeerError as error:
            return str(error)
    return [connected.transport, [str(warning.message) for warning in caught], timed(20)]


def forked(rank, size):
    """A forked child of rank 1 calls, then all ranks do: [what the child's call came to or None, what this rank's did]."""
    call()
    told = None
    if rank == 1:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, json.dumps(timed(2)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as child:
            told = json.loads(child.read())
    return [told, timed(20)]


def slow_but_in_time(rank, size):
    call()
    if rank == 1:
        time.sleep(1.0)
    return timed(20)


def other_arguments(rank, size):
    """Rank 1's arguments are right, but not those of the others."""
    found = {}
    cases = {
        "epsilon": {"epsilon": 1e-5},
        "rows": tensors(6),
        "cols": {"x2": torch.ones(8, 3), "residual": torch.ones(5, 3), "gamma": torch.ones(3)},
        "scenario": {"x1": torch.ones(5, 8).half()},
        "blocks": {"comm_turn": 2},
        "residual": {"residual": torch.zeros(5, 4)},
    }
    for name, changed in cases.items():
        found[name] = timed(20, **changed if rank == 1 else {})
        addnorm.distributed.disconnect()
    return found


def refused_arguments(rank, size):
    """Rank 1's arguments are wrong, once for Python and once for C++, then as no tensor is; the last call succeeds."""
    wrong = ({"gamma": None}, {"gamma": torch.ones(3)}, {"epsilon": 10**400}, {"per_rank_residual": torch.ones(2)}, {"timeout": -1})
    return [timed(20, **(changed if rank == 1 else {})) for changed in (*wrong, {})]


def transports_differ(rank, size):
    os.environ["ADDNORM_TRANSPORT"] = "messages" if rank == 1 else "shm"
    return timed(20)


def behind_a_relay(rank, size, folder):
    """Ranks 0 and 1 on two addresses with a relay between them, which stops forwarding: [before, in a call, the call after]."""
    import tcp_relay

    group = tcp_relay.new_group(folder, rank)
    before = timed(20, group=group)
    assert addnorm.distributed.ranks_of("test", group, 1).transport.startswith("messages"), before
    torch.distributed.barrier()  # over the default group, which has no relay
    if rank == 0:
        tcp_relay.ask(folder, "stop")
    torch.distributed.barrier()
    return [before, timed(1.5, group=group), timed(1.5, group=group)]
