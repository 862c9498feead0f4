# SPDX-License-Identifier: Apache-2.0
"""Two ranks of DistributedDataParallel over gloo; exits non-zero unless the gradients are those of the whole batch."""

import sys
import tempfile
from pathlib import Path

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


def rank_main(rank, store):
    # A file is a rendezvous that no other process can take, as a free port can be.
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
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
    dist.barrier()  # gloo aborts a rank whose peer has left
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(rank_main, ((Path(folder) / "store").as_uri(),), nprocs=RANKS)
    sys.exit(0)
