"""Pictures of records: error against time, and growth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import Record

_COLOURS = ("#cc3311", "#ee7733", "#4477aa", "#228833", "#aa3377")


def draw_front(records: Sequence[Record], path: Path) -> None:
    """Mean error against CPU-seconds on two logarithmic axes, a line a library."""
    figure, (axes,) = _figure(1, (7.2, 4.2))
    for colour, library in zip(_COLOURS, dict.fromkeys(r.peer for r in records), strict=False):
        chosen = [r for r in records if r.peer == library]
        seconds, errors = [r.ours_cpu_s for r in chosen], [r.details["error_mean_mm"] for r in chosen]
        axes.plot(seconds, errors, "o-", color=colour, label=library, markersize=6)
        for r in (chosen[0], chosen[-1]) if len(chosen) > 1 else chosen:
            axes.annotate(
                str(r.details["squarings"]), (r.ours_cpu_s, r.details["error_mean_mm"]),
                textcoords="offset points", xytext=(6, 5), fontsize=8, color=colour,
            )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlabel="CPU-seconds of one exp", ylabel="mean error against paths in 64 steps (mm)"
    )
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    axes.legend(frameon=False, fontsize=8, title="library (numbers: squarings)", title_fontsize=8)
    _save(figure, path)


def draw_estimated(records: Sequence[Record], path: Path) -> None:
    """Mean error of estimated fields of a pair against CPU-seconds, a line a method."""
    figure, (axes,) = _figure(1, (5.6, 3.8))
    for colour, method in zip(_COLOURS, dict.fromkeys(r.peer for r in records), strict=False):
        chosen = [r for r in records if r.peer == method]
        points = [(r.ours_cpu_s, r.details["error_mean_mm"]) for r in chosen]
        axes.plot(*zip(*points, strict=True), "o-", color=colour, label=method, markersize=6)
        for r, point in zip(chosen, points, strict=True):
            axes.annotate(
                r.details["last_level"], point, textcoords="offset points", xytext=(6, 5), fontsize=8, color=colour
            )
    axes.set(
        xscale="log", yscale="log", xlabel="CPU-seconds", ylabel="mean error of the motion (mm)",
        title=records[0].details["pair"],
    )  # fmt: skip
    axes.margins(x=0.2, y=0.12)
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    axes.legend(frameon=False, fontsize=8, title="last level beside each point", title_fontsize=8)
    _save(figure, path)


def draw_growth(records: Sequence[Record], path: Path) -> None:
    """CPU-seconds against voxels, segments, points and scans, as far as they were measured."""
    known = (
        ("growth-voxels", "voxels", "exp + warp"),
        ("growth-segments", "segments", "segment table"),
        ("growth-points", "points", "tracing points"),
        ("growth-scans", "scans", "batch at 2 mm"),
    )
    panes = [pane for pane in known if any(r.name == pane[0] for r in records)]
    figure, panels = _figure(len(panes), (max(4.5, 2.9 * len(panes)), 3.2))
    for axes, (name, key, title) in zip(panels, panes, strict=True):
        chosen = [r for r in records if r.name == name]
        for colour, dask in zip(_COLOURS, (False, True), strict=False):
            drawn = [r for r in chosen if bool(r.details.get("dask")) == dask]
            if drawn:
                label = ("dask" if dask else "processes") if key == "scans" else None
                style = "s" if dask else "o"
                axes.plot(
                    [r.details[key] for r in drawn], [r.ours_cpu_s for r in drawn], style, color=colour, label=label
                )
        axes.set(xscale="log", xlabel=key, title=title)
        axes.set_yscale("log" if key != "segments" else "linear")
        if key == "segments":
            axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        if key == "scans":
            axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("CPU-seconds")
    _save(figure, path)


def _figure(panels: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, panels, figsize=size, layout="constrained", squeeze=False)
    for each in axes[0]:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
    return figure, list(axes[0])


def _plain_numbers(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each power of ten, without exponents."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
