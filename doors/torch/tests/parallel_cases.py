# SPDX-License-Identifier: Apache-2.0
"""Seeded problems of the tensor-parallel operators, what they should give in float64, and the processes that run them."""

import dataclasses
import json
import os
import time
import traceback
from pathlib import Path

import addnorm
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

F32, F16, BF16, I8 = torch.float32, torch.float16, torch.bfloat16, torch.int8
_U = 2.0**-24  # half a unit in the last place of float32


@dataclasses.dataclass(frozen=True)
class Case:
    """One problem. x1 is [*lead, k + rank], so that ranks differ in k."""

    lead: tuple = (7,)
    k: int = 60
    n: int = 33
    dtype: torch.dtype = F32  # of x1
    weights: torch.dtype | None = None  # of x2; None = x1's
    residual: torch.dtype = F32
    gamma: torch.dtype = F32
    scale: torch.dtype | None = None  # of dequant_scale or antiquant_scale
    scale_of: str = "tensor"  # tensor, channel, row, group
    group: int = 0
    offset: bool = False
    bias: str = "none"  # none, one, all
    transposed: bool = False
    strided: bool = False
    prepared: bool = False
    per_rank_residual: bool = False
    arguments: tuple = ()  # further keywords, as pairs

    def tensors(self, rank: int, size: int) -> dict:
        """The arguments of `rank`."""
        shared, own = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2 + rank)
        x2_dtype = self.weights or self.dtype
        k = self.k if self.group else self.k + rank
        made = {
            "x1": _random(own, (*self.lead, k), self.dtype),
            "x2": _random(own, (self.n, k), x2_dtype).t() if self.transposed else _random(own, (k, self.n), x2_dtype),
            "residual": _random(own if self.per_rank_residual else shared, (*self.lead, self.n), self.residual),
            "gamma": _random(own if self.per_rank_residual else shared, (self.n,), self.gamma),
        }
        if self.strided:
            made["x1"] = made["x1"].transpose(0, -1).contiguous().transpose(0, -1)
            made["residual"] = made["residual"].repeat_interleave(2, -1)[..., ::2]
            made["gamma"] = made["gamma"].repeat_interleave(2)[::2]
        if self.bias == "all" or (self.bias == "one" and rank == size - 1):
            made["bias"] = _random(own, (self.n,), torch.int32 if self.dtype == I8 else self.dtype)
        if self.scale is not None:
            name = "dequant_scale" if self.dtype == I8 else "antiquant_scale"
            shape = {"tensor": (1,), "channel": (self.n,), "row": (1, self.n), "group": (-(-k // self.group) if self.group else 1, self.n)}
            scale = torch.rand(shape[self.scale_of], generator=own) * 1e-2 + 1e-3
            made[name] = pack(scale, self.scale) if self.scale in (torch.int64, torch.uint64) else scale.to(self.scale)
            if self.offset:
                made["antiquant_offset"] = (torch.randn(scale.shape, generator=own) * 20).to(self.scale)
        if self.group:
            made["antiquant_group_size"] = self.group
        return made

    def run(self, rank: int, size: int) -> tuple:
        given = self.tensors(rank, size)
        if self.prepared:
            names = [name for name in ("antiquant_scale", "antiquant_offset", "antiquant_group_size") if name in given]
            given["x2"] = addnorm.prepare_weights(given["x2"], **{name: given.pop(name) for name in names})
        return addnorm.matmul_all_reduce_add_rms_norm(**given, per_rank_residual=self.per_rank_residual, **dict(self.arguments))


def _random(generator, shape, dtype):
    if dtype == I8:
        return torch.randint(-128, 128, shape, generator=generator, dtype=I8)
    if dtype == torch.int32:
        return torch.randint(-(2**18), 2**18, shape, generator=generator).int()  # within float16 once scaled
    return torch.randn(shape, generator=generator).to(dtype)


def pack(scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float32 scales in the low halves of 64-bit words, and something in the high ones."""
    return (scale.view(torch.int32).to(torch.int64) & 0xFFFFFFFF | 0x4000_0000_0000).view(dtype)


def unpack(scale: torch.Tensor) -> torch.Tensor:
    if scale.dtype not in (torch.int64, torch.uint64):
        return scale.double()
    return (scale.view(torch.int64) & 0xFFFFFFFF).int().view(F32).double()


def _weights(given: dict) -> torch.Tensor:
    """x2 as float64, dequantised."""
    weights = given["x2"].double()
    scale = given.get("antiquant_scale")
    if scale is None:
        return weights
    offset = given.get("antiquant_offset", torch.zeros_like(scale)).double()
    scale = scale.double()
    group = given.get("antiquant_group_size", 0)
    if group:
        scale, offset = (t.repeat_interleave(group, 0)[: weights.shape[0]] for t in (scale, offset))
    return (weights + offset) * scale


def reference(case: Case, size: int, rank: int) -> dict:
    """name -> (value, bound) of y and norm_out on `rank`, in float64."""
    own = case.tensors(rank, size)
    total, error = 0.0, 0.0
    for q in range(size):
        given = case.tensors(q, size)
        x1, weights = given["x1"].double(), _weights(given)
        bias = given.get("bias", torch.zeros(case.n)).double()
        value, magnitude = x1 @ weights + bias, x1.abs() @ weights.abs() + bias.abs()
        if case.dtype == I8:
            scale = unpack(given["dequant_scale"])
            value, magnitude = value * scale, (value * scale).abs()
            error = error + _U * magnitude
        else:
            error = error + (weights.shape[0] / 64 + 64) * _U * magnitude
        comm = dict(case.arguments).get("comm_dtype", F32)
        error = error + (torch.finfo(comm).eps * value.abs() if comm != F32 else 0.0)
        total, error = total + value, error + size * _U * magnitude
    residual, gamma = own["residual"].double(), own["gamma"].double()
    y = total + residual
    error = error + _U * (y.abs() + residual.abs())
    epsilon = dict(case.arguments).get("epsilon", 1e-6)
    rstd = (y.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    norm = y * rstd * gamma
    moved = gamma.abs() * (rstd * error + y.abs() * rstd**3 * (y.abs() * error).mean(-1, keepdim=True)) * 1.01
    moved = moved + 5 * _U * gamma.abs() * (1 + (y * rstd).abs())
    unit = torch.finfo(case.residual)
    half = lambda value, bound: unit.eps / 2 * (value.abs() + bound) + unit.smallest_normal * unit.eps  # noqa: E731
    return {"y": (y, error + half(y, error)), "norm_out": (norm, moved + half(norm, moved))}


CASES = {
    "float32": Case(),
    "float32, bias on all": Case(bias="all", transposed=True),
    "float32, bias on one": Case(bias="one", lead=(2, 3)),
    "float16": Case(dtype=F16, residual=F16, gamma=F16, bias="all"),
    "bfloat16": Case(dtype=BF16, residual=BF16, gamma=BF16, lead=(1,)),
    "bfloat16, float32 stream": Case(dtype=BF16, gamma=BF16, transposed=True, lead=(2, 1, 5)),
    "any strides": Case(strided=True, lead=(3, 4)),
    "many blocks": Case(lead=(29,), arguments=(("comm_turn", 7),)),
    "narrow traffic": Case(arguments=(("comm_dtype", BF16),), residual=BF16),
    "epsilon": Case(arguments=(("epsilon", 0.25),)),
    "own residuals": Case(per_rank_residual=True, residual=BF16, lead=(9,)),
    "int8, packed": Case(dtype=I8, residual=F16, gamma=F16, scale=torch.int64, scale_of="channel", bias="all"),
    "int8, unsigned": Case(dtype=I8, residual=F16, gamma=F16, scale=torch.uint64, scale_of="row", bias="one", transposed=True),
    "int8, bfloat16 scale": Case(dtype=I8, residual=BF16, gamma=BF16, scale=BF16),
    "int8, float32 scale": Case(dtype=I8, scale=F32, scale_of="channel", k=700, strided=True),
    "int8 weights, tensor": Case(dtype=F16, weights=I8, residual=F16, scale=F16, offset=True, bias="all"),
    "int8 weights, channel": Case(dtype=BF16, weights=I8, residual=BF16, scale=BF16, scale_of="channel", transposed=True),
    "int8 weights, row": Case(dtype=BF16, weights=I8, residual=BF16, scale=BF16, scale_of="row", offset=True),
    "int8 weights, groups": Case(dtype=F16, weights=I8, residual=F16, scale=F16, scale_of="group", group=32, k=100, offset=True),
}
PREPARED = {
    name: dataclasses.replace(CASES[name], prepared=True) for name in ("float32", "bfloat16", "int8, packed", "int8 weights, groups")
}


# ---- Processes. ------------------------------------------------------------------------------------------------------


def spawn(body, size: int, folder: Path, *args, timeout: float = 120, environment: dict | None = None) -> list[dict]:
    """Runs body(rank, size, *args) in `size` processes of a gloo group; what each returned or raised, as it was written into `folder`.

    {"returned": ...} or {"error": name of the type, "text": ..., "seconds": ...}; {} for a process that left nothing.
    """
    context = mp.get_context("spawn")
    processes = [
        context.Process(target=_main, args=(body, rank, size, str(folder), environment or {}, args), daemon=True) for rank in range(size)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + timeout
    hung = []
    for rank, process in enumerate(processes):
        process.join(max(0.1, end - time.monotonic()))
        if process.is_alive():
            hung.append(rank)
            process.kill()
            process.join()
    assert not hung, f"ranks {hung} hung"
    files = [folder / f"{rank}.json" for rank in range(size)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in files]


def _main(body, rank, size, folder, environment, args):
    os.environ.update(environment)
    torch.set_num_threads(1)
    # A file is a rendezvous that no other process can take, as a free port can be.
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    start = time.monotonic()
    try:
        outcome = {"returned": body(rank, size, *args)}
    except Exception as error:
        outcome = {"error": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}
    outcome["seconds"] = time.monotonic() - start
    Path(folder, f"{rank}.json").write_text(json.dumps(outcome))
    os._exit(0)  # without gloo's farewell, which waits for ranks that are gone


def run_all(rank: int, size: int, folder: str) -> str:
    """Every case; the results go to a file. Returns the transport."""
    results = {name: case.run(rank, size) for name, case in (CASES | {f"{name}, prepared": c for name, c in PREPARED.items()}).items()}
    partial, (residual, gamma) = torch.full((5, 9), rank + 0.5), _residual_and_gamma()
    results["partial sums"] = addnorm.all_reduce_add_rms_norm(partial, residual, gamma)
    empty = addnorm.matmul_all_reduce_add_rms_norm(torch.ones(0, 4), torch.ones(4, 9), torch.ones(0, 9), gamma)
    assert [tuple(t.shape) for t in empty] == [(0, 9)] * 2
    none = addnorm.matmul_all_reduce_add_rms_norm(torch.ones(5, 4), torch.ones(4, 0), torch.ones(5, 0), torch.ones(0))
    assert [tuple(t.shape) for t in none] == [(5, 0)] * 2
    torch.save(results, Path(folder) / f"{rank}.pt")
    return addnorm.distributed.ranks_of("test", None, 1).transport


def _residual_and_gamma():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(5, 9, generator=generator), torch.randn(9, generator=generator)
