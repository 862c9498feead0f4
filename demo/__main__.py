# SPDX-License-Identifier: Apache-2.0
"""The demo:  python -m demo [--picture=PATH]

Trains a small GPT on real English text twice from one seed, with torch's own dropout, add and LayerNorm and with addnorm's operator;
checks that the two agree; and shows accuracy and speed. Exits with 1 if a check fails.
"""

import pathlib
import sys
import time

import torch

from demo import accuracy, corpus, picture, share, speed, train
from demo.model import addnorm_add_norm, torch_add_norm
from demo.progress import console, stage

PICTURE = pathlib.Path("build/demo/demo.png")
NAMES = ("torch eager", "addnorm")
OPERATORS = (torch_add_norm, addnorm_add_norm)
SHARE_STEPS = 20


class Checks:
    """The claims of the demo, each printed as it is checked."""

    def __init__(self):
        self.failed = []

    def check(self, holds, claim):
        verdict = "[green]ok[/green]" if holds else "[bold red]FAILED[/bold red]"
        console.print(f"  {verdict}  {claim}")
        if not holds:
            self.failed.append(claim)


def heading(text):
    console.print(f"\n[bold]{text}[/bold]")


def busy_share(seconds=0.5):
    """The part of the machine's processor time that others use while this program sleeps."""

    def clocks():
        ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]  # all, idle

    total, idle = clocks()
    time.sleep(seconds)
    new_total, new_idle = clocks()
    return 1 - (new_idle - idle) / max(1, new_total - total)


def describe_machine():
    import addnorm

    console.print(f"torch {torch.__version__}, addnorm {addnorm.__version__}, {torch.get_num_threads()} threads")
    busy = busy_share()
    if busy > 0.2:
        console.print(f"[yellow]Other programs use {100 * busy:.0f} % of this machine: do not trust the times below.[/yellow]")


def check_replay(checks, text, recipe):
    """Both sides get the same masks, so nothing but rounding may differ."""
    with stage("same masks", recipe.replay_steps) as tick:
        losses = train.replay(text, recipe, tick)
    gap = train.largest_difference(losses)
    bound = train.REPLAY_BOUND
    checks.check(
        gap <= bound, f"addnorm's masks replayed in torch: {recipe.replay_steps} steps, max |loss difference| {gap:.1e} (at most {bound:g})"
    )


def check_training(checks, text, recipe, bigram):
    """Two whole runs with masks of their own. Returns {name: Run}."""
    with stage("independent masks, 2 runs", 2 * recipe.steps) as tick:
        runs = dict(zip(NAMES, train.compare(text, recipe, tick), strict=True))
    torchs, ours = runs["torch eager"].final, runs["addnorm"].final
    gap = abs(ours - torchs) / torchs
    console.print(f"  held-out loss: bigram {bigram:.4f}, torch {torchs:.4f}, addnorm {ours:.4f} nats per character")
    checks.check(gap <= train.HELD_OUT_BOUND, f"independent masks: held-out losses within {100 * gap:.2f} % (at most 1 %)")
    below = 1 - max(torchs, ours) / bigram
    checks.check(
        below >= train.BASELINE_MARGIN,
        f"both below the bigram baseline by {100 * below:.0f} % (at least {100 * train.BASELINE_MARGIN:.0f} %)",
    )
    return runs


def show_shares(text, recipe):
    """Prints time per step and the part of it in Add & Norm; returns {name: (ms, ms in sites)}."""
    with stage("time per step", SHARE_STEPS + 2) as tick:
        shares = dict(zip(NAMES, share.measure(text, recipe, OPERATORS, SHARE_STEPS, tick), strict=True))
    for name, (whole, sites) in shares.items():
        console.print(f"  {name:<12} {whole:6.1f} ms per step, of them {sites:5.1f} ms ({100 * sites / whole:.0f} %) in Add & Norm")
    return shares


def main(arguments):
    path = next((pathlib.Path(word.split("=", 1)[1]) for word in arguments if word.startswith("--picture=")), PICTURE)
    begin = time.perf_counter()
    checks, recipe = Checks(), train.Recipe()
    heading("Text and model")
    text = corpus.load()
    bigram = corpus.bigram_loss(text)
    shape = recipe.shape
    console.print(text.describe())
    sites = 2 * shape.layers + 1
    console.print(
        f"GPT: {shape.layers} layers, width {shape.width}, context {shape.context}, {sites} Add & Norm sites, dropout {shape.dropout}"
    )
    describe_machine()
    heading("Agreement in training")
    check_replay(checks, text, recipe)
    runs = check_training(checks, text, recipe, bigram)
    shares = show_shares(text, recipe)
    heading("Accuracy against float64")
    failures = accuracy.run()
    checks.check(not failures, "every result of addnorm within the contract's bounds")
    heading("Speed")
    cells = speed.run()
    picture.draw(path, runs, bigram, shares, cells)
    console.print(f"\npicture: {path}   ({time.perf_counter() - begin:.0f} s in all)")
    for claim in checks.failed:
        console.print(f"[bold red]FAILED[/bold red]  {claim}")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
