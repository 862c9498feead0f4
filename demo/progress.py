# SPDX-License-Identifier: Apache-2.0
"""Progress of the demo: one bar for everything on a terminal, plain lines elsewhere. And the console that all tables go to."""

import contextlib
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_DRAWINGS = 0.2
LINES = 10  # plain lines per stage where there is no terminal
TABLE_WIDTH = 140

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=TABLE_WIDTH)


@contextlib.contextmanager
def stage(title, total):
    """Yields tick(), to be called `total` times within the block; shows the title, how far it is and the time."""
    show = _bar if console.is_terminal else _lines
    with show(title, total) as tick:
        yield tick


@contextlib.contextmanager
def _bar(title, total):
    columns = (TextColumn("{task.description:<28}"), BarColumn(40), TextColumn("{task.completed:>5.0f}/{task.total:.0f}"))
    # Drawn between ticks only: a thread that draws would disturb what is being timed.
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, auto_refresh=False) as progress:
        task, drawn = progress.add_task(title, total=total), 0.0

        def tick():
            nonlocal drawn
            progress.advance(task)
            if time.perf_counter() - drawn > SECONDS_BETWEEN_DRAWINGS:
                progress.refresh()
                drawn = time.perf_counter()

        progress.refresh()
        yield tick


@contextlib.contextmanager
def _lines(title, total):
    begin, done = time.perf_counter(), 0

    def tick():
        nonlocal done
        done += 1
        if done * LINES // total != (done - 1) * LINES // total:
            print(f"{title}: {done}/{total}, {time.perf_counter() - begin:.0f} s", flush=True)

    yield tick
