# SPDX-License-Identifier: Apache-2.0
"""The tensor-parallel operators with 2 ranks of one thread each beside torch's own operators over gloo, which take turns in one run.

First all-reduce + add + RMSNorm alone against dist.all_reduce -> add -> rms_norm; then the whole operator against the fastest of torch's
routes: float32 products, int8 ones whose sums are exact, and torch.mm in 16 bits, which is less exact than ours as it rounds its result.
Weights are prepared on both sides (for torch: as float32, or dequantised) or on neither. Shown are medians of the wall clock of rank 0 and
their ratio, which the goals are for. A goal that is missed is printed and no failure; a wrong result is one (exit code 1).
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import addnorm
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

RANKS = 2
EPSILON = 1e-6
F32, BF16, I8 = torch.float32, torch.bfloat16, torch.int8
REDUCTIONS = {(1, 8192): 10.0, (64, 8192): 3.0, (4096, 8192): 1.5}  # rows, columns -> goal
WHOLE = ((64, 1024, 8192), (4096, 1024, 8192))  # m, k, n
WHOLE_GOAL = 1.15


@dataclasses.dataclass
class Line:
    what: str
    ours_us: float
    torch_us: float
    route: str  # the fastest of torch's
    goal: float
    transport: str

    def ratio(self):
        return self.torch_us / self.ours_us

    def show(self):
        verdict = "pass" if self.ratio() >= self.goal else "MISSED"
        print(
            f"{self.what:44} {self.ours_us:12,.1f} {self.torch_us:12,.1f}  {self.route:28} {self.ratio():7.2f} >= {self.goal:<5} {verdict}",
            flush=True,
        )


def add_norm(total, residual, gamma):
    """torch: y and norm_out from the sum over ranks, one rounding each."""
    y = total + residual
    norm = F.rms_norm(y, y.shape[-1:], gamma.to(y.dtype), EPSILON)
    return y.to(residual.dtype), norm.to(residual.dtype)


def reduced(total, residual, gamma):
    dist.all_reduce(total)
    return add_norm(total, residual, gamma)


def interleave(calls: dict, seconds: float) -> dict:
    """Median seconds per call. A sample is one call, or as many in a row as fill 5 ms. Both ranks run the same: rank 0 tells how many."""
    plan, per_round = [], 0.0
    for call in calls.values():
        for _ in range(2):
            dist.barrier()
            start = time.perf_counter()
            call()
            once = time.perf_counter() - start
        plan.append(max(1, int(5e-3 / once)))
        per_round += plan[-1] * once
    plan.append(max(7, min(200, int(seconds / per_round))))
    plan = torch.tensor(plan)
    dist.broadcast(plan, 0)
    *counts, rounds = plan.tolist()
    samples = {name: [] for name in calls}
    turns = list(zip(calls, counts, strict=True))
    for turn in range(rounds):
        for name, count in turns[turn % len(turns) :] + turns[: turn % len(turns)]:
            # Ranks start together, or the time of a call would be the lateness of the other rank.
            dist.barrier()
            begin = time.perf_counter()
            for _ in range(count):
                calls[name]()
            samples[name].append((time.perf_counter() - begin) / count)
    return {name: statistics.median(column) for name, column in samples.items()}


def check(what, got, want, unit):
    for name, ours, theirs in zip(("y", "norm_out"), got, want, strict=True):
        error = ((ours.double() - theirs.double()).abs() / (theirs.double().abs() + theirs.double().abs().mean())).max().item()
        if not error <= unit:
            raise ValueError(f"{what}: {name} is off by {error:.3g}, allowed is {unit:.3g}")


def reduction_lines(rank, seconds, chosen):
    for (rows, cols), goal in REDUCTIONS.items():
        what = f"all-reduce + add + norm {rows}x{cols} float32"
        if chosen not in what:
            continue
        torch.manual_seed(1)
        residual, gamma = torch.randn(rows, cols), torch.randn(cols)
        partial = torch.randn(rows, cols) * (rank + 1)
        check(what, addnorm.all_reduce_add_rms_norm(partial, residual, gamma), reduced(partial.clone(), residual, gamma), 1e-4)
        # gloo reduces in place: zeros stay zeros.
        zeros = torch.zeros(rows, cols)
        calls = {
            "addnorm": lambda a=(partial, residual, gamma): addnorm.all_reduce_add_rms_norm(*a),
            "all_reduce, add, rms_norm": lambda a=(zeros, residual, gamma): reduced(*a),
        }
        yield line(what, interleave(calls, seconds), goal)


def line(what, medians, goal):
    ours = medians.pop("addnorm")
    route = min(medians, key=medians.get)
    transport = addnorm.distributed.ranks_of("bench", None, 30).transport
    return Line(what, ours * 1e6, medians[route] * 1e6, route, goal, transport)


def float_routes(x1, x2, prepared):
    """name -> partial sums by torch. Products of 16-bit types are exact in float32, so float32 is the route that is as exact as ours."""
    if x1.dtype == F32:
        return {"mm": lambda: torch.mm(x1, x2)}
    routes = {"mm": lambda: torch.mm(x1, x2).float()}
    if prepared:
        wide = x2.float()
        return routes | {"float32 weights, mm": lambda: torch.mm(x1.float(), wide)}
    return routes | {"to float32, mm": lambda: torch.mm(x1.float(), x2.float())}


def int8_routes(x1, x2, scale, prepared):
    """k = 1024: the sums are below 2^24, so float32 is exact, too."""
    wide = x2.float() if prepared else None
    return {
        "_int_mm, dequantise": lambda: torch._int_mm(x1, x2).float() * scale,
        "float32 mm, dequantise": lambda: torch.mm(x1.float(), x2.float() if wide is None else wide) * scale,
    }


def weight_routes(x1, x2, scale, prepared):
    def narrow():
        return (x2.float() * scale.float()).to(x1.dtype)

    if prepared:
        wide, short = x2.float() * scale.float(), narrow()
        return {
            "dequantised weights, mm": lambda: torch.mm(x1.float(), wide),
            "16-bit weights, mm": lambda: torch.mm(x1, short).float(),
        }
    return {
        "dequantise, mm": lambda: torch.mm(x1.float(), x2.float() * scale.float()),
        "dequantise to 16 bits, mm": lambda: torch.mm(x1, narrow()).float(),
    }


def whole_lines(rank, seconds, chosen):
    for m, k, n in WHOLE:
        for scenario in ("float32", "bfloat16", "int8", "int8 weights"):
            for prepared in (True, False):
                what = f"{scenario} {m}x{k}x{n}{', prepared' if prepared else ''}"
                if chosen not in what:
                    continue
                yield whole_line(what, rank, scenario, (m, k, n), prepared, seconds)


def whole_line(what, rank, scenario, shape, prepared, seconds):
    m, k, n = shape
    own, shared = torch.Generator().manual_seed(2 + rank), torch.Generator().manual_seed(1)
    dtype = F32 if scenario == "float32" else BF16
    residual = torch.randn(m, n, generator=shared).to(dtype)
    gamma = torch.randn(n, generator=shared).to(dtype)
    arguments, preparing = {}, {}
    if scenario == "int8":
        x1, x2 = (torch.randint(-128, 128, size, generator=own, dtype=I8) for size in ((m, k), (k, n)))
        scale = torch.rand(n, generator=own) * 1e-3
        arguments["dequant_scale"] = scale
        routes = int8_routes(x1, x2, scale, prepared)
    elif scenario == "int8 weights":
        x1 = torch.randn(m, k, generator=own).to(dtype)
        x2 = torch.randint(-128, 128, (k, n), generator=own, dtype=I8)
        scale = (torch.rand(n, generator=own) * 1e-3).to(dtype)
        preparing["antiquant_scale"] = scale
        routes = weight_routes(x1, x2, scale, prepared)
    else:
        x1, x2 = torch.randn(m, k, generator=own).to(dtype), torch.randn(k, n, generator=own).to(dtype)
        routes = float_routes(x1, x2, prepared)
    weights = addnorm.prepare_weights(x2, **preparing) if prepared else x2
    arguments |= {} if prepared else preparing

    def ours():
        return addnorm.matmul_all_reduce_add_rms_norm(x1, weights, residual, gamma, **arguments)

    calls = {"addnorm": ours}
    for name, partial in routes.items():
        calls[name] = lambda partial=partial: reduced(partial(), residual, gamma)
        # torch.mm in 16 bits rounds each partial sum.
        rounds = dtype != F32 and (name == "mm" or "16" in name)
        check(what, ours(), calls[name](), 2e-4 if dtype == F32 else 2**-4 if rounds else 2**-7)
    return line(what, interleave(calls, seconds), WHOLE_GOAL)


def main_of_rank(rank, store, arguments, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
    lines = []
    with torch.no_grad():
        for part in (reduction_lines, whole_lines):
            for found in part(rank, arguments.seconds, arguments.filter):
                lines.append(found)
                if rank == 0:
                    found.show()
    if rank == 0:
        Path(out).write_text(json.dumps([vars(found) | {"ratio": found.ratio()} for found in lines]))
    dist.barrier()
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--seconds", type=float, default=1.0, help="per line, at least 7 rounds")
    parser.add_argument("--filter", default="", help="only lines whose name holds this text, e.g. 'int8 64x'")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(f"{RANKS} ranks of one thread; addnorm {addnorm.__version__}, torch {torch.__version__}; medians in us")
    print(f"{'':44} {'addnorm':>12} {'torch':>12}  {'fastest route of torch':28} {'ratio':>7}    goal")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lines.json"
        try:
            mp.spawn(main_of_rank, args=(f"file://{folder}/store", arguments, str(out)), nprocs=RANKS)
        except mp.ProcessRaisedException as error:
            print(f"WRONG RESULT or failure: {error}")
            return 1
        lines = json.loads(out.read_text())
    missed = sum(found["ratio"] < found["goal"] for found in lines)
    print(f"goals met in {len(lines) - missed} of {len(lines)} lines" + (": MISSED" if missed else ""))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"torch": torch.__version__, "ranks": RANKS, "lines": lines}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
