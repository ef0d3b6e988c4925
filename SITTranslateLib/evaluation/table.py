"""One table for every system: rows of methods with their baselines, several seeds, intervals over subjects.

A run of one method by another seed is named ``METHOD@SEED``; documents show the mean over seeds and their standard
deviation, cards the run that is shipped. Intervals are of the mean over cases (subjects), by bootstrap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.evaluation.metrics import area_under_curve
from SITTranslateLib.translate.normalisation import from_own_units, in_own_units
from SITTranslateLib.volume import VectorField

Array = NDArray[np.float32]
#: The row that gives the source back, which every method is compared with.
IDENTITY = "identity"
#: Resamples of the bootstrap, and the interval's coverage.
RESAMPLES, COVERAGE = 2000, 0.95
CaseT = TypeVar("CaseT")
#: Group, then method, then column.
Summary = dict[str, dict[str, dict[str, float]]]


class Unit(Enum):
    """Unit of an image's values."""

    NETWORK = "network units"
    HU = "HU"
    NATIVE = "native units"


@dataclass(frozen=True, eq=False)
class Prediction:
    """Output of a method for a case.

    Attributes:
        image: ``(K, J, I)``, in ``unit``.
        segmentation: of the source, by the method itself.
        sampling, motion: its fields, mm; None where it moves nothing.
        intensity_change: in the unit of the image.
        recomposition: largest difference between the image and what its parts give.
    """

    image: Array
    unit: Unit = Unit.NETWORK
    segmentation: NDArray[np.uint8] | None = None
    sampling: VectorField | None = None
    motion: VectorField | None = None
    intensity_change: Array | None = None
    recomposition: float = 0.0

    def measured(self, target: str) -> Array:
        """The image as metrics compare it: HU of CT, network units of MR.

        Raises:
            ValueError: native units, which the case alone can convert.
        """
        unit = Unit.HU if target == "CT" else Unit.NETWORK
        if self.unit is unit:
            return self.image
        if self.unit is Unit.NETWORK:
            return in_own_units(self.image, target)
        raise ValueError(f"an image in {self.unit.value} cannot be compared in {unit.value}")

    def in_network_units(self, target: str) -> Array:
        """The image in network units of the target."""
        if self.unit is Unit.NATIVE:
            raise ValueError("an image in native units is not in network units")
        return from_own_units(self.image, target) if self.unit is Unit.HU else self.image


@dataclass(frozen=True)
class Column:
    """A figure of a table.

    Attributes:
        title: as documents show it.
        digits: after the point; None for three significant ones.
        reduce: over cases: ``mean``, ``sum``, ``min``, ``max``, or ``area`` under the ROC curve against the table's
            reference.
    """

    title: str
    digits: int | None = None
    reduce: str = "mean"

    def text(self, value: float) -> str:
        """A value as documents show it."""
        if self.digits is not None:
            return f"{value:.{self.digits}f}"
        if self.reduce == "max":
            return f"{value:.1g}" if value else "0"
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"


@dataclass(frozen=True)
class Row:
    """One method on one case."""

    method: str
    group: str
    case: str
    figures: dict[str, float] = field(default_factory=dict)


_Values = NDArray[np.float64]
#: Of a method's values and the reference's.
_REDUCE: dict[str, Callable[[_Values, _Values], float]] = {
    "mean": lambda values, _: float(np.nanmean(values)) if np.isfinite(values).any() else float("nan"),
    "sum": lambda values, _: float(np.nansum(values)),
    "min": lambda values, _: float(np.nanmin(values)),
    "max": lambda values, _: float(np.nanmax(values)),
    "area": lambda values, reference: area_under_curve(reference.tolist(), values.tolist()),
}


def measure(
    cases: Iterable[CaseT],
    methods: Mapping[str, Callable[[CaseT], Prediction]],
    figures: Callable[[CaseT, Prediction], dict[str, float]],
    named: Callable[[CaseT], tuple[str, str]] = lambda case: (case.group, case.name),  # type: ignore[attr-defined]
) -> list[Row]:
    """Every method on every case.

    Args:
        figures: the columns for one prediction.
        named: group and name of a case.
    """
    return [Row(name, *named(case), figures(case, method(case))) for case in cases for name, method in methods.items()]


