# SPDX-License-Identifier: Apache-2.0
"""Every kind of process that a script starts is activated too."""

import multiprocessing
import subprocess
import sys

import torch


def in_child(queue) -> None:
    queue.put((torch.zeros(1, device="npu:1").npu().device.type, torch.npu.is_available()))


class Squares(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.full((1,), float(i * i), device="npu").npu()


if __name__ == "__main__":
    for method in ("spawn", "fork", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=in_child, args=(queue,))
        process.start()
        assert queue.get(timeout=120) == ("cpu", True), method
        process.join()
    for method in ("spawn", "fork"):
        loader = torch.utils.data.DataLoader(Squares(), batch_size=2, num_workers=1, multiprocessing_context=method)
        assert [batch.flatten().tolist() for batch in loader] == [[0, 1], [4, 9]], method
    for code in (
        "import torch; torch.ones(1, device='npu').npu()",  # through the entry point of the module path
        "import ascendspeed_te_ops, torch; torch.ones(1).npu()",
        "import os; os.environ['TORCH_DEVICE_BACKEND_AUTOLOAD'] = '0'; import torch, torch_npu; torch.ones(1).npu()",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch; torch.ones(1).npu()'], check=True)",
    ):
        subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
    print("done")
