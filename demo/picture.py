# SPDX-License-Identifier: Apache-2.0
"""The picture of the demo: loss curves, the time of a step, and the speed table as bars."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"addnorm": "#d1495b", "torch eager": "#30638e", "torch.compile": "#8fb8de", "rest": "#d9d9d9"}
SMOOTHING = 20  # steps


def smooth(values):
    """Running mean over the last SMOOTHING values."""
    return [sum(values[max(0, i - SMOOTHING + 1) : i + 1]) / min(i + 1, SMOOTHING) for i in range(len(values))]


def draw_losses(axes, runs, bigram):
    """`runs`: {name: Run}. Training losses thin, held-out losses as marked lines, the bigram baseline dashed."""
    styles = {"torch eager": {"lw": 4, "alpha": 0.55}, "addnorm": {"lw": 1.6, "alpha": 1.0}}
    for name, run in runs.items():
        colour = COLOURS[name]
        axes.plot(range(1, len(run.losses) + 1), smooth(run.losses), color=colour, lw=0.8, alpha=0.5)
        steps, losses = zip(*run.held_out, strict=True)
        marker = "o" if name == "addnorm" else None
        axes.plot(steps, losses, color=colour, marker=marker, ms=3.5, label=f"{name}: held out {run.final:.4f}", **styles[name])
    axes.axhline(bigram, color="0.35", ls="--", lw=1.2, label=f"bigram counts: held out {bigram:.4f}")
    axes.set_ylim(top=bigram + 0.75)
    axes.set_xlim(0)
    axes.set(xlabel="step", ylabel="loss, nats per character", title="A GPT on English text, trained twice from one seed")
    axes.legend(frameon=False, loc="upper right")
    axes.text(0.02, 0.03, f"thin: training loss, mean of {SMOOTHING} steps", transform=axes.transAxes, color="0.4", fontsize=8)


def draw_steps(axes, shares):
    """`shares`: {name: (milliseconds per step, of them in Add & Norm)}, as stacked columns."""
    for i, (name, (whole, sites)) in enumerate(shares.items()):
        axes.bar(i, sites, 0.6, color=COLOURS[name])
        axes.bar(i, whole - sites, 0.6, bottom=sites, color=COLOURS["rest"])
        text = f"Add & Norm\n{sites:.1f} ms, {100 * sites / whole:.0f} %"
        inside = sites > 0.1 * max(other for other, _ in shares.values())
        place = {"y": sites / 2, "va": "center", "color": "white"} if inside else {"y": sites, "va": "bottom", "color": COLOURS[name]}
        axes.text(i, s=text, ha="center", fontsize=8, **place)
        axes.text(i, whole, f"{whole:.0f} ms", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set_xlim(-0.5, len(shares) - 0.5)
    axes.set(ylabel="milliseconds", title="Time of a training step")
    axes.margins(y=0.1)


def draw_speed(axes, cells, title):
    """How many times addnorm's time the others take; a bar to the right of 1 means that addnorm is faster."""
    names = ("torch eager", "torch.compile")
    for i, cell in enumerate(cells):
        for j, (name, ratio) in enumerate(zip(names, cell.ratios(), strict=True)):
            y = i + 0.2 * (2 * j - 1)
            axes.barh(y, ratio - 1, 0.38, left=1, color=COLOURS[name], label=name if i == 0 else None)
            right = ratio >= 1
            axes.text(ratio * (1.03 if right else 0.97), y, f"{ratio:.2f}", va="center", ha="left" if right else "right", fontsize=7)
    axes.axvline(1, color=COLOURS["addnorm"], lw=2, label="addnorm")
    axes.set_xscale("log")
    axes.minorticks_off()
    labels = [f"{cell.rows}x{cell.columns}  p={cell.p:g}  {'fwd+bwd' if cell.backward else 'fwd'}" for cell in cells]
    axes.set_yticks(range(len(cells)), labels, fontsize=8)
    for i in range(1, len(cells)):
        if (cells[i].p, cells[i].backward) != (cells[i - 1].p, cells[i - 1].backward):
            axes.axhline(i - 0.5, color="0.88", lw=0.8, zorder=0)
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.set(xlabel="time / addnorm's time", title=title)


def draw(path, runs, bigram, shares, cells):
    """Writes the PNG. See draw_losses, draw_steps and draw_speed (`cells`: list of speed.Cell) for the arguments."""
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titleweight": "bold"})
    figure = plt.figure(figsize=(13, 10), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.2), hspace=0.03)
    left, right = above.subplots(1, 2, width_ratios=(2.4, 1))
    draw_losses(left, runs, bigram)
    draw_steps(right, shares)
    groups = {}
    for cell in cells:
        groups.setdefault(str(cell.dtype).removeprefix("torch."), []).append(cell)
    panels = below.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    for axes, (dtype, group) in zip(panels, groups.items(), strict=True):
        draw_speed(axes, group, f"dropout + add + LayerNorm, {dtype}")
    limits = [axes.dataLim.intervalx for axes in panels]
    low, high = min(0.6, *(limit[0] / 1.25 for limit in limits)), max(limit[1] for limit in limits) * 1.4
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high]
    panels[0].set_xlim(low, high)
    panels[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].legend(frameon=False, loc="upper right", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
