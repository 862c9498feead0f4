# SPDX-License-Identifier: Apache-2.0
"""How ranks that exchange messages hear that one of them has given up: a key per rank in the group's own store.

A store has a server, which may be stopped or gone, and then a look into it never ends. So only a thread that nobody waits for looks:
without a server there is no news, and a wait ends at its deadline as it would without this.
"""

import contextlib
import threading
import time

import torch.distributed as dist

_LOOK = 0.02  # seconds between two looks
_GIVEN_UP = " has given up: "
_PATIENCE = 0.1  # how long a rank that gives up waits for its own words to be stored


class News:
    """What the ranks of one connection tell each other. `word` is the same on all of them, and another one for each connection."""

    def __init__(self, group, word: str):
        self._rank, self._size = group.rank(), group.size()
        self._key = f"addnorm/{word}/"
        self._told = False
        self.heard: tuple[int, str] | None = None
        self._store = None
        # A connection of its own: another thread may be waiting in the group's. A group without a store has no news.
        with contextlib.suppress(Exception):
            self._store = dist.distributed_c10d._get_process_group_store(group).clone()
        self._lock = threading.Lock()  # one thread a time in the store

    @contextlib.contextmanager
    def listen(self):
        """While it lasts, `heard` becomes the first news of another rank."""
        over = threading.Event()

        def look():
            while self.heard is None and not over.is_set():
                if self._store.check([self._key + "first"]):
                    self.heard = self._read("first")
                over.wait(_LOOK)

        self._start(look)
        try:
            yield
        finally:
            over.set()

    def tell(self, result: int, text: str) -> None:
        """This rank has given up."""

        def write():
            record = f"{result} {self._rank} {text}"
            self._store.set(f"{self._key}{self._rank}", record)
            if not self._store.check([self._key + "first"]):
                self._store.set(self._key + "first", record)
            self._told = True

        self._start(write).wait(_PATIENCE)

    def call_roll(self, timeout: float) -> list[int]:
        """The ranks that have given up, this one included, once all have or the time is over. All of them where the store, which then
        tells nothing, does not answer."""
        if not self._told:
            return list(range(self._size))
        over, failed = threading.Event(), {self._rank}

        def look():
            while len(failed) < self._size and not over.is_set():
                for rank in set(range(self._size)) - failed:
                    if self._store.check([f"{self._key}{rank}"]):
                        failed.add(rank)
                time.sleep(0.001)

        self._start(look).wait(timeout)
        over.set()
        return list(failed)

    def _read(self, key: str) -> tuple[int, str]:
        result, rank, text = self._store.get(self._key + key).decode(errors="replace").split(" ", 2)
        # What a rank has only heard itself names the rank that it heard it from.
        return int(result), text if _GIVEN_UP in text else f"rank {rank}{_GIVEN_UP}{text}"

    def _start(self, body) -> threading.Event:
        """Runs body beside this thread. The event is set when it ends."""
        done = threading.Event()

        def run():
            with contextlib.suppress(Exception), self._lock:
                if self._store is not None:
                    body()
            done.set()

        threading.Thread(target=run, name="addnorm news", daemon=True).start()
        return done
