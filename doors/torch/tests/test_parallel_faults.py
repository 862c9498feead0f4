# SPDX-License-Identifier: Apache-2.0
"""Ranks that die, fail, come late or disagree: every other rank ends with an error that names the culprit, in time; none hangs."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import parallel_faults
import pytest
from parallel_cases import spawn

TRANSPORTS = ("shm", "messages")


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return request.param


def run(body, transport, folder, *args, size=3):
    outcomes = spawn(body, size, folder, *args, environment={"ADDNORM_TRANSPORT": transport})
    return [outcome.get("returned", outcome) for outcome in outcomes]


def assert_failed(outcome, kinds, seconds, *words):
    kind, text, took = outcome
    assert kind in kinds and all(word in text for word in words), outcome
    assert text.startswith("addnorm.matmul_all_reduce_add_rms_norm: "), text
    assert took <= seconds, outcome


@pytest.mark.parametrize("in_call", [False, True])
def test_killed_rank(transport, in_call, tmp_path):
    first, dead, last = run(parallel_faults.killed, transport, tmp_path, in_call)
    assert dead == {}
    for outcome in (first, last):
        # Over messages a neighbour sees a death, which gloo does not name, and tells the others.
        assert_failed(outcome, ("PeerError", "PeerTimeoutError"), 5, *(["rank 1"] if transport == "shm" else []))


def test_rank_that_raises_before_the_call(transport, tmp_path):
    first, failed, last = run(parallel_faults.raises_before, transport, tmp_path)
    assert failed["error"] == "RuntimeError"
    for outcome in (first, last):
        assert_failed(outcome, ("PeerError", "PeerTimeoutError"), 5, *(["rank 1"] if transport == "shm" else []))


def test_rank_that_never_connects(transport, tmp_path):
    first, _, last = run(parallel_faults.never_connects, transport, tmp_path)
    for kind, text, took in (first, last):
        assert kind == "PeerTimeoutError" and "could not be connected within 1.5 s" in text and took < 3, (kind, text, took)


def test_late_rank(transport, tmp_path):
    outcomes = run(parallel_faults.late, transport, tmp_path)
    for rank, (first, second, third) in enumerate(outcomes):
        if rank != 1:
            assert_failed(first, ("PeerTimeoutError",), 2.0, "rank 1")
            assert first[2] >= 0.8, "the error came before the deadline"
            assert second[0] == first[0] and second[2] < 0.5, "the second call did not fail at once with the same cause"
        else:
            assert first[0] in ("PeerError", "PeerTimeoutError"), first
        assert third[:2] == ["", "500.0"], "the ranks did not recover"


def test_rank_that_gives_up(tmp_path):
    """Over messages nothing but its word tells the others."""
    waits, gave_up, _ = run(parallel_faults.gives_up, "messages", tmp_path)
    assert_failed(gave_up, ("PeerTimeoutError",), 2.0, "no word from rank", "2")
    assert_failed(waits, ("PeerTimeoutError",), 3.0, "rank 1 has given up: waiting for the headers", "no word from rank 2")


def test_interrupt(tmp_path):
    """Over messages a call runs functions of Python, which a signal may interrupt: the call is, and the others hear of it."""
    waits, interrupted, _ = run(parallel_faults.interrupted, "messages", tmp_path)
    assert interrupted[0] == "KeyboardInterrupt" and interrupted[2] < 2, interrupted
    assert_failed(waits, ("PeerError",), 3.0, "rank 1 has given up: waiting for the headers: KeyboardInterrupt")


def test_rank_that_cannot_share_memory(tmp_path):
    outcomes = run(parallel_faults.cannot_share, "", tmp_path, None)
    for rank, (transport, warned, after) in enumerate(outcomes):
        assert transport == "messages (gloo)" and after[:2] == ["", "500.0"], outcomes
        assert any("rank 1 failed: too many open files" in text for text in warned) == (rank == 0), warned


def test_rank_that_cannot_share_memory_as_asked(tmp_path):
    for outcome in run(parallel_faults.cannot_share, "", tmp_path, "shm"):
        assert "shared memory was asked for" in outcome and "rank 1 failed: too many open files" in outcome, outcome


def test_forked_child(transport, tmp_path):
    outcomes = run(parallel_faults.forked, transport, tmp_path)
    kind, text, took = outcomes[1][0]
    assert kind in ("PeerError", "RuntimeError", "ValueError") and "forked" in text and took < 1, outcomes
    assert all(after[:2] == ["", "500.0"] for _, after in outcomes), outcomes


def test_slow_is_not_dead(transport, tmp_path):
    for kind, text, took in run(parallel_faults.slow_but_in_time, transport, tmp_path):
        assert kind == "" and took < 10, (kind, text, took)


def test_disagreement(transport, tmp_path):
    words = {"residual": "fingerprint of residual and gamma"}
    for found in run(parallel_faults.other_arguments, transport, tmp_path):
        for name, outcome in found.items():
            assert_failed(outcome, ("PeerError",), 10, "ranks disagree", "rank 1", words.get(name, name))


def test_refused_arguments(transport, tmp_path):
    outcomes = run(parallel_faults.refused_arguments, transport, tmp_path)
    for rank, (python, core, epsilon, own, timeout, after) in enumerate(outcomes):
        if rank == 1:
            assert python[0] == "TypeError" and "argument 'gamma' is of type NoneType" in python[1]
            assert core[0] == "ValueError" and "argument 'gamma' has shape [3], expected [4]" in core[1]
            assert epsilon[0] == "ValueError" and "argument 'epsilon' is more than a float can hold" in epsilon[1], epsilon
            assert own[0] == "RuntimeError" and timeout[0] == "ValueError" and "argument 'timeout' is -1 s" in timeout[1], (own, timeout)
        else:
            for outcome in (python, core, epsilon, own, timeout):
                assert_failed(outcome, ("PeerError",), 10, "rank 1 refused its arguments")
        assert after[:2] == ["", "500.0"], after


def test_transports_differ(tmp_path):
    for outcome in run(parallel_faults.transports_differ, "", tmp_path):
        assert_failed(outcome, ("PeerError",), 10, "ranks ask for different transports (shm on rank 0, messages on rank 1, shm on rank 2)")


def test_link_that_is_cut(tmp_path):
    """Two addresses with a relay between them, over messages. The relay stops forwarding: both ranks end by their deadline."""
    command = [sys.executable, str(Path(__file__).with_name("tcp_relay.py")), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout.readline() == "ready\n"
        outcomes = run(parallel_faults.behind_a_relay, "messages", tmp_path, str(tmp_path), size=2)
        relay.stdin.close()
    for outcome in outcomes:
        assert isinstance(outcome, list), outcome
        before, cut, after = outcome
        assert before[:2] == ["", "340.0"], before
        assert_failed(cut, ("PeerTimeoutError",), 2.5)
        assert cut[2] >= 1.4, "the error came before the deadline"
        assert after[0] == "PeerTimeoutError" and after[2] < 0.5, "the second call did not fail at once with the same cause"


def test_network_namespaces(tmp_path, request):
    """Two hosts as far as the kernel can make them: shared memory is not chosen, and a cut link ends in errors."""
    namespace = ["unshare", "--user", "--map-root-user", "--net"]
    probe = [*namespace, "ip", "link", "add", "addnorm0", "type", "veth", "peer", "name", "addnorm1"]
    missing = next((f"no {program}" for program in ("unshare", "ip") if shutil.which(program) is None), None)
    if missing is None:
        tried = subprocess.run(probe, capture_output=True, text=True)
        missing = None if tried.returncode == 0 else tried.stderr.strip()
    if missing is not None:
        reason = f"network namespaces cannot be made here ({missing}): the relay's test stands alone"
        request.config.get_terminal_writer().line(f"\n{reason}")
        pytest.skip(reason)
    script = str(Path(__file__).with_name("net_namespaces.py"))
    done = subprocess.run([*namespace, sys.executable, script, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    end = time.monotonic() + 20
    files = [tmp_path / f"{rank}.json" for rank in range(2)]
    while not all(file.exists() and file.stat().st_size for file in files):
        assert time.monotonic() < end, "a rank left no result"
        time.sleep(0.05)
    for file in files:
        transport, before, cut = json.loads(file.read_text())
        assert transport == "messages (gloo)" and before[:2] == ["", "340.0"], before
        assert_failed(cut, ("PeerTimeoutError",), 2.5)
