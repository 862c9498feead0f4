# SPDX-License-Identifier: Apache-2.0
"""A relay between two ranks of a gloo group, which can stop forwarding: a cut link between two hosts, without privileges.

    python tcp_relay.py FOLDER      # until its standard input ends

Ranks 0 and 1 have addresses of their own, 127.0.0.2 and 127.0.0.3. Rank 1 sees a store in which rank 0's address is the relay's, so every
byte between them goes through it. Rank 1 is the one that connects, as gloo lets the lower address listen.
"""

import re
import socket
import sys
import threading
from pathlib import Path

import torch.distributed as dist

_CONTROL = "control"


# ---- The relay. --------------------------------------------------------------------------------------------------------


class Relay:
    def __init__(self, folder: str):
        self._stopped = threading.Event()
        self._control = socket.socket(socket.AF_UNIX)
        self._control.bind(str(Path(folder) / _CONTROL))
        self._control.listen()
        self._open: list[socket.socket] = []  # stay open: a cut link closes nothing

    def run(self) -> None:
        """Answers 'open PORT' with the port of a relay to 127.0.0.2:PORT, and 'stop' with 'stopped'."""
        while True:
            connection, _ = self._control.accept()
            with connection:
                words = connection.recv(64).decode().split()
                if words[0] == "stop":
                    self._stopped.set()
                    connection.sendall(b"stopped")
                else:
                    listening = socket.create_server(("127.0.0.1", 0))
                    threading.Thread(target=self._serve, args=(listening, int(words[1])), daemon=True).start()
                    connection.sendall(str(listening.getsockname()[1]).encode())

    def _serve(self, listening: socket.socket, port: int) -> None:
        while True:
            near, _ = listening.accept()
            far = socket.create_connection(("127.0.0.2", port))
            self._open += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                if self._stopped.is_set():
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def ask(folder: str, text: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(Path(folder) / _CONTROL))
        connection.sendall(text.encode())
        return connection.recv(64).decode()


# ---- What the ranks do. ------------------------------------------------------------------------------------------------


class _Rewriting(dist.Store):
    """A store in which rank 0's address is that of a relay."""

    def __init__(self, real, folder: str):
        super().__init__()
        self._real, self._folder = real, folder

    def get(self, key):
        # sockaddr_in: family 2, port, 127.0.0.2.
        return re.sub(rb"\x02\x00(..)\x7f\x00\x00\x02", self._relayed, self._real.get(key), flags=re.DOTALL)

    def _relayed(self, match) -> bytes:
        port = int(ask(self._folder, f"open {int.from_bytes(match[1], 'big')}"))
        return b"\x02\x00" + port.to_bytes(2, "big") + b"\x7f\x00\x00\x01"

    def set(self, key, value):
        return self._real.set(key, value)

    def add(self, key, value):
        return self._real.add(key, value)

    def check(self, keys):
        return self._real.check(keys)

    def wait(self, *arguments):
        return self._real.wait(*arguments)

    def set_timeout(self, timeout):
        return self._real.set_timeout(timeout)


_stores = []  # gloo's C++ side does not keep the Python half alive


def new_group(folder: str, rank: int):
    """A process group of ranks 0 and 1 whose bytes go through the relay of `folder`."""

    def make(options, _):
        gloo = dist.ProcessGroupGloo._Options()
        gloo._devices = [dist.ProcessGroupGloo.create_device(hostname=f"127.0.0.{2 + rank}", lazy_init=False)]
        gloo._timeout, gloo._threads = options.timeout, 2
        _stores.append(_Rewriting(options.store, folder) if rank == 1 else options.store)
        backend = dist.ProcessGroupGloo(_stores[-1], rank, 2, gloo)
        backend.options.group_name = options.group_id
        backend.options.global_ranks_in_group = options.global_ranks_in_group
        return backend

    dist.Backend.register_backend("relayed", make, extended_api=True, devices=["cpu"])
    return dist.new_group([0, 1], backend="relayed")


if __name__ == "__main__":
    threading.Thread(target=Relay(sys.argv[1]).run, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
