# SPDX-License-Identifier: Apache-2.0
"""add + norm in addnorm beside torch eager and, for a few shapes, torch.compile: forward, backward, both; the same outputs.

Outputs are y and the sum h = x + residual; gradients are those of x, residual, weight and bias (LayerNorm) from those of y and h.
All contenders take turns, with one thread and with all: one thread is timed by its own CPU time, all by the wall clock. Shown are p10
times and the ratio of torch's to ours, and in brackets that of the medians; the goal, ahead of torch eager everywhere, is judged by p10.
A goal that is missed is printed and no failure; a wrong result is one (exit code 1).
malloc keeps freed memory here, for all contenders: else page faults are most of the time of large tensors (--fresh shows that).
Needs about 6 GiB of memory.
"""

import argparse
import ctypes
import dataclasses
import json
import statistics
import sys
import time

import addnorm
import torch
import torch.nn.functional as F

EPS = 1e-5
F32, BF16 = torch.float32, torch.bfloat16
TYPES = {F32: "f32", BF16: "bf16"}
# (rows, columns, type, norm, also torch.compile)
CELLS = (
    (64, 1024, F32, "layer", True),
    (64, 1024, BF16, "layer", False),
    (64, 1024, F32, "rms", False),
    (512, 768, F32, "layer", False),
    (512, 768, BF16, "layer", False),
    (1024, 1024, F32, "layer", False),
    (1024, 1024, BF16, "rms", False),
    (4096, 1024, F32, "layer", True),
    (4096, 1024, BF16, "layer", True),
    (4096, 1024, F32, "rms", False),
    (4096, 4096, F32, "layer", False),
    (4096, 4096, BF16, "layer", False),
    (16384, 2048, F32, "layer", False),
    (16384, 8192, F32, "layer", False),
)
DIRECTIONS = ("forward", "backward", "forward + backward")


def keep_freed_memory():
    """glibc: large blocks come from the heap, which never shrinks."""
    libc = ctypes.CDLL(None)
    m_trim_threshold, m_mmap_max = -1, -4
    if not hasattr(libc, "mallopt") or not (libc.mallopt(m_mmap_max, 0) and libc.mallopt(m_trim_threshold, -1)):
        print("no glibc malloc: page faults are timed too")


def torch_add_norm(kind, x, residual, weight, bias):
    h = x + residual
    if kind == "layer":
        return F.layer_norm(h, h.shape[-1:], weight, bias, EPS), h
    return F.rms_norm(h, h.shape[-1:], weight, EPS), h


def addnorm_add_norm(kind, x, residual, weight, bias):
    if kind == "layer":
        return addnorm.add_layer_norm(x, residual, weight, bias, EPS, prenorm=True)
    return addnorm.add_rms_norm(x, residual, weight, EPS, prenorm=True)


@dataclasses.dataclass
class Line:
    rows: int
    columns: int
    dtype: str
    norm: str
    direction: str
    threads: int
    median_us: dict
    p10_us: dict

    def label(self):
        return f"{self.rows}x{self.columns} {self.dtype} {self.norm} {self.direction}, {self.threads}T"


class Problem:
    """The tensors of one cell, and what each contender does with them."""

    def __init__(self, rows, columns, dtype, kind):
        generator = torch.Generator().manual_seed(1)
        # Filled in place: temporaries of another type would double the memory of the largest cell.
        full = [torch.empty(rows, columns, dtype=dtype).normal_(generator=generator) for _ in range(3 if rows * columns > 2**26 else 4)]
        self.kind = kind
        self.x, self.residual, self.dy = full[:3]
        self.dh = full[-1]  # the largest cell has no memory for one of its own: dy
        self.weight = torch.empty(columns, dtype=dtype).normal_(1, 0.1, generator=generator)
        self.bias = torch.empty(columns, dtype=dtype).normal_(0, 0.1, generator=generator)

    def leaves(self):
        leaves = [self.x, self.residual, self.weight]
        return [*leaves, self.bias] if self.kind == "layer" else leaves

    def call(self, operator, direction):
        """A function of no arguments that does `direction` once."""

        def forward():
            return operator(self.kind, self.x, self.residual, self.weight, self.bias)

        def inference():
            with torch.no_grad():
                return forward()

        grads = (self.dy, self.dh)
        if direction == "forward":
            return inference
        for leaf in self.leaves():
            leaf.requires_grad_(True)
        if direction == "backward":
            outputs = forward()
            return lambda: torch.autograd.grad(outputs, self.leaves(), grads, retain_graph=True)
        return lambda: torch.autograd.grad(forward(), self.leaves(), grads)


def worst_error(problem, operator):
    """(name, largest error over its bound) of outputs and gradients of up to 64 rows, and what float64 gives on them.

    The bounds are loose: they catch a wrong operator, the tests judge the last bit.
    """
    rows = min(64, problem.x.shape[0])
    small = object.__new__(Problem)
    small.kind = problem.kind
    wide = object.__new__(Problem)
    wide.kind = problem.kind
    for name in ("x", "residual", "dy", "dh", "weight", "bias"):
        tensor = getattr(problem, name).detach()
        part = tensor[:rows] if tensor.dim() == 2 else tensor
        setattr(small, name, part.clone())
        setattr(wide, name, part.double())
    unit = torch.finfo(small.x.dtype).eps
    got = (*small.call(operator, "forward")(), *small.call(operator, "forward + backward")())
    want = (*wide.call(torch_add_norm, "forward")(), *wide.call(torch_add_norm, "forward + backward")())
    names = ("y", "h", "dx", "dresidual", "dweight", "dbias")
    # A 16-bit h is rounded before its gradient is taken, by torch too: a few units per element.
    errors = [
        ((g.double() - w).abs() / (unit * (8 * w.abs() + 16 * w.abs().mean() + 16))).max().item() for g, w in zip(got, want, strict=True)
    ]
    return max(zip(errors, names, strict=False), key=lambda pair: pair[0] if pair[0] == pair[0] else float("inf"))


