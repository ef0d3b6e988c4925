"""The records as JSON, as a Markdown table, ratios first, and as a picture."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.measuring import Record

_COLUMNS = (
    "ratio (CPU)", "ratio (wall)", "work", "peer", "threads", "ours CPU-s (of it system)", "peer CPU-s (of it system)",
    "error", "tolerance", "share of copy bandwidth", "goal", "reached",
)  # fmt: skip


def to_json(records: Sequence[Record]) -> str:
    """A list of records."""
    return json.dumps([record.to_dict() for record in records], indent=2)


def to_markdown(records: Sequence[Record]) -> str:
    """A table with the ratios first, then the figures without a peer."""
    raced = [r for r in records if r.ratio is not None]
    alone = [r for r in records if r.ratio is None]
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + " --- |" * len(_COLUMNS)] if raced else []
    for r in raced:
        share = "" if r.bandwidth_share is None else f"{100 * r.bandwidth_share:.0f} %"
        cells = (
            f"**{r.ratio:.1f}x**", _number(r.wall_ratio, "x"), r.name, r.peer, str(r.threads),
            _cpu(r.ours_cpu_s, r.ours_system_s), _cpu(r.peer_cpu_s, r.peer_system_s), _error(r),
            f"{r.tolerance:g}", share, r.goal, _mark(r.reached),
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    if alone:
        lines += ["", "| work | threads | CPU-s (of it system) | wall s | goal | reached | more |", "|" + " --- |" * 7]
        for r in alone:
            more = {**({} if r.peak_mib is None else {"peak MiB": round(r.peak_mib)}), **_rounded(r.details)}
            text = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in more.items())
            lines.append(
                f"| {r.name} | {r.threads} | {_cpu(r.ours_cpu_s, r.ours_system_s)} | {_number(r.ours_wall_s)} | "
                f"{r.goal} | {_mark(r.reached)} | {text} |"
            )
    shape = "x".join(map(str, raced[0].shape)) if raced else ""
    title = f"{platform.machine()}, Python {platform.python_version()}" + (f", {shape} float32" if shape else "")
    return f"Medians of runs in turns, one process; {title}.\n\n" + "\n".join(lines) + "\n"


def draw(records: Sequence[Record], path: Path) -> bool:
    """Bars of the ratios on a logarithmic axis; False where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    raced = [r for r in records if r.ratio is not None][::-1]
    if not raced:
        return False
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.42 * len(raced)), layout="constrained")
    axes.barh(
        range(len(raced)),
        [r.ratio or 0 for r in raced],
        color=["#4477aa" if r.threads == 1 else "#88bbdd" for r in raced],
    )
    labels = [f"{r.name}, {r.threads} thread{'s' if r.threads > 1 else ''}\n{r.peer}" for r in raced]
    axes.set_yticks(range(len(raced)), labels, fontsize=7)
    for n, r in enumerate(raced):
        axes.text(r.ratio or 0, n, f" {r.ratio:.1f}x", va="center", fontsize=8)
    goals = [(float(r.goal.strip(">= x")), n) for n, r in enumerate(raced) if r.goal.startswith(">=")]
    if goals:
        x, y = zip(*goals, strict=True)
        axes.scatter(x, y, marker="|", s=420, linewidths=2, color="#cc3311", label="goal", zorder=3)
        axes.legend(loc="lower right", frameon=False)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(0.8, 2.2 * max(r.ratio or 1 for r in raced))
    axes.set_xlabel("CPU-seconds of the peer over ours (the same work, the same answer)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return True


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.3g}{unit}"


def _error(record: Record) -> str:
    """How far the two answers differ and, where a reference is known, how far each is off it."""
    text = f"{record.max_error:.2g} {record.unit}"
    off = [record.details.get(f"{who}_mean_mm") for who in ("ours", "peer")]
    return text if None in off else f"{text}; off on average: ours {off[0]:.2g} mm, peer {off[1]:.2g} mm"


def _cpu(seconds: float | None, system: float | None) -> str:
    return _number(seconds) + ("" if system is None else f" ({system:.2f})")


def _mark(reached: bool | None) -> str:
    return "" if reached is None else ("yes" if reached else "no")


def _rounded(details: dict[str, object]) -> dict[str, object]:
    return {
        key: f"{value:.3g}" if isinstance(value, float) else _rounded(value) if isinstance(value, dict) else value
        for key, value in details.items()
    }
