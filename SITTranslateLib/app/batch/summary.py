"""Summary of a batch: a table (CSV) and a report (HTML, Markdown), the failures first."""

from __future__ import annotations

import csv
import html
import io
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from SITTranslateLib.app.batch.job import Record
from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import csv_cell, markdown_cell, printable

COLUMNS = tuple(field.name for field in fields(Record) if field.name != "volumes_ml")
#: Columns of the report: heading, field of a record.
SHOWN = (
    ("scan", "source"),
    ("frame", "frame"),
    ("status", "status"),
    ("reason, verdict", "reason"),
    ("field", "field_origin"),
    ("recomposition, % of range", "recomposition_percent"),
    ("folded voxels", "folded_voxels"),
    ("largest motion, mm", "largest_motion_mm"),
    ("mean change, native units", "mean_change"),
    ("structures", "structures"),
    ("seconds", "seconds"),
)
_ORDER = ("failed", "not run", "done", "already done")
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}.mark{background:#ffe9a8;padding:.2rem .6rem;border-radius:4px;font-weight:600}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;width:100%}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #d5d9df;vertical-align:top}
th{background:#f2f4f7}td.n{text-align:right;font-variant-numeric:tabular-nums}
tr.failed td,tr.not-run td{background:#fdecea}td.path{overflow-wrap:anywhere;min-width:9rem}"""


@dataclass(frozen=True)
class Summary:
    """All records of a batch, with what was asked."""

    model: str
    asked: str
    records: tuple[Record, ...]

    @property
    def unfinished(self) -> int:
        return sum(record.status in ("failed", "not run") for record in self.records)

    def counts(self) -> str:
        """How many of each: ``3 done, 1 failed``."""
        found = Counter(record.status for record in self.records)
        return ", ".join(f"{found[status]} {status}" for status in _ORDER if found[status]) or "nothing to do"

    def in_order(self) -> list[Record]:
        return sorted(self.records, key=lambda r: (_ORDER.index(r.status), r.source, r.frame or 0))

    def to_csv(self) -> str:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        records = sorted(self.records, key=lambda r: (r.source, r.frame or 0))
        names = list(dict.fromkeys(name for record in records for name in record.volumes_ml))
        measures = ("before_ml", "after_ml", "change_percent")
        writer.writerow([*COLUMNS, *(f"{name.replace(' ', '_')}_{m}" for name in names for m in measures)])
        for record in records:
            row = [csv_cell(getattr(record, column)) for column in COLUMNS]
            for name in names:
                before, after = record.volumes_ml.get(name, (None, None))
                change = None if before is None or after is None else round(100.0 * (after / before - 1.0), 3)
                row += [csv_cell(value) for value in (before, after, change)]
            writer.writerow(row)
        return stream.getvalue()

    def to_markdown(self) -> str:
        rows = [[markdown_cell(_text(r, field)) for _, field in SHOWN] for r in self.in_order()]
        table = [
            "| " + " | ".join(heading for heading, _ in SHOWN) + " |",
            "|" + "---|" * len(SHOWN),
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
        title = markdown_cell(f"{self.model}: {self.asked}")
        head = [f"# {title}", "", f"{self.counts()}. Synthetic images, for research only.", ""]
        return "\n".join([*head, *table]) + "\n"

    def to_html(self) -> str:
        title = html.escape(f"{self.model}: {self.asked}")
        rows = "\n".join(_row(record) for record in self.in_order())
        headings = "".join(f"<th scope=col>{html.escape(heading)}</th>" for heading, _ in SHOWN)
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
            '<p><span class="mark">Synthetic images, for research only</span></p>\n'
            f"<p>{html.escape(self.counts())}.</p>\n"
            f"<div class=wide tabindex=0><table><thead><tr>{headings}</tr></thead>\n"
            f"<tbody>{rows}</tbody></table></div></body></html>\n"
        )

    def write(self, folder: Path) -> None:
        """``summary.csv``, ``summary.md`` and ``summary.html`` in a folder.

        Raises:
            InputError: it cannot be written.
        """
        texts = {"csv": self.to_csv(), "md": self.to_markdown(), "html": self.to_html()}
        try:
            for ending, text in texts.items():
                part = folder / f".summary.{ending}.part"
                part.write_text(text, encoding="utf-8")
                part.replace(folder / f"summary.{ending}")
        except OSError as error:
            raise InputError(f"The summary cannot be written to '{folder.name}': read-only or full.") from error


def _text(record: Record, field: str) -> str:
    value: Any = getattr(record, field)
    if field == "reason":
        value = " ".join(filter(None, (record.reason, record.verdict, record.warnings)))
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value), keep="\n\t")


def _row(record: Record) -> str:
    cells = []
    for _, field in SHOWN:
        number = isinstance(getattr(record, field), (int, float))
        kind = "n" if number else "path" if field in ("source", "reason") else ""
        text = html.escape(_text(record, field))
        if field == "source" and record.translated:
            # Relative, so that it holds wherever the dataset goes.
            text = f'<a href="{quote(record.translated)}">{text}</a>'
        cells.append(f'<td class="{kind}">{text}</td>')
    return f'<tr class="{record.status.replace(" ", "-")}">{"".join(cells)}</tr>'
