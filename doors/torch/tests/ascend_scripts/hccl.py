# SPDX-License-Identifier: Apache-2.0
"""The process-group set-up of spec 001's sample with two ranks: backend 'hccl', its communicator's name, collectives, DDP."""

import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch_npu
from torch.distributed.distributed_c10d import _get_default_group, _resolve_process_group


def run(rank: int, world_size: int, port: int) -> None:
    torch_npu.npu.set_device(rank)
    dist.init_process_group(backend="hccl", rank=rank, world_size=world_size, init_method=f"tcp://127.0.0.1:{port}")
    group = _get_default_group()
    name = group._get_backend(torch.device("npu")).get_hccl_comm_name(rank)
    assert dist.get_backend() == "hccl" and _resolve_process_group(name) is group
    part = dist.new_group([0, 1], backend="hccl")
    assert _resolve_process_group(part._get_backend(torch.device("npu")).get_hccl_comm_name(rank)) is part
    try:
        group._get_backend(torch.device("npu")).get_hccl_comm_name(world_size)
    except ValueError as error:
        assert "argument 'rankid' is 2, expected 0 to 1" in str(error), error
    else:
        raise AssertionError("a rank outside the group was accepted")
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.full((3,), rank + 1.0, dtype=dtype).npu()
        dist.all_reduce(x)
        assert x.tolist() == [3.0] * 3
    names = [None] * world_size
    dist.all_gather_object(names, name)
    assert names == [name] * world_size
    torch.manual_seed(rank)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3).npu())
    model(torch.full((2, 3), rank + 1.0, device=f"npu:{rank}")).sum().backward()
    assert torch.equal(model.module.weight.grad, torch.full((3, 3), 3.0))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(run, args=(2, port), nprocs=2)
    print("done")