@dataclass(frozen=True)
class Table:
    """The rows of one table and what its columns are.

    Attributes:
        reference: the method that columns of kind ``area`` compare the others with.
    """

    columns: Mapping[str, Column]
    rows: Sequence[Row]
    reference: str = ""

    def _values(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        gathered: dict[str, dict[str, dict[str, list[float]]]] = {}
        for row in self.rows:
            columns = gathered.setdefault(row.group, {}).setdefault(row.method, {})
            for name, value in row.figures.items():
                columns.setdefault(name, []).append(value)
        return gathered

    def summary(self) -> Summary:
        """Each column over the cases of a group and method."""
        summary: Summary = {}
        for group, methods in self._values().items():
            reference = methods.get(self.reference, {})
            for method, columns in methods.items():
                figures = summary.setdefault(group, {}).setdefault(method, {})
                for name, values in columns.items():
                    kind = self.columns[name].reduce
                    if kind != "area" or (name in reference and method != self.reference):
                        figures[name] = _REDUCE[kind](np.array(values), np.array(reference.get(name, [])))
        return summary

    def intervals(self) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
        """Ends of the interval of each mean over cases, seeds of a method averaged first; where two cases are known."""
        by_case: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {}
        for row in self.rows:
            method = by_case.setdefault(row.group, {}).setdefault(row.method.partition("@")[0], {})
            for name, value in row.figures.items():
                if self.columns[name].reduce == "mean" and np.isfinite(value):
                    method.setdefault(name, {}).setdefault(row.case, []).append(value)
        return {
            group: {
                method: {
                    name: interval([float(np.mean(seeds)) for seeds in cases.values()])
                    for name, cases in columns.items()
                    if len(cases) > 1
                }
                for method, columns in methods.items()
            }
            for group, methods in by_case.items()
        }

    def markdown(self, titles: Mapping[str, str] | None = None) -> str:
        """The table as documents show it: a section a group, a column if any row of it has one.

        A cell is the mean over cases, of several seeds with their standard deviation (±), and the interval of the mean
        over cases in brackets where there are several cases.

        Args:
            titles: of groups that are not shown by their name.
        """
        lines = []
        intervals = self.intervals()
        for group, methods in self.summary().items():
            columns = [c for c in self.columns if any(c in figures for figures in methods.values())]
            titled = " | ".join(self.columns[c].title for c in columns)
            lines += [f"### {(titles or {}).get(group, group)}", "", f"| method | {titled} |"]
            lines.append("|---" * (len(columns) + 1) + "|")
            for name, runs in _by_method(methods).items():
                ends = intervals[group][name]
                cells = (self._cell(c, [run[c] for run in runs if c in run], ends.get(c)) for c in columns)
                label = f"{name} ({len(runs)} seeds)" if len(runs) > 1 else name
                lines.append(f"| {label} | {' | '.join(cells)} |")
            lines.append("")
        return "\n".join(lines)

    def _cell(self, column: str, values: list[float], ends: tuple[float, float] | None) -> str:
        if not values:
            return ""
        text = self.columns[column].text
        spread = f" ± {text(float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
        interval = f" ({text(ends[0])} to {text(ends[1])})" if ends is not None and ends[0] < ends[1] else ""
        return text(float(np.mean(values))) + spread + interval

    def write(self, folder: Path, name: str, titles: Mapping[str, str] | None = None, **records: Any) -> Summary:
        """Write ``NAME.md`` and ``NAME.json`` (summary, intervals, rows, further records) and return the summary.

        What is not finite is null in JSON, which has no NaN.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.markdown(titles), encoding="utf-8")
        summary = self.summary()
        records |= {"summary": summary, "intervals": self.intervals(), "rows": [vars(row) for row in self.rows]}
        write_json(folder / f"{name}.json", records)
        return summary

    def card_figures(
        self,
        method: str,
        columns: Mapping[str, tuple[str, str]],
        titles: Mapping[str, str] | None = None,
        real: str = "one person",
    ) -> list[dict[str, Any]]:
        """Figures of one method for a model card, each beside the identity's.

        Args:
            columns: name and unit on the card of each column that it shows.
            real: note of groups of real scans, whose names say so.
        """
        return [
            {
                "name": f"{title}, {(titles or {}).get(group, group)}",
                "value": round(methods[method][name], 3),
                "unit": unit,
                "baseline": round(methods[IDENTITY][name], 3) if name in methods.get(IDENTITY, {}) else None,
                "note": real if "real" in group else "held-out simulated scans",
            }
            for group, methods in self.summary().items()
            if method in methods
            for name, (title, unit) in columns.items()
            if name in methods[method]
        ]


def write_json(file: Path, records: Any) -> None:
    """Write plain types as JSON that every reader takes: null for numbers that are not finite."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    file.write_text(json.dumps(plain(records), indent=1, allow_nan=False), encoding="utf-8")


def _by_method(methods: Mapping[str, Mapping[str, float]]) -> dict[str, list[Mapping[str, float]]]:
    """The runs of each method, whatever their seeds."""
    runs: dict[str, list[Mapping[str, float]]] = {}
    for name, figures in methods.items():
        runs.setdefault(name.partition("@")[0], []).append(figures)
    return runs


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Ends of the percentile bootstrap interval of a mean."""
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).choice(sample, (RESAMPLES, len(sample)))
    low, high = np.quantile(drawn.mean(axis=1), ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return float(low), float(high)
