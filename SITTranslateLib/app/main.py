"""``sittranslate``: the list of commands, and the handling of their errors.

A user's mistake ends with exit code 2 and one sentence; nothing half-written is left and no traceback is shown.
``SITTRANSLATE_DEBUG=1`` shows the traceback of an unexpected error.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core

from SITTranslateLib import __version__
from SITTranslateLib.app.holding import release
from SITTranslateLib.app.terminal import set_talk
from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import printable


@dataclass(frozen=True)
class Command:
    """A command by name; ``place`` is ``module:function``, imported when the command is called and not before."""

    name: str
    place: str
    summary: str

    def function(self) -> Callable[..., Any]:
        module, _, name = self.place.partition(":")
        loaded: Callable[..., Any] = getattr(import_module(module), name)
        return loaded

    def outline(self) -> Callable[..., Any]:
        """Stands in the list of commands for one that is not called."""

        def summary_only() -> None: ...

        return summary_only


#: Every command: name, module of its function, one line for the list.
COMMANDS: tuple[Command, ...] = (
    Command("demo", "SITTranslateLib.app.demo:run_demo", "Translate a brain that comes along, and show all there is."),
    Command("translate", "SITTranslateLib.app.translating:translate_scan", "Translate a scan with an installed model."),
    Command(
        "prescribe", "SITTranslateLib.app.prescribing:prescribe_scan", "Change volumes of structures as prescribed."
    ),
    Command("forecast", "SITTranslateLib.app.forecasting:forecast_visits", "Forecast a scan from two visits."),
    Command("batch", "SITTranslateLib.app.batch.command:run_batch", "Translate a BIDS dataset or a folder; resumable."),
    Command("models", "SITTranslateLib.app.listing:list_models", "List the installed models."),
    Command("check", "SITTranslateLib.app.checking:check_result", "Check a result: recomposition, folding, inverse."),
    Command("reproduce", "SITTranslateLib.app.reproducing:reproduce_result", "Make a result again, and compare."),
    Command("trace", "SITTranslateLib.app.trace:trace", "Trace any pair of images: motion, new content, verdict."),
    Command("export", "SITTranslateLib.app.exporting:export_transform", "Write a motion for ANTs, ITK, Slicer."),
    Command("view", "SITTranslateLib.app.viewing:view_result", "Show a result in a web page on this machine."),
    Command("train", "SITTranslateLib.app.train:train", "Train a translator on simulated pairs; resumable."),
    Command("publish", "SITTranslateLib.app.train:publish", "Make a model package of a finished run."),
    Command("package", "SITTranslateLib.app.packaging:package_model", "Make a package of an ONNX file or a bundle."),
    Command("evaluate", "SITTranslateLib.app.evaluate:evaluate", "Make a system's tables, with the identity baseline."),
    Command("bench", "SITTranslateLib.app.bench:run_bench", "Measure speed against peers, side by side."),
)


#: Groups of options on help pages, by the names of the functions' parameters; all others stand before them.
HELP_GROUPS: dict[str, tuple[str, ...]] = {
    "Which scans": ("participant", "session", "suffix", "frames"),
    "Network": ("device", "precision", "seed", "ensemble", "force"),
    "Also written": ("fields", "structures", "strength", "segmentation", "translated_segmentation", "names", "dicom"),
    "How it runs": ("workers", "scheduler", "overwrite", "dry_run", "timing", "as_json", "quiet", "verbose", "help"),
}


class GroupedCommand(typer.core.TyperCommand):
    """A command whose help page shows its options in groups, a line or two each."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the groups in the order of :data:`HELP_GROUPS`."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", "Options", *HELP_GROUPS)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                group = next((g for g, names in HELP_GROUPS.items() if parameter.name in names), "Options")
                groups["Arguments" if argument else group].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


def build(called: str | None) -> typer.Typer:
    """The command line with the called command in full and a line for each of the others."""
    app = typer.Typer(
        name="sittranslate",
        help="Traceable medical image translation: the translated scan, how the anatomy moved, how the intensity "
        "changed.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        # As plain text: half as long as in boxes, and readable by programs.
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for command in COMMANDS:
        function = command.function() if command.name == called else command.outline()
        summary = None if command.name == called else command.summary
        app.command(command.name, cls=GroupedCommand, help=summary)(function)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns its exit code."""
    # A shell that asks for completions gives the words so far in the environment.
    words = [*arguments, *os.environ.get("_TYPER_COMPLETE_ARGS", os.environ.get("COMP_WORDS", "")).split()[1:]]
    called = next((a for a in words if not a.startswith("-")), None)
    set_talk()
    try:
        code = build(called)(args=list(arguments), prog_name="sittranslate", standalone_mode=False)
        return int(code or 0)
    except InputError as error:
        return _refuse(str(error))
    except Terminated:
        return _refuse("Ended from outside; nothing was written.", 143)
    except (KeyboardInterrupt, typer.Abort):
        return _refuse("Stopped; nothing was written.", 130)
    except typer.Exit as end:
        return int(end.exit_code)
    except MemoryError:
        return _refuse("This machine has not enough memory for that; close other programs or use a smaller scan.")
    except Exception as error:
        # typer's usage errors carry their own sentence and code; their class has moved between versions.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            sentence = " ".join(str(error.format_message()).split())
            return _refuse(sentence if not sentence or sentence.endswith(".") else f"{sentence}.", int(error.exit_code))
        if os.environ.get("SITTRANSLATE_DEBUG"):
            raise
        sentence = " ".join(str(error).split())[:300]
        return _refuse(f"Unexpected error ({type(error).__name__}): {sentence} Set SITTRANSLATE_DEBUG=1 for more.", 1)
    finally:
        release()


class Terminated(KeyboardInterrupt):
    """The system asks the program to end (SIGTERM): what is half written is taken away first."""


def main() -> None:
    """The ``sittranslate`` program."""

    def end(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    for stream in (sys.stdout, sys.stderr):
        # A code page without the letters of a path must not end a command whose result is written.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def _refuse(sentence: str, code: int = 2) -> int:
    if sentence:
        sys.stderr.write(printable(sentence) + "\n")
    return code


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"sittranslate {__version__}\n")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of the program itself; ``--version`` acts before a command is looked for."""


if __name__ == "__main__":
    main()
