# SPDX-License-Identifier: Apache-2.0
"""Speed of dropout + add + LayerNorm in addnorm, torch eager and torch.compile, same outputs:  python -m demo.speed [--full] [--seconds=S]

z and the pre-norm h are computed, and under fwd+bwd the gradients of x, residual, weight and bias from those of z and h. The contenders
take turns within each round, so that a busy machine slows all alike; a figure is the median over the rounds. torch.compile gets every
shape as its own static graph. --full adds shapes up to 16384 x 8192.
"""

import dataclasses
import sys
import time

import torch
from rich.table import Table

from demo.model import addnorm_add_norm, torch_add_norm
from demo.progress import console, stage

SHAPES = ((64, 1024), (1024, 1024), (4096, 1024))
MORE_SHAPES = ((8, 768), (32, 1024), (4096, 4096), (16384, 8192))
DTYPES = (torch.float32, torch.bfloat16)
DROPOUTS = (0.0, 0.1)
NAMES = ("addnorm", "torch eager", "torch.compile")
ROUNDS = 5  # at least


@dataclasses.dataclass(frozen=True)
class Cell:
    """One line of the table: what was run, and the median microseconds of each contender in the order of NAMES."""

    rows: int
    columns: int
    dtype: torch.dtype
    p: float
    backward: bool
    microseconds: tuple = ()

    def label(self):
        dtype = {torch.float32: "f32", torch.bfloat16: "bf16"}[self.dtype]
        return f"{self.rows}x{self.columns} {dtype} p={self.p:g} {'fwd+bwd' if self.backward else 'fwd'}"

    def ratios(self):
        """How many times the time of addnorm torch eager and torch.compile take."""
        return tuple(other / self.microseconds[0] for other in self.microseconds[1:])


def caller(operator, cell):
    """A function of no arguments that runs `operator` once on data of `cell`."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(cell.dtype)

    x, residual, dz, dh = (normal(cell.rows, cell.columns) for _ in range(4))
    weight, bias = normal(cell.columns), normal(cell.columns)
    leaves = [x, residual, weight, bias]
    if not cell.backward:
        return lambda: operator(x, residual, weight, bias, cell.p, 1e-5)
    for leaf in leaves:
        leaf.requires_grad_(True)
    return lambda: torch.autograd.grad(operator(x, residual, weight, bias, cell.p, 1e-5), leaves, (dz, dh))


def time_of(call, count):
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def measure(cell, seconds):
    """`cell` with its medians. Spends about `seconds` after the compilation, and no less than ROUNDS rounds."""
    torch.compiler.reset()
    compiled = torch.compile(torch_add_norm, fullgraph=True, dynamic=False)
    calls = [caller(operator, cell) for operator in (addnorm_add_norm, torch_add_norm, compiled)]
    for call in calls:
        call()
    once = [time_of(call, 2) for call in calls]
    # Short calls are repeated within a round, each contender as often as fits into the same time.
    counts = [max(1, int(2e-3 / duration)) for duration in once]
    rounds = max(ROUNDS, int(seconds / sum(count * duration for count, duration in zip(counts, once, strict=True))))
    samples = [[time_of(call, count) for call, count in zip(calls, counts, strict=True)] for _ in range(rounds)]
    medians = tuple(1e6 * sorted(column)[rounds // 2] for column in zip(*samples, strict=True))
    return dataclasses.replace(cell, microseconds=medians)


def table_of(cells):
    """The rich table of measured cells."""
    title = f"dropout + add + LayerNorm, microseconds (times addnorm's), {torch.get_num_threads()} threads"
    table = Table(title=title)
    table.add_column("")
    for name in NAMES:
        table.add_column(name, justify="right")
    for cell in cells:
        ours, *others = cell.microseconds
        marked = [f"{other:,.0f} ({other / ours:5.2f}x)" for other in others]
        table.add_row(cell.label(), f"{ours:,.0f}", *marked)
    return table


def run(shapes=SHAPES, seconds=0.3, title="speed"):
    """Measures every cell and prints the table; returns the cells."""
    plan = [Cell(*shape, dtype, p, backward) for dtype in DTYPES for p in DROPOUTS for backward in (False, True) for shape in shapes]
    cells = []
    with stage(title, len(plan)) as tick:
        for cell in plan:
            cells.append(measure(cell, seconds))
            tick()
    console.print(table_of(cells))
    return cells


def main(arguments):
    shapes = tuple(sorted(SHAPES + MORE_SHAPES)) if "--full" in arguments else SHAPES
    seconds = next((float(word.split("=", 1)[1]) for word in arguments if word.startswith("--seconds=")), 1.0)
    run(shapes, seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