def clock():
    """Of one thread what it computes, so that other load on the machine does not count; of several, the time on the wall."""
    return time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()


def interleave(calls, seconds):
    """Sorted seconds per call of each, taking turns in an order that changes; at least 3 rounds."""
    counts = []
    for call in calls:
        for _ in range(2):
            start = clock()
            call()
            once = clock() - start
            if once > 0.5:
                break
        counts.append(max(1, int(3e-4 / max(once, 1e-9))))
    samples = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while len(samples[0]) < 3 or time.perf_counter() < end:
        first = len(samples[0])
        for k in range(len(calls)):
            which = (k + first) % len(calls)
            call, count = calls[which], counts[which]
            start = clock()
            for _ in range(count):
                call()
            samples[which].append((clock() - start) / count)
        if len(samples[0]) >= 2000:
            break
    return [sorted(column) for column in samples]


def measure(problem, operators, direction, seconds):
    """Medians and p10 of every operator, in microseconds."""
    calls = [problem.call(operator, direction) for operator in operators.values()]
    columns = interleave(calls, seconds)
    medians = {name: statistics.median(column) * 1e6 for name, column in zip(operators, columns, strict=True)}
    lows = {name: column[len(column) // 10] * 1e6 for name, column in zip(operators, columns, strict=True)}
    for leaf in problem.leaves():
        leaf.requires_grad_(False)
    return medians, lows


def show(line):
    cells = [f"{line.label():52} {line.p10_us['addnorm']:11,.1f}"]
    ratios = {}
    for other in ("eager", "compile"):
        if other in line.p10_us:
            ratios[other] = line.p10_us[other] / line.p10_us["addnorm"]
            median = line.median_us[other] / line.median_us["addnorm"]
            cells.append(f"{line.p10_us[other]:11,.1f} {ratios[other]:6.2f} ({median:5.2f})")
        else:
            cells.append(" " * 26)
    ahead = ratios["eager"] > 1
    print(" ".join(cells), "pass" if ahead else "MISSED", flush=True)
    return ahead


def measure_cell(cell, threads, arguments):
    """The lines of one cell. Raises ValueError if a result is wrong."""
    rows, columns, dtype, kind, compiled = cell
    torch.set_num_threads(threads)
    operators = {"addnorm": addnorm_add_norm, "eager": torch_add_norm}
    if compiled and threads > 1 and not arguments.no_compile:
        torch.compiler.reset()
        operators["compile"] = torch.compile(torch_add_norm, fullgraph=True, dynamic=False)
    problem = Problem(rows, columns, dtype, kind)
    error, what = worst_error(problem, addnorm_add_norm)
    if not error <= 1:
        raise ValueError(f"{name_of(cell)}: {what} is off by {error:.3g} times what is allowed")
    for direction in DIRECTIONS:
        medians, lows = measure(problem, operators, direction, arguments.seconds)
        yield Line(rows, columns, TYPES[dtype], kind, direction, threads, medians, lows)


def name_of(cell):
    rows, columns, dtype, kind, _ = cell
    return f"{rows}x{columns} {TYPES[dtype]} {kind}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--seconds", type=float, default=0.3, help="per line, at least 3 rounds")
    parser.add_argument("--threads", type=int, help="only with this many; default: one, then torch's own number")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes most of the time")
    parser.add_argument("--fresh", action="store_true", help="malloc as usual: large tensors are fresh pages in every call")
    parser.add_argument("--filter", default="", help="only cells whose name holds this text, e.g. '4096x1024 f32'")
    arguments = parser.parse_args()
    everything = torch.get_num_threads()
    if not arguments.fresh:
        keep_freed_memory()

    print(f"add + norm -> y, h; addnorm {addnorm.__version__}, torch {torch.__version__}; p10 us per call")
    print(f"{'':52} {'addnorm':>11} {'eager':>11} {'ratio (median)':>14} {'compile':>11} {'ratio (median)':>14} ahead of eager")
    lines, missed, wrong = [], 0, 0
    for threads in [arguments.threads] if arguments.threads else sorted({1, everything}):
        for cell in CELLS:
            # One thread on the largest cell would say little more, in half a minute.
            if arguments.filter not in name_of(cell) or (threads == 1 < everything and cell[0] * cell[1] > 2**26):
                continue
            try:
                for line in measure_cell(cell, threads, arguments):
                    lines.append(line)
                    missed += not show(line)
            except ValueError as error:
                print(f"WRONG RESULT: {error}")
                wrong += 1
    print(f"ahead of torch eager in {len(lines) - missed} of {len(lines)} lines" + (": goal MISSED" if missed else ""))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"torch": torch.__version__, "threads": everything, "lines": [vars(line) for line in lines]}, file, indent=1)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
