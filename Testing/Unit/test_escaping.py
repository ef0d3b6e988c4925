"""Names that others chose stay text in every format: terminal, CSV, Markdown."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import pytest

from SITTranslateLib.app.batch.job import Record
from SITTranslateLib.app.batch.summary import Summary
from SITTranslateLib.errors import InputError
from SITTranslateLib.escaping import csv_cell, markdown_cell, printable
from SITTranslateLib.traceability.landmarks import write_pairs_csv
from SITTranslateLib.traceability.points import TracedPoint
from SITTranslateLib.traceability.table import SegmentRow, SegmentTable

LIBRARY = Path(__file__).resolve().parents[2] / "SITTranslateLib"
FORMULAS = [
    "=cmd|'/c calc'!A0", "+1+cmd", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "  =1+1", "\uff1dcmd", "\u207acmd"
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_to_a_spreadsheet(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["\t=cmd", "\r=cmd", "\n=cmd", "\x00=cmd"])
def test_what_is_before_a_formula_does_not_hide_it(text: str) -> None:
    assert csv_cell(text) == "?=cmd"


@pytest.mark.parametrize(
    ("value", "cell"),
    [(-5, -5), (-0.25, -0.25), (0, 0), (True, True), (None, ""), ("-5", "-5"), ("+1.5e3", "+1.5e3"), ("a-b", "a-b"),
     ("", ""), ("sub-01_T1w", "sub-01_T1w"), ("Hippocampus, left", "Hippocampus, left")],
)  # fmt: skip
def test_numbers_and_names_are_as_they_were(value: object, cell: object) -> None:
    assert csv_cell(value) == cell and type(csv_cell(value)) is type(cell)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", r"a\|b"),
        ("a\nb\r\n# c", "a b # c"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("`code` *b* ~s~ !", r"\`code\` \*b\* \~s\~ !"),
        ("sub-01_T1w", "sub-01_T1w"),
        ("_it_ a_b", r"\_it\_ a_b"),
        ("tail\\", "tail\\\\"),
        ("a\u2028b\u202ec\x1b[31m", "a b?c?\\[31m"),
    ],
)
def test_markdown_is_one_line_without_markup(text: str, cell: str) -> None:
    assert markdown_cell(text) == cell


def test_the_terminal_gets_no_control_characters() -> None:
    assert printable("a\x1b]0;x\x07b\u202ec\x9b\x7f\ud800é") == "a?]0;x?b?c???é"
    assert printable("a\nb\tc", keep="\n\t") == "a\nb\tc"
    assert str(InputError("a\nb")) == "a?b"


def test_every_command_speaks_through_one_function() -> None:
    """``say`` is the boundary; a ``typer.echo`` or ``print`` beside it would pass names as they are."""
    for path in sorted((LIBRARY / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "click.echo", "typer.secho"), f"{path.name}:{node.lineno}"
                assert called != "typer.echo" or path.name == "terminal.py", f"{path.name}:{node.lineno}"


def test_the_tables_of_a_batch_hold_no_code() -> None:
    evil = "=cmd|x!A0\n<b>/_scan.nii"
    record = Record("id", evil, None, "done", reason="@SUM(1)|<script>", mean_change=-1.5, seconds=2.0)
    summary = Summary("tiny", "age +10", (record,))
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert len(rows) == 1 and rows[0]["source"] == "'=cmd|x!A0?<b>/_scan.nii"
    assert rows[0]["reason"] == "'@SUM(1)|<script>" and rows[0]["mean_change"] == "-1.5"
    lines = summary.to_markdown().splitlines()
    assert len(lines) == 7 and "<" not in lines[-1] and r"\|x!A0 &lt;b&gt;" in lines[-1] and "| -1.5 |" in lines[-1]
    assert "<script>" not in summary.to_html() and "<b>" not in summary.to_html()


def test_the_table_of_segments_and_points_hold_no_code(tmp_path: Path) -> None:
    row = SegmentRow(1, "=HYPERLINK(1)", 5, change_percent=-3.25, reason="+x")
    table = SegmentTable("s", "t", "model", None, (row,), {})
    cells = next(csv.DictReader(io.StringIO(table.to_csv())))
    assert (cells["name"], cells["reason"], cells["change_percent"]) == ("'=HYPERLINK(1)", "'+x", "-3.25")
    assert cells["volume_before_mm3"] == ""
    point = TracedPoint("=1+1", (-1.0, 2.0, 3.0), (1.0, 2.0, 3.0), 2.0, 0.1, 1.0, True, "")
    write_pairs_csv(tmp_path / "p.csv", [point])
    cells = next(csv.DictReader((tmp_path / "p.csv").open(encoding="utf-8")))
    assert (cells["label"], cells["source_r_mm"], cells["reason"]) == ("'=1+1", "-1.0", "")
