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

from SITTranslateLib import report
from SITTranslateLib.app.batch.job import Record, picture_of
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
#: The style of the reports, whose narrow form begins earlier for so many columns, and what is only here.
_STYLE = (
    Path(report.__file__).with_name("style.css").read_text(encoding="utf-8").replace("720px", "1000px")
    + """
main{max-width:1400px} .counts{display:flex;flex-wrap:wrap;gap:10px;list-style:none;padding:0;margin:14px 0}
.counts li{background:var(--card);border-radius:6px;padding:8px 14px} a{color:inherit}
td img{display:block;width:270px;height:auto;border-radius:4px;background:#000} td.n{font-variant-numeric:tabular-nums}
td.path{text-align:left;min-width:9rem} td.path span{overflow-wrap:anywhere}
tr.failed td,tr.not-run td{color:var(--bad)}
@media (max-width:1000px){td.empty{display:none} td.picture::before{content:none} td img{width:100%;max-width:540px}
 td.path{min-width:0;text-align:right}}
@media print{td img{width:150px}}"""
)


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

    def to_html(self, folder: Path | None = None) -> str:
        """The report; with the pictures that lie in the folder which it is written to."""
        title = html.escape(f"{self.model}: {self.asked}")
        records = [
            (r, picture_of(r.id) if folder and (folder / picture_of(r.id)).is_file() else "") for r in self.in_order()
        ]
        pictures = any(picture for _, picture in records)
        rows = "\n".join(_row(record, picture if pictures else None) for record, picture in records)
        names = [*(["before, after, intensity change"] if pictures else []), *(heading for heading, _ in SHOWN)]
        headings = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in names)
        counts = "".join(f"<li>{html.escape(count)}</li>" for count in self.counts().split(", "))
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{_STYLE}</style></head>\n<body><main><h1>{title}</h1>\n"
            '<p><span class="mark">Synthetic images, for research only</span></p>\n'
            f'<ul class="counts" aria-label="How many scans">{counts}</ul>\n'
            '<p>The same as a table for programs: <a href="summary.csv">summary.csv</a>.</p>\n'
            f'<div class="wide" tabindex="0" role="region" aria-label="Every scan"><table><thead><tr>{headings}</tr>'
            f"</thead>\n<tbody>{rows}</tbody></table></div></main></body></html>\n"
        )

    def write(self, folder: Path) -> None:
        """``summary.csv``, ``summary.md`` and ``summary.html`` in a folder.

        Raises:
            InputError: it cannot be written.
        """
        texts = {"csv": self.to_csv(), "md": self.to_markdown(), "html": self.to_html(folder)}
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


def _row(record: Record, picture: str | None) -> str:
    """A line of the table; ``picture`` is None where no line has one, empty where this one has none."""
    cells = []
    if picture is not None:
        alt = html.escape(f"{record.id}: before, after and intensity change in the middle slice", quote=True)
        image = f'<img loading="lazy" src="{quote(picture)}" alt="{alt}">' if picture else ""
        cells.append(f'<td class="picture">{image}</td>')
    for heading, field in SHOWN:
        number = isinstance(getattr(record, field), (int, float))
        kind = "name path" if field == "source" else "n" if number else "path" if field == "reason" else ""
        text = html.escape(_text(record, field))
        if field == "source" and record.translated:
            # Relative, so that it holds wherever the dataset goes.
            text = f'<a href="{quote(record.translated)}">{text}</a>'
        if text or field == "source":
            cells.append(f'<td class="{kind}" data-label="{html.escape(heading)}"><span>{text}</span></td>')
        else:
            cells.append('<td class="empty"></td>')
    return f'<tr class="{record.status.replace(" ", "-")}">{"".join(cells)}</tr>'
