"""``sittranslate bench``: the speed table, compared with other libraries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from SITTranslateLib.app.terminal import progress_bar, say
from SITTranslateLib.errors import InputError

#: The folder that the library lies in; of a source checkout it holds the benchmarks as well.
_CHECKOUT = Path(__file__).resolve().parents[2]


def run_bench(
    only: Annotated[list[str] | None, typer.Option("--only", help="A name; may be given several times.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for bench.json, bench.md and bench.png.")] = None,
    threads: Annotated[str, typer.Option("--threads", help="How many threads, one run each: 1 2.")] = "",
    more_threads: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    shape: Annotated[str, typer.Option("--shape", help="Voxels K J I.")] = "160 192 160",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs of each side; medians are shown.")] = 5,
    device: Annotated[str, typer.Option("--device", help="Absolute times there as well: cuda.")] = "",
    large: Annotated[bool, typer.Option("--large", help="Growth up to 512^3: 2 GB of memory.")] = False,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="Label maps of heads for estimated-fields; else a drawn head.")
    ] = None,
    docs: Annotated[Path | None, typer.Option("--docs", help="Page to write the tables into.")] = None,
) -> None:
    """Measure the field engine and the whole path against peers: CPU-seconds, wall, errors, memory."""
    find_benchmarks()
    try:
        from benchmarks.speed import inputs, on_device, pages, report, running
    except ImportError as error:
        raise InputError(f"The benchmark compares with {error.name}, which is not installed; install it.") from error
    # "--threads 1 2" and "--threads '1 2'" are the same.
    counts, size = (
        _whole_numbers(" ".join([threads, *(more_threads or [])]).strip() or "1 2", "--threads"),
        _whole_numbers(shape, "--shape"),
    )
    if len(size) != 3:
        raise InputError("--shape takes three numbers, such as '160 192 160'.")
    cube = size[0], size[1], size[2]
    if device:
        on_device.device_of(device)
    with progress_bar("Benchmark") as progress:
        records = running.run_benchmark(only or (), counts, cube, repeats, large, progress, heads)
    if device:
        records += on_device.measure_on_device(inputs.make_inputs(cube), device, repeats)
    say(report.to_markdown(records))
    if docs is not None:
        options = f"--shape '{shape}' --threads {' '.join(map(str, counts))} --repeats {repeats}{' --large' * large}"
        options += " --heads FOLDER" if heads else ""
        say(f"Written anew in {docs}: {', '.join(pages.rewrite(docs, records, options)) or 'nothing'}.")
    if json_file is not None:
        json_file.write_text(report.to_json(records), encoding="utf-8")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bench.json").write_text(report.to_json(records), encoding="utf-8")
        (out / "bench.md").write_text(report.to_markdown(records), encoding="utf-8")
        if not report.draw(records, out / "bench.png"):
            say("No picture: it needs matplotlib and at least one comparison.", err=True)


def find_benchmarks(checkout: Path = _CHECKOUT) -> None:
    """Make the package ``benchmarks`` of a checkout importable; it is not part of an installation.

    Args:
        checkout: the folder that the library lies in.

    Raises:
        InputError: the library does not lie in a checkout.
    """
    if not (checkout / "benchmarks" / "speed" / "running.py").is_file():
        raise InputError("The benchmarks are not installed; run 'sittranslate bench' from a source checkout.")
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))


def _whole_numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InputError(f"{option} takes whole numbers above 0, not {text!r}.")
    return numbers
