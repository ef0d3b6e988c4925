"""Volumes of structures before and after a translation, as plain data: rows, and the words for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from SITTranslateLib.errors import InputError

#: Columns of ``structures.csv``, and keys of a row in JSON.
COLUMNS = ("structure", "side", "before_ml", "after_ml", "change_percent", "norm_low_percent", "norm_high_percent",
           "norm_source")  # fmt: skip
#: Names of the regions of :mod:`SITTranslateLib.systems.prescribed.regions`, for what must not load torch, and which
#: of them have two sides; a test compares.
REGION_NAMES = (
    "lateral ventricle", "third ventricle", "fourth ventricle", "hippocampus", "amygdala", "thalamus", "caudate",
    "putamen", "pallidum", "accumbens", "ventral diencephalon", "cortex", "white matter", "cerebellum", "brain stem",
)  # fmt: skip
SIDED = frozenset(REGION_NAMES) - {"third ventricle", "fourth ventricle", "brain stem"}
#: Said with every table, by what the structures were found with.
PARCELLATION = (
    "Measured by the library's own parcellation of the source: their accuracy is that of the parcellation "
    "(docs/prescribed-change.md has its Dice by structure)."
)
LABELS = "Measured with the labels that were given."
#: The structures of one line, in this order.
HEADLINE = ("lateral ventricle", "hippocampus", "cortex", "white matter")
_PLURALS = {
    "lateral ventricle": "lateral ventricles", "hippocampus": "hippocampi", "amygdala": "amygdalae",
    "thalamus": "thalami", "caudate": "caudates", "putamen": "putamina", "pallidum": "pallida",
}  # fmt: skip


@dataclass(frozen=True)
class StructureVolume:
    """One structure, or one side of it.

    Attributes:
        name: ``hippocampus``, ``lateral ventricle``, ``whole brain`` (tissue without ventricles).
        side: ``left``, ``right``, ``both`` for their sum, empty for a structure of the midline.
        before_ml, after_ml: volume in the source, and of the same tissue after the motion, mL.
        norm_percent: smallest and largest change that the cited mean rates of healthy adults give for the same years;
            None where the years are not known or no source gives a number.
        norm_source: of these rates.
    """

    name: str
    side: str
    before_ml: float
    after_ml: float
    norm_percent: tuple[float, float] | None = None
    norm_source: str = ""

    @property
    def change_percent(self) -> float:
        """Change of the volume, per cent."""
        return 100.0 * (self.after_ml / self.before_ml - 1.0)

    @property
    def title(self) -> str:
        """``lateral ventricles``, ``left hippocampus``."""
        if self.side == "both":
            return _PLURALS.get(self.name, self.name)
        return f"{self.side} {self.name}".strip()

    def sentence(self) -> str:
        """``Lateral ventricles 17.7 to 25.8 mL (+46 %)``."""
        digits = 1 if max(self.before_ml, self.after_ml) < 100.0 else 0
        title = self.title[0].upper() + self.title[1:]
        return f"{title} {self.before_ml:.{digits}f} to {self.after_ml:.{digits}f} mL ({percent(self.change_percent)})"

    def norm_words(self) -> str:
        """``-20 to 0 %``, ``no change``; empty without a norm."""
        if self.norm_percent is None:
            return ""
        low, high = (round(value, 1) + 0.0 for value in self.norm_percent)
        if low == high:
            return percent(low) if low else "no change"
        return f"{signed(low) if low else 0} to {percent(high) if high else '0 %'}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, volumes to the microlitre."""
        low, high = self.norm_percent or (None, None)
        values = (self.name, self.side, round(self.before_ml, 3), round(self.after_ml, 3),
                  round(self.change_percent, 3), low, high, self.norm_source)  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))


@dataclass(frozen=True)
class StructureVolumes(Sequence[StructureVolume]):
    """The table of a translation: both sides together and each side of every structure that the scan shows.

    Attributes:
        rows: empty where nothing moves, or where the scan shows no brain.
        note: what they were measured with, or why there are none.
    """

    rows: tuple[StructureVolume, ...] = ()
    note: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[StructureVolume]:
        return iter(self.rows)

    def row(self, name: str, side: str | None = None) -> StructureVolume:
        """The row of a structure: both sides together, or one side.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.name == name and (row.side in ("both", "") if side is None else row.side == side):
                return row
        raise KeyError(name)

    @property
    def whole(self) -> tuple[StructureVolume, ...]:
        """One row a structure, both sides together."""
        return tuple(row for row in self.rows if row.side in ("both", ""))

    def headline(self) -> str:
        """The structures that a reader asks for first, in one line."""
        found = {row.name: row for row in self.whole}
        return "; ".join(found[name].sentence() for name in HEADLINE if name in found)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {"rows": [row.to_dict() for row in self.rows], "note": self.note}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> StructureVolumes:
        """What :meth:`to_dict` gave.

        Raises:
            InputError: it is no such table.
        """
        try:
            rows = []
            for row in record["rows"]:
                low, high = row["norm_low_percent"], row["norm_high_percent"]
                norm = None if low is None else (float(low), float(high))
                before, after = float(row["before_ml"]), float(row["after_ml"])
                if not before > 0.0 <= after:
                    raise ValueError(row)
                rows.append(
                    StructureVolume(
                        str(row["structure"]), str(row["side"]), before, after, norm, str(row["norm_source"])
                    )
                )
            return cls(tuple(rows), str(record.get("note", "")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError("The volumes of structures of this result cannot be read; translate it again.") from error

    def to_csv(self) -> str:
        """The rows as CSV text, one header line; no norm is an empty cell."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.to_dict() for row in self.rows)
        return text.getvalue()

    def to_text(self) -> str:
        """The table for a terminal: one line a structure, both sides and each side's change."""
        lines = []
        for row in self.whole:
            sides = "  ".join(f"{r.side} {percent(r.change_percent)}" for r in self.rows
                              if r.name == row.name and r.side in ("left", "right"))  # fmt: skip
            norm = f"  healthy adults {row.norm_words()}" if row.norm_percent else ""
            line = f"  {row.title:22} {row.before_ml:8.2f} to {row.after_ml:8.2f} mL  {percent(row.change_percent):>8}"
            lines.append(f"{line}  {sides}{norm}".rstrip())
        return "\n".join(lines)


def percent(value: float) -> str:
    """``+46 %``, ``-5.6 %``."""
    return f"{signed(value)} %"


def signed(value: float) -> str:
    """``+46``, ``-5.6``."""
    rounded = round(value, 1)
    return f"{rounded + 0.0:+.{0 if abs(rounded) >= 10 else 1}f}"
