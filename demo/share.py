# SPDX-License-Identifier: Apache-2.0
"""How much of a training step the Add & Norm sites take, forward and backward, by the clock.

Forward: the time inside each site. Backward: two identity functions around a site read the clock. The one behind it runs when both of
the site's output gradients have arrived, the one before it when both of its input gradients have; autograd runs the newest node that is
ready, so between the two only the site's own backward has run.
"""

import time

import torch

from demo.train import Trainer, batches


class Clock:
    """Seconds spent in sites since `reset`."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.forward = self.backward = self.begun = 0.0


class Before(torch.autograd.Function):
    """Identity on a site's inputs; its backward ends the measurement of the site's backward."""

    @staticmethod
    def forward(ctx, clock, x, residual):
        ctx.clock = clock
        return x.view_as(x), None if residual is None else residual.view_as(residual)

    @staticmethod
    def backward(ctx, dx, dresidual):
        ctx.clock.backward += time.perf_counter() - ctx.clock.begun
        return None, dx, dresidual


class Behind(torch.autograd.Function):
    """Identity on a site's outputs; its backward begins the measurement of the site's backward."""

    @staticmethod
    def forward(ctx, clock, z, h):
        ctx.clock = clock
        ctx.set_materialize_grads(False)
        return z.view_as(z), h.view_as(h)

    @staticmethod
    def backward(ctx, dz, dh):
        ctx.clock.begun = time.perf_counter()
        return None, dz, dh


def timed(operator, clock):
    """`operator`, with its forward and backward added to `clock`."""

    def call(x, residual, weight, bias, p, epsilon):
        x, residual = Before.apply(clock, x, residual)
        begin = time.perf_counter()
        z, h = operator(x, residual, weight, bias, p, epsilon)
        clock.forward += time.perf_counter() - begin
        return Behind.apply(clock, z, h)

    return call


def measure(corpus, recipe, operators, steps=20, tick=lambda: None):
    """For each operator the medians over `steps` of (milliseconds per step, of them in sites); in turns, after two steps of warm-up."""
    clocks = [Clock() for _ in operators]
    trainers = [Trainer(corpus, recipe, timed(operator, clock)) for operator, clock in zip(operators, clocks, strict=True)]
    samples = [[] for _ in operators]
    torch.manual_seed(recipe.seed)
    for step, windows in enumerate(batches(corpus.train, recipe, steps + 2)):
        for trainer, clock, sample in zip(trainers, clocks, samples, strict=True):
            clock.reset()
            begin = time.perf_counter()
            trainer.step(windows)
            whole = time.perf_counter() - begin
            if step >= 2:
                sample.append((whole, clock.forward + clock.backward))
        tick()
    return [tuple(1e3 * sorted(column)[steps // 2] for column in zip(*sample, strict=True)) for sample in samples]
