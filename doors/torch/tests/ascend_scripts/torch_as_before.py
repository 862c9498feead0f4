# SPDX-License-Identifier: Apache-2.0
"""What else a script uses of torch still works: random state, autocast, compile, script, optimizers, checkpoints, streams."""

import pickle
import time

import ascendspeed_te_ops
import torch
import torch.npu
from torch.npu.amp import GradScaler, autocast
from torch.utils.checkpoint import checkpoint

# Random state: one generator.
for seed in (torch.manual_seed, torch.npu.manual_seed, torch.npu.manual_seed_all):
    seed(3)
    first = torch.rand(4)
    torch.manual_seed(3)
    assert torch.equal(first, torch.rand(4))
state = torch.npu.get_rng_state()
first = torch.rand(4)
torch.npu.set_rng_state(state)
assert torch.equal(first, torch.rand(4))

# Autocast: the CPU's, with an NPU's default type.
square = torch.ones(2, 2)
for context, dtype in (
    (torch.autocast("npu"), torch.float16),
    (torch.autocast(device_type="npu", dtype=torch.bfloat16), torch.bfloat16),
    (autocast(), torch.float16),
    (torch.autocast("cpu"), torch.bfloat16),
):
    with context:
        assert (square @ square).dtype == dtype

# No accelerator is found, so torch's own code takes the paths of a CPU.
assert torch.accelerator.current_accelerator() is None and not torch.accelerator.is_available()
layer = torch.nn.Linear(2, 2).npu()
assert torch.nn.DataParallel(layer)(square).shape == (2, 2)
scaler, optimizer = GradScaler(), torch.optim.AdamW(layer.parameters())
for reentrant in (False, True):
    loss = checkpoint(layer, square.clone().requires_grad_(), use_reentrant=reentrant).sum()
    scaler.scale(loss).backward()
scaler.step(optimizer)
assert len(list(torch.utils.data.DataLoader(square, pin_memory=True))) == 2


# torch.compile traces through the wrapped functions, without a graph break.
def traced(x):
    return x.to("npu") + torch.zeros(2, device="npu:1") + torch.ones(2, device=torch.device("npu")) + x.npu() + torch.zeros_like(x)


def normed(x, weight):
    return ascendspeed_te_ops.npu_dropout_add_layer_norm(x, weight, x, prenorm=True)[:2]


for function, arguments in ((traced, (square,)), (normed, (square, torch.ones(2)))):
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(*arguments)
    torch.testing.assert_close(compiled, function(*arguments))


@torch.jit.script
def scripted(x: torch.Tensor):
    return x.to(torch.float32) + torch.zeros(2)


assert torch.equal(scripted(square), square)
assert pickle.loads(pickle.dumps((torch.zeros, torch.Tensor.to))) == (torch.zeros, torch.Tensor.to)

start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
with torch.npu.stream(torch.npu.Stream()) as stream:
    start.record(stream)
    time.sleep(0.01)
    end.record()
assert 10 <= start.elapsed_time(end) < 10_000
torch.npu.current_stream().wait_stream(stream)
print("done")
