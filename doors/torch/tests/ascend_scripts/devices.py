# SPDX-License-Identifier: Apache-2.0
"""'npu' means the CPU wherever a device can be named, and .npu() is the identity."""

import io

import torch
import torch_npu
from torch_npu.npu import set_device

CPU = torch.device("cpu")
x = torch.ones(2)
for npu in ("npu", "npu:7", torch.device("npu"), torch.device("npu:0"), torch.device("npu", 3), 5):
    assert torch.zeros(2, device=npu).device == CPU
    assert torch.randn(2, 3, device=npu).device == CPU
    assert torch.tensor([1.0], device=npu).device == CPU
    assert torch.as_tensor([1.0], device=npu).device == CPU
    assert torch.full_like(x, 2, device=npu).device == CPU
    assert torch.fft.fftfreq(4, device=npu).device == CPU
    assert x.new_empty(2, device=npu).device == CPU
    assert x.to(npu) is x and x.to(npu, torch.float32) is x
    assert x.to(device=npu, dtype=torch.float16).dtype == torch.float16
    layer = torch.nn.Linear(2, 2, device=npu)
    assert layer.to(npu) is layer and layer.npu() is layer and layer.weight.device == CPU
    assert torch.nn.Linear(2, 2, device="meta").to_empty(device=npu).weight.device == CPU
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    assert isinstance(npu, int) or torch.equal(torch.load(file, map_location=npu), x)

leaf = torch.ones(2, requires_grad=True)
assert leaf.npu() is leaf and leaf.npu(3) is leaf and leaf.npu("npu:2", non_blocking=True) is leaf
assert leaf.is_npu and leaf.is_cpu and not torch.zeros(1, device="meta").is_npu
assert torch.device("npu:2").type == "npu" and torch.device("npu:2").index == 2
assert torch.zeros(1, device="meta").device.type == "meta" and x.to("meta").device.type == "meta"

with torch.device("npu:1"):
    assert torch.zeros(1).device == CPU
torch.set_default_device("npu")
assert torch.zeros(1).device == CPU and torch.nn.Linear(1, 1).weight.device == CPU
torch.set_default_device("meta")
assert torch.zeros(1).device.type == "meta" and torch.tensor(1).device.type == "meta"
torch.set_default_device(None)

for bad in ("npu:8", torch.device("npu", 8), 8):
    for call in (lambda: torch.zeros(1, device=bad), lambda: x.to(bad), lambda: x.npu(bad), lambda: torch.npu.set_device(bad)):  # noqa: B023
        try:
            call()
        except ValueError as error:
            assert "argument 'device' is npu:8, expected npu:0 to npu:7" in str(error), error
        else:
            raise AssertionError(f"{bad} was accepted")

assert torch.npu is torch_npu.npu and torch.npu.is_available() and torch.npu.device_count() == 8
set_device("npu:3")
assert torch.npu.current_device() == 3
with torch.npu.device(5):
    assert torch.npu.current_device() == 5
assert torch.npu.current_device() == 3
torch.npu.synchronize()
for missing in (lambda: torch.npu.memory_allocated(), lambda: torch_npu.npu_fusion_attention()):
    try:
        missing()
    except AttributeError as error:
        assert "is not in addnorm.ascend" in str(error), error
    else:
        raise AssertionError("a name that is not emulated was found")
print("done")
