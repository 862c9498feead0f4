# SPDX-License-Identifier: Apache-2.0
"""What one small eager call costs, addnorm beside torch's add + layer_norm with the same outputs, in microseconds.

Both are timed in turns, in many blocks shorter than a time slice; the figure is the fastest block, which other load on the machine
disturbs least.
Exit code 1 if a ratio at 8x768 is above --limit.
"""

import argparse
import json
import os
import sys
import time

import addnorm
import torch
import torch.nn.functional as F

SHAPES = ((1, 64), (8, 768))
LIMITED = (8, 768)


def fastest(functions, blocks: int, calls: int) -> list[float]:
    """Microseconds per call of each function."""
    best = [float("inf")] * len(functions)
    for function in functions:
        for _ in range(200):
            function()
    for _ in range(blocks):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            for _ in range(calls):
                function()
            best[i] = min(best[i], (time.perf_counter() - start) / calls * 1e6)
    return best


def with_backward(function, inputs, grads):
    def call():
        for tensor in inputs:
            tensor.grad = None
        outputs = function()
        torch.autograd.backward(outputs, grads)

    return call


def cases(rows: int, cols: int, dtype: torch.dtype):
    """(name, whether a gradient is wanted, addnorm's call, torch's call)."""
    torch.manual_seed(0)
    x, residual, dy, dsum = (torch.randn(rows, cols, dtype=dtype) for _ in range(4))
    weight, bias = torch.randn(cols, dtype=dtype), torch.randn(cols, dtype=dtype)
    shape = (cols,)

    def ours():
        return addnorm.add_layer_norm(x, residual, weight, bias)

    def ours_dropout():
        return addnorm.dropout_add_layer_norm(x, residual, weight, bias, 0.0, 1e-5)

    def ours_sum():
        return addnorm.add_layer_norm(x, residual, weight, bias, prenorm=True)

    def theirs():
        return F.layer_norm(x + residual, shape, weight, bias)

    def theirs_sum():
        total = x + residual
        return F.layer_norm(total, shape, weight, bias), total

    pairs = (
        ("add_layer_norm", ours, theirs, dy),
        ("dropout_add_layer_norm p=0", ours_dropout, theirs, dy),
        ("add_layer_norm, sum returned", ours_sum, theirs_sum, (dy, dsum)),
    )
    for name, mine, other, _ in pairs:
        yield f"{name}: forward", False, mine, other
    parameters = [tensor.requires_grad_() for tensor in (x, residual, weight, bias)]
    for name, mine, other, grads in pairs:
        yield f"{name}: forward + backward", True, with_backward(mine, parameters, grads), with_backward(other, parameters, grads)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=1.5, help="largest ratio to torch allowed at 8x768")
    parser.add_argument("--blocks", type=int, default=400)
    parser.add_argument("--calls", type=int, default=15, help="calls per block")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print(f"addnorm {addnorm.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} CPUs, float32")
    print(f"{'':8} {'call':48} {'addnorm us':>10} {'torch us':>10} {'ratio':>6}")
    figures, failures = [], 0
    for rows, cols in SHAPES:
        for name, grad, mine, other in cases(rows, cols, torch.float32):
            with torch.set_grad_enabled(grad):
                ours, theirs = fastest((mine, other), arguments.blocks, arguments.calls)
            ratio = ours / theirs
            over = (rows, cols) == LIMITED and ratio > arguments.limit
            failures += over
            print(f"{f'{rows}x{cols}':8} {name:48} {ours:10.2f} {theirs:10.2f} {ratio:6.2f}{'  over the limit' if over else ''}")
            figures.append({"rows": rows, "cols": cols, "call": name, "addnorm_us": ours, "torch_us": theirs, "ratio": ratio})
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=2)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
