# SPDX-License-Identifier: Apache-2.0
"""Two ranks of DistributedDataParallel over gloo; exits non-zero unless the gradients are those of the whole batch."""

import os
import socket
import sys

import addnorm
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch.nn.parallel import DistributedDataParallel

RANKS = 2


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(16, 16)
        self.first = addnorm.DropoutAddLayerNorm(16, prenorm=True)
        self.second = addnorm.DropoutAddRMSNorm(16)

    def forward(self, x):
        y, residual = self.first(self.linear(x), x)
        return self.second(torch.relu(y), residual)


def gradients(model, x):
    model(x).square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def rank_main(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    torch.manual_seed(0)
    model, whole = Block(), torch.randn(8, 16)
    twin = Block()
    twin.load_state_dict(model.state_dict())
    mine = whole.chunk(RANKS)[rank]
    for got, want in zip(gradients(DistributedDataParallel(model), mine), gradients(twin, whole), strict=True):
        torch.testing.assert_close(got, want)
    # Ranks that share a key drop the same elements, and others do not.
    mask = addnorm.dropout_add_rms_norm(mine, None, None, None, 0.5, 1e-5, return_dropout_mask=True, seed=1)[1]
    masks = [torch.empty_like(mask) for _ in range(RANKS)]
    dist.all_gather(masks, mask)
    assert torch.equal(*masks)
    dist.destroy_process_group()


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    multiprocessing.spawn(rank_main, (free_port,), nprocs=RANKS)
    sys.exit(0)
