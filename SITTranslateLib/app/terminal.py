"""Terminal output of commands: progress on stderr, results on stdout, and the cost of a run."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

import typer
from rich.console import Console

from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import printable

#: Every command imports this file before anything slow.
_STARTED = time.perf_counter()


#: What the options ``-q`` and ``-v`` ask for; set anew for every command.
_quiet = _verbose = False


def set_talk(quiet: bool = False, verbose: bool = False) -> None:
    """How much a command says: ``quiet`` leaves errors alone, ``verbose`` gives progress as lines in pipes too."""
    global _quiet, _verbose
    _quiet, _verbose = quiet, verbose


def say(text: str, *, err: bool = False, always: bool = False) -> None:
    """Print lines: everything that a command says goes through here.

    File names, cards and label names come into it; what is not printable in them is shown as ``?``. ``always`` is for
    errors, which quiet mode does not hold back.
    """
    if always or not _quiet:
        typer.echo(printable(text, keep="\n\t"), err=err)


def say_json(found: object) -> None:
    """Print plain types as JSON, also in quiet mode: it is what was asked for."""
    typer.echo(json.dumps(found, indent=2))


def training_rooms(command: str) -> ModuleType:
    """The package ``SITTranslateLib.training``, which an installation into Slicer leaves out.

    Args:
        command: that needs it.

    Raises:
        InputError: it is not there, or a library that it needs is not.
    """
    try:
        import_module("SITTranslateLib.training.recipes")
        import_module("SITTranslateLib.training.engine.trainer")
        return import_module("SITTranslateLib.training")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("SITTranslateLib"):
            raise InputError(
                f"'sittranslate {command}' is not part of the Slicer extension; install sittranslate with pip."
            ) from error
        raise InputError(
            f"'sittranslate {command}' needs {error.name}, which is not installed: pip install 'sittranslate[train]'."
        ) from error


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr fed by ``(stage, fraction)``; gone when done. Where stderr is no terminal: nothing, or with
    ``-v`` a plain line for each stage."""
    console = Console(stderr=True)
    if _verbose and not _quiet and not console.is_terminal:
        yield _plain_lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=_quiet or not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda stage, fraction: bar.update(task, description=printable(stage.capitalize()), completed=fraction)


def _plain_lines() -> Callable[[str, float], None]:
    last = ""

    def line(stage: str, fraction: float) -> None:
        nonlocal last
        if stage != last:
            last = stage
            typer.echo(printable(f"{fraction:4.0%} {stage}"), err=True)

    return line


@contextlib.contextmanager
def without_library_noise() -> Iterator[None]:
    """Keep what C++ libraries print past Python off the terminal, so that an error is one sentence."""
    try:
        real = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        real = False
    if not real or os.environ.get("SITTRANSLATE_DEBUG"):
        yield
        return
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


class Stopwatch:
    """Seconds, CPU seconds and peak memory since the program started, imports and finished child processes included."""

    def report(self) -> str:
        """One line."""
        children = os.times()
        cpu = time.process_time() + children.children_user + children.children_system
        parts = [f"{time.perf_counter() - _STARTED:.1f} s", f"{cpu:.1f} CPU s"]
        if sys.platform != "win32":
            import resource

            unit = 1 if sys.platform == "darwin" else 1024
            peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
            parts.append(f"{peak * unit / 1e9:.2f} GB peak memory")
        return "Timing: " + ", ".join(parts)
