"""Progress of long work on the terminal, and the output of tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from SITTranslateLib.escaping import printable


def say(text: str, *, err: bool = False) -> None:
    """Print lines; what is not printable in names is shown as ``?``."""
    print(printable(text, keep="\n\t"), file=sys.stderr if err else sys.stdout, flush=True)


@contextmanager
def steps_with_progress(
    title: str, start: int, steps: int, visible: bool = True
) -> Iterator[Callable[[dict[str, float]], None]]:
    """A bar of training steps with the running losses; off a terminal, a line every 100 steps."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    done = start
    with Progress(*columns, console=console, disable=not visible or not console.is_terminal) as bar:
        task = bar.add_task(title, total=steps, completed=start, losses="")

        def advance(values: dict[str, float]) -> None:
            nonlocal done
            done += 1
            text = " ".join(f"{name} {value:.4f}" for name, value in values.items())
            bar.update(task, completed=done, losses=text)
            if visible and not console.is_terminal and done % 100 == 0:
                console.print(f"{title} {done}/{steps} {text}", soft_wrap=True)

        yield advance
