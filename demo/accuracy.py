# SPDX-License-Identifier: Apache-2.0
"""Accuracy of addnorm and of torch eager against float64, on the same data:  python -m demo.accuracy [--detail]

Every figure is max |result - reference| / bound over all elements, with the bound that docs/numerics.md publishes for the result:
half an ulp of the output type plus a few u = 2^-24 of the largest terms in the formula. 1.00 is the edge; an addnorm figure above it
fails the command. Results judged: z, pre-norm, and the gradients of x, weight and bias. A cell holds the worst as "addnorm / torch".

The reference is NumPy float64 from the raw bits of the inputs, two passes, and shares nothing with addnorm.
"""

import dataclasses
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table

from demo.progress import console

WIDTHS = (1, 2, 3, 7, 64, 768, 4096, 65536)
OFFSETS = (0.0, 1e4, 1e6)
MAGNITUDES = (1e-30, 1e-10, 1e10, 1e30)
U = 2.0**-24
MANTISSA = {torch.float32: (23, -126), torch.bfloat16: (7, -126)}  # stored bits, least exponent of a normal number
BOUND_U = {"z": 5, "prenorm": 5, "dx": 6, "dweight": 16, "dbias": 16}


@dataclasses.dataclass(frozen=True)
class Case:
    """One input: rows x columns of offset + magnitude * N(0, 1), or rows that are constant; with a residual and dropout or without."""

    columns: int
    dtype: torch.dtype
    kind: str = "layer"  # or "rms"
    offset: float = 0.0
    magnitude: float = 1.0
    constant: bool = False
    residual: bool = False
    p: float = 0.0
    eps: float = 1e-5

    @property
    def rows(self):
        return max(3, min(64, 2**17 // self.columns))

    def name(self):
        dtype = str(self.dtype).removeprefix("torch.")
        data = "constant rows" if self.constant else f"offset {self.offset:g}, magnitude {self.magnitude:g}"
        block = f", residual, p = {self.p:g}" if self.residual else ""
        return f"{self.kind} {dtype} {self.rows} x {self.columns}, {data}{block}, eps {self.eps:g}"


@dataclasses.dataclass(frozen=True)
class Data:
    """The tensors of a case; residual and mask may be None. `dy` is the gradient of z."""

    x: torch.Tensor
    residual: torch.Tensor | None
    weight: torch.Tensor
    bias: torch.Tensor
    dy: torch.Tensor
    mask: torch.Tensor | None = None


def make(case):
    """Seeded data of `case` in its own dtype."""
    generator = torch.Generator().manual_seed(case.columns)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shape = case.rows, case.columns
    x = (1000.3 * normal(case.rows, 1)).expand(shape) if case.constant else case.offset + case.magnitude * normal(*shape)
    tensors = [x, normal(*shape) if case.residual else None, 1 + normal(case.columns) / 4, normal(case.columns) / 4, normal(*shape)]
    return Data(*(None if tensor is None else tensor.to(case.dtype).contiguous() for tensor in tensors))


# ---- The reference ---------------------------------------------------------------------------------------------------


def wide(tensor):
    return tensor.detach().to(torch.float64).numpy()


def half_ulp(values, dtype):
    """Half the distance of neighbours of type `dtype` at `values`."""
    bits, least = MANTISSA[dtype]
    exponent = np.maximum(np.frexp(np.abs(values))[1] - 1, least)
    return np.ldexp(0.5, exponent - bits)


def branch(data, p):
    """s * mask * x as float32 computes it (one product), and the float32 h: what the norm sees, by C1-C3 of the contract."""
    x = data.x.detach().float().numpy()
    if p > 0:
        x = np.where(data.mask.numpy(), x * np.float32(1 / (1 - p)), np.float32(0))
    return x, x if data.residual is None else x + data.residual.detach().float().numpy()


def normalise(h, case):
    """x_hat and q = rstd of float64 rows."""
    mean = h.mean(1, keepdims=True) if case.kind == "layer" else 0.0
    centred = h - mean
    rstd = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + case.eps)
    return centred * rstd, rstd


def reference(case, data):
    """{name: (exact value, bound)} of every result of `case`."""
    product, h32 = branch(data, case.p)
    h = h32.astype(np.float64)
    weight, bias, dy = wide(data.weight), wide(data.bias), wide(data.dy)
    x_hat, _ = normalise(h, case)
    results = {"z": (weight * x_hat + bias, np.abs(weight) * (1 + np.abs(x_hat)) + np.abs(bias))}
    if data.residual is not None:
        results["prenorm"] = (h, np.abs(product).astype(np.float64) + np.abs(wide(data.residual)))
        # A 16-bit pre-norm is what the backward reads: its gradients are those at the rounded h.
        h = wide(torch.from_numpy(h32).to(case.dtype))
    x_hat, rstd = normalise(h, case)
    w = weight * dy
    c1 = (w * x_hat).mean(1, keepdims=True)
    c2 = w.mean(1, keepdims=True) if case.kind == "layer" else 0.0
    factor = 1.0 if data.mask is None else np.where(data.mask.numpy(), 1 / (1 - case.p), 0.0)
    size = np.abs(w) + (1 + np.abs(x_hat)) * (np.abs(w) * (1 + np.abs(x_hat))).mean(1, keepdims=True)
    results["dx"] = (factor * rstd * (w - c2 - x_hat * c1), factor * rstd * size)
    # The mean may be off by 1 u sigma, which moves every x_hat by 1 u: as 1/16 in a sum that is given 16 u.
    mean_off = np.abs(dy).sum(0) / BOUND_U["dweight"] if case.kind == "layer" else 0.0
    results["dweight"] = ((dy * x_hat).sum(0), np.abs(dy * x_hat).sum(0) + mean_off)
    results["dbias"] = (dy.sum(0), np.abs(dy).sum(0))
    return {name: (exact, half_ulp(exact, case.dtype) + BOUND_U[name] * U * size) for name, (exact, size) in results.items()}


def in_bounds(result, exact, bound):
    """max |result - exact| / bound; inf where the result is not finite and the reference is, or where shapes differ."""
    values = wide(result)
    if values.shape != exact.shape:
        return math.inf
    with np.errstate(all="ignore"):
        error = np.abs(values - exact)
        units = np.where(error == 0, 0.0, error / bound)
    return float(np.where(np.isnan(units), np.inf, units).max())


# ---- The two contenders ----------------------------------------------------------------------------------------------


def addnorm_forward(case, data):
    """(z, prenorm, mask) by addnorm, with a fixed key."""
    import addnorm

    operator = addnorm.dropout_add_layer_norm if case.kind == "layer" else addnorm.dropout_add_rms_norm
    key = torch.tensor([case.columns, 1])
    return operator(data.x, data.residual, data.weight, data.bias, case.p, case.eps, prenorm=True, return_dropout_mask=True, seed=key)


def torch_forward(case, data):
    """(z, prenorm, mask) by torch eager, dropout by the mask that addnorm drew."""
    h = torch.where(data.mask, data.x / (1 - case.p), 0.0) if case.p > 0 else data.x
    h = h if data.residual is None else h + data.residual
    if case.kind == "layer":
        return F.layer_norm(h, data.weight.shape, data.weight, data.bias, case.eps), h, data.mask
    return F.rms_norm(h, data.weight.shape, data.weight, case.eps) + data.bias, h, data.mask


def results_of(forward, case, data):
    """All results of one contender: {name: tensor}, and the mask."""
    leaves = [data.x, data.weight, data.bias]
    for leaf in leaves:
        leaf.requires_grad_(True)
    z, prenorm, mask = forward(case, data)
    dx, dweight, dbias = torch.autograd.grad(z, leaves, data.dy)
    for leaf in leaves:
        leaf.requires_grad_(False)
    results = {"z": z, "dx": dx, "dweight": dweight, "dbias": dbias}
    return results | ({"prenorm": prenorm} if data.residual is not None else {}), mask


def judge(case):
    """{name: (addnorm's figure, torch's figure)} of `case`."""
    data = make(case)
    ours, mask = results_of(addnorm_forward, case, data)
    if case.p > 0:
        data = dataclasses.replace(data, mask=mask)
    torchs, _ = results_of(torch_forward, case, data)
    with np.errstate(over="ignore"):
        exact = reference(case, data)
    return {name: (in_bounds(ours[name], *exact[name]), in_bounds(torchs[name], *exact[name])) for name in exact}


# ---- The tables ------------------------------------------------------------------------------------------------------


def columns_of(dtype):
    """(heading, case without its width) of the columns of the large table."""
    cases = [(f"offset {offset:g}", Case(0, dtype, offset=offset)) for offset in OFFSETS]
    cases.append(("constant rows", Case(0, dtype, constant=True, eps=1e-12)))
    return cases + [(f"x {magnitude:g}", Case(0, dtype, magnitude=magnitude, eps=0.0)) for magnitude in MAGNITUDES]


def block_cases():
    """The whole operator: residual, with and without dropout, both norms."""
    return [
        Case(768, dtype, kind, residual=True, p=p, offset=offset)
        for dtype in MANTISSA
        for kind in ("layer", "rms")
        for p, offset in ((0.0, 0.0), (0.1, 0.0), (0.1, 1e4))
    ]


def show(value):
    if math.isinf(value):
        return "inf"
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"


def cell(figures):
    """ "addnorm / torch", coloured: what is outside the bounds is red."""
    parts = [f"[red]{show(value)}[/red]" if value > 1 else show(value) for value in figures]
    return f"[bold]{parts[0]}[/bold] / {parts[1]}"


class Report:
    """Judges cases, remembers those of ours outside the bounds, and prints them if `detail` asks for it."""

    def __init__(self, detail):
        self.detail, self.failures, self.judged = detail, [], 0

    def worst(self, case):
        figures = judge(case)
        self.judged += 1
        for name, (ours, theirs) in figures.items():
            if not ours <= 1:
                self.failures.append(f"{name} of {case.name()}: {show(ours)} bounds")
            if self.detail:
                console.print(f"  {case.name()}: {name} {show(ours)} / {show(theirs)}")
        return tuple(max(column) for column in zip(*figures.values(), strict=True))


def width_table(report, dtype):
    """LayerNorm by width (rows) and kind of data (columns)."""
    name = str(dtype).removeprefix("torch.")
    table = Table(
        title=f"LayerNorm forward and backward, {name}: worst error in contract bounds, [bold]addnorm[/bold] / torch {torch.__version__}"
    )
    table.add_column("H", justify="right")
    columns = columns_of(dtype)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for width in WIDTHS:
        # One column has variance 0, and with eps 0 no LayerNorm: 0 * inf.
        cells = [
            "-" if width == 1 and case.eps == 0 else cell(report.worst(dataclasses.replace(case, columns=width))) for _, case in columns
        ]
        table.add_row(str(width), *cells)
    return table


def block_table(report):
    """Add & Norm with residual and dropout."""
    table = Table(title="dropout + add + norm at H = 768")
    for heading in ("norm", "type", "p", "offset", "[bold]addnorm[/bold] / torch"):
        table.add_column(heading, justify="right")
    for case in block_cases():
        dtype = str(case.dtype).removeprefix("torch.")
        table.add_row(case.kind, dtype, f"{case.p:g}", f"{case.offset:g}", cell(report.worst(case)))
    return table


def run(detail=False):
    """Prints the tables. Returns the list of failures, empty if all is well."""
    report = Report(detail)
    for dtype in MANTISSA:
        console.print(width_table(report, dtype))
    console.print(block_table(report))
    console.print(
        "Cells: max |error| / bound over z, pre-norm and gradients; above 1 is outside the contract. Columns x 1e-30 ... have eps = 0,"
    )
    console.print("constant rows 1e-12, the others 1e-5. Where there is dropout, torch is given addnorm's mask.")
    for failure in report.failures:
        console.print(f"[red]outside the contract:[/red] addnorm, {failure}")
    console.print(f"{report.judged} inputs judged, {len(report.failures)} results of addnorm outside the contract's bounds")
    return report.failures


if __name__ == "__main__":
    sys.exit(1 if run("--detail" in sys.argv[1:]) else 0)
