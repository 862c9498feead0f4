# SPDX-License-Identifier: Apache-2.0
"""Two ranks in network namespaces of their own, joined by a pair of virtual interfaces, of which one is then taken down.

    unshare --user --map-root-user --net python net_namespaces.py FOLDER       # rank 0; it starts rank 1

Each rank leaves what its calls came to in FOLDER/RANK.json: [transport, before the cut, after it].
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

INTERFACES, ADDRESSES = ("addnorm0", "addnorm1"), ("10.77.0.1/24", "10.77.0.2/24")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def wait_for(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the other rank did not come"
        time.sleep(0.02)


def rank_main(rank: int, folder: Path) -> None:
    import addnorm
    import parallel_faults
    import torch.distributed as dist

    wait_for(lambda: _has(INTERFACES[rank]))
    ip("addr", "add", ADDRESSES[rank], "dev", INTERFACES[rank])
    ip("link", "set", INTERFACES[rank], "up")
    ip("link", "set", "lo", "up")
    os.environ["GLOO_SOCKET_IFNAME"] = INTERFACES[rank]
    (folder / f"{rank}.up").touch()
    wait_for((folder / f"{1 - rank}.up").exists)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    before = parallel_faults.timed(20)
    transport = addnorm.distributed.ranks_of("test", None, 1).transport
    (folder / f"{rank}.before").touch()
    wait_for((folder / f"{1 - rank}.before").exists)
    if rank == 0:
        ip("link", "set", INTERFACES[rank], "down")
        (folder / "cut").touch()
    wait_for((folder / "cut").exists)
    (folder / f"{rank}.json").write_text(json.dumps([transport, before, parallel_faults.timed(1.5)]))
    os._exit(0)


def _has(interface: str) -> bool:
    # /sys shows the namespace in which it was mounted.
    return subprocess.run(["ip", "link", "show", interface], capture_output=True).returncode == 0


def main(folder: str, rank: int = 0) -> None:
    if rank == 0:
        other = subprocess.Popen(["unshare", "--net", sys.executable, __file__, folder, "1"])
        time.sleep(0.5)  # unshare has made the namespace by then; if not, the next step fails and says so
        ip("link", "add", INTERFACES[0], "type", "veth", "peer", "name", INTERFACES[1])
        ip("link", "set", INTERFACES[1], "netns", str(other.pid))
    rank_main(rank, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
