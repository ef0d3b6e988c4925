"""The tables and pictures of ``docs/speed.md``, rewritten from records.

A table stands between ``<!-- bench NAME -->`` and ``<!-- end -->``; it is rewritten when all of its cases were
measured, with the command and the machine above it, and left as it is otherwise.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed import pictures
from benchmarks.speed.growth import GROWTH
from benchmarks.speed.measuring import Record
from SITTranslateLib.errors import InputError

#: What decides about times, beside Python.
_SOFTWARE = ("numpy", "torch", "numba", "isal", "SimpleITK", "monai", "hf-deepali", "picsl-greedy", "antspyx")


class Page(NamedTuple):
    """One table: the cases that it is made of, how it is written, the picture beside the page, and the runs."""

    cases: tuple[str, ...]
    table: Callable[[Sequence[Record]], str]
    draw: Callable[[Sequence[Record], Path], None] | None = None
    picture: str = ""
    runs: str = "medians in turns"


def compared(records: Sequence[Record]) -> str:
    """Ratios first."""
    rows = []
    for r in records:
        error = f"{r.max_error:.1g} {r.unit}"
        ours, theirs = (r.details.get(f"{who}_mean_mm") for who in ("ours", "peer"))
        if ours is not None and theirs is not None:
            kind = "mean residual" if r.name.startswith("inverse") else "mean error"
            error = f"{kind}: ours {ours:.2g}, theirs {theirs:.2g} mm"
        rows.append([f"**{r.ratio:.3g}x**", r.name, r.peer, _seconds(r), _seconds(r, "peer"), error, r.goal])
    return _table("ratio | work | library | ours, CPU-s (system) | library, CPU-s (system) | error | goal", rows)


def front(records: Sequence[Record]) -> str:
    rows = [
        [
            r.peer,
            str(r.details["squarings"]),
            _seconds(r),
            *(f"{r.details[f'error_{n}_mm']:.4f}" for n in ("mean", "p99")),
        ]
        for r in records
    ]
    return _table("library | squarings | CPU-s (system) | error, mean (mm) | p99 (mm)", rows)


def estimated(records: Sequence[Record]) -> str:
    rows = []
    for r in records:
        d = r.details
        errors = (f"{d[f'error_{n}_mm']:.3f}" for n in ("mean", "p95"))
        rows.append([f"{d['pair']}, {d['motion_mean_mm']:.2f} mm", r.peer, d["last_level"], _seconds(r), *errors])
    return _table("pair, mean motion | method | last level | CPU-s | error, mean (mm) | 95 % (mm)", rows)


def steps(records: Sequence[Record]) -> str:
    rows = []
    for r in records:
        more = "; ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in r.details.items())
        peak = "" if r.peak_mib is None else f"{r.peak_mib:.0f} MiB"
        rows.append([r.name, _seconds(r), peak, r.goal, {None: "", True: "yes", False: "**no**"}[r.reached], more])
    return _table("step | CPU-s (system) | peak | goal | reached | more", rows)


def precision(records: Sequence[Record]) -> str:
    keys = ("image_off_rms_percent_of_range", "image_off_max_percent_of_range", "velocity_off_max_mm")
    rows = [[r.name.removeprefix("network "), _seconds(r), *(f"{r.details[k]:.2g}" for k in keys)] for r in records]
    return _table("network | CPU-s | image off, rms (% of range) | image off, max | velocity off, max (mm)", rows)


def growth(records: Sequence[Record]) -> str:
    rows = []
    for r in records:
        d, cpu = r.details, r.ours_cpu_s or 0.0
        if r.name == "growth-voxels":
            what, each = f"exp + warp, {r.shape[0]}^3 voxels", f"{1e9 * cpu / d['voxels']:.1f} ns a voxel"
            if "jacobian_cpu_s" in d:
                each += f"; Jacobian map {d['jacobian_cpu_s']:.3g} CPU-s"
        elif r.name == "growth-scans":
            by = (
                f"dask, {d['processes']} workers"
                if d["dask"]
                else f"{d['processes']} process{'es' * (d['processes'] > 1)}"
            )
            what, each = f"batch, {d['scans']} scans at 2 mm, {by}", f"{cpu / d['scans']:.2f} CPU-s a scan"
        else:
            kind = r.name.removeprefix("growth-")
            what, each = f"{d[kind]:,} {kind}", f"{1e6 * cpu / d[kind]:.3g} us each" if kind == "points" else ""
        rows.append([what, f"{cpu:.3g}", f"{r.ours_wall_s:.3g}", each])
    return _table("work | CPU-s | s | ", rows)


def engines(records: Sequence[Record]) -> str:
    keys = ("first_empty_cache", "first_warm_cache", "further", "torch_further")
    rows = [[f"`{r.name.removeprefix('engine ')}`", *(f"{r.details[k]:.2g}" for k in keys)] for r in records]
    return _table("function | first, empty cache | first, warm cache | further | torch, further", rows)


PAGES: dict[str, Page] = {
    "compared": Page(("sit-layer", "exp-full", "jacobian", "inverse", "segment-table"), compared),
    "front": Page(("exp-front",), front, pictures.draw_front, "speed-front.png"),
    **{
        case: Page((case,), estimated, pictures.draw_estimated, f"{case}.png", "one run of each")
        for case in ("estimated-fields", "estimated-fields-across")
    },
    "steps": Page(("steps", "segment-table-whole", "translate-command", "batch-command", "demo-command"), steps),
    "precision": Page(("network",), precision),
    **{name: Page((name,), growth) for name in GROWTH},
    "engines": Page(("engines",), engines),
}


def rewrite(page: Path, records: Sequence[Record], options: str = "") -> list[str]:
    """Rewrite the tables whose cases are all among the records, and their pictures; the names of these tables.

    Args:
        options: of the command that measured, in addition to the cases.

    Raises:
        InputError: the page has no such table.
    """
    text, written = page.read_text(encoding="utf-8"), []
    measured = {record.case for record in records}
    for name, (cases, table, draw, picture, runs) in PAGES.items():
        if not measured.issuperset(cases):
            continue
        chosen = [record for record in records if record.case in cases]
        only = " ".join(f"--only {case}" for case in cases)
        command = f"`sittranslate bench {options} {only}`, {runs}. {machine()}"
        begin, end = f"<!-- bench {name} -->\n", "<!-- end -->"
        if begin not in text:
            raise InputError(f"'{page.name}' has no table '{name}' to rewrite.")
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}{command}\n\n{table(chosen)}{end}{rest.partition(end)[2]}"
        if draw is not None:
            draw(chosen, page.parent / "pictures" / picture)
        written.append(name)
    if grown := [record for record in records if record.case in GROWTH]:
        pictures.draw_growth(grown, page.parent / "pictures" / "speed-growth.png")
    page.write_text(text, encoding="utf-8")
    return written


def machine() -> str:
    """Processor, system and libraries."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)):
        name = found.group(1).replace("(R)", "")
    libraries = []
    for library in _SOFTWARE:
        try:
            libraries.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return f"{name}, {os.cpu_count()} processors, Python {platform.python_version()}, {', '.join(libraries)}."


def _seconds(record: Record, side: str = "ours") -> str:
    cpu, system = getattr(record, f"{side}_cpu_s"), getattr(record, f"{side}_system_s")
    return "" if cpu is None else f"{cpu:.3g}" + ("" if system is None else f" ({system:.2g})")


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {head} |", "|" + " --- |" * (head.count(" | ") + 1), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"
