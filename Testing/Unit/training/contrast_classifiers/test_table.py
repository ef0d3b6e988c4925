"""The table of the gate: areas by hand, files by their names, and nothing that is no head passes unsaid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, tiny_card, write_tiny_package

from SITTranslateLib.app.main import run
from SITTranslateLib.evaluation.metrics import area_under_curve
from SITTranslateLib.files import write_volume
from SITTranslateLib.training.recipes.contrast_classifiers import table as gate


def seen(kind: str, score: float, good: bool | None, verdict: str = "pass") -> gate.Checked:
    return gate.Checked("scan", kind, good, dict.fromkeys(gate.SCORES, score), verdict, ("modality",))


def test_the_area_is_how_often_good_beats_wrong() -> None:
    assert area_under_curve([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert area_under_curve([0.1], [0.9]) == 0.0
    assert area_under_curve([0.5], [0.5]) == 0.5
    assert area_under_curve([0.9, 0.3], [0.5, 0.1]) == 0.75


def test_the_curve_goes_from_nobody_to_everybody_and_holds_the_area() -> None:
    rng = np.random.default_rng(0)
    good, wrong = rng.normal(1, 1, 60).tolist(), rng.normal(0, 1, 80).tolist()
    lost, caught = gate.curve(good, wrong)
    assert (lost[0], caught[0], lost[-1], caught[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (np.diff(lost) >= 0).all() and (np.diff(caught) >= 0).all()
    assert float(np.trapezoid(caught, lost)) == pytest.approx(area_under_curve(good, wrong), abs=0.01)


def test_the_table_counts_verdicts_beside_areas() -> None:
    rows = [seen("T1w", 0.9, True), seen("T1w", 0.4, True, "warn"), seen("T1wGd", 0.6, None)]
    rows += [seen("T2w", 0.1, False, "refuse"), seen("CT", 0.5, False, "warn")]
    table = gate.table_of({"Real": rows})
    entries = table.summary()["Real"]
    assert list(entries) == ["T1w", "T2w", "CT", "T1wGd", "all that is wrong"]
    assert "both" not in entries["T1w"] and (entries["T1w"]["pass"], entries["T1w"]["warn"]) == (1, 1)
    assert entries["CT"]["both"] == 0.5 and entries["T2w"]["refuse"] == 1
    assert entries["all that is wrong"]["scans"] == 2 and entries["all that is wrong"]["both"] == 0.75
    assert "| all that is wrong | 2 | 0.750 | 0.750 | 0.750 | 0 | 1 | 1 | 2 |" in table.markdown()


def test_verdicts_are_counted_by_source(tmp_path: Path) -> None:
    def scan(kind: str, source: str, **alone: str) -> gate.Checked:
        return gate.Checked("scan", kind, True, {}, "pass", (), source, alone)

    rows = [scan("T1w", "one", T1w="pass", T2w="refuse", FLAIR="warn"), scan("T1w", "one", T1w="warn", T2w="refuse")]
    lines = gate.by_source([*rows, scan("CT", "two", T1w="refuse", T2w="refuse")]).splitlines()
    assert lines[2:] == [
        "| one | T1w | 2 | 1 | 1 | 0 | 0 | 1 | 2 |",
        "| two | CT | 1 | 0 | 0 | 0 | 0 | 0 | 2 |",
        "| **all** |  | 3 | 1 | 1 | 0 | 0 | 1 | 4 |",
    ]
    places = ("templates/MNI_T1w.nii.gz", "ms/raw/a_T1w.nii.gz", "b_T1w.nii.gz")
    named = [gate.source_of_file(tmp_path / place, tmp_path) for place in places]
    assert named == ["MNI_T1w", "ms/raw", tmp_path.name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sub-01_T1w.nii.gz", "T1w"), ("patient26_T1w_gd.nii.gz", "T1wGd"), ("SPM_avg152_PDw_2mm.nii.gz", "PD"),
        ("case0009_adc.nii.gz", "ADC"), ("CT_scct_brain_1mm_HU.nii.gz", "CT"), ("1000_labels.nii.gz", None),
        ("patient01_study1_FLAIR.nii.gz", "FLAIR"), ("mne_ecog_aseg.nii.gz", None), ("TCGA_tumour_auto.nii.gz", None),
    ],
)  # fmt: skip
def test_files_say_what_they_are(name: str, kind: str | None) -> None:
    assert gate.kind_of_file(name) == kind


def test_what_is_no_head_does_not_pass_unsaid() -> None:
    for volume, kind in gate.strange_things():
        found = gate.check(volume, kind, tiny_card())
        assert found.verdict != "pass", (kind, found)


def test_the_command_writes_table_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    scan = head(spacing=(4.0, 4.0, 4.0))
    write_volume(scan, scans / "a_T1w.nii.gz")
    dark = np.where(scan.array > 0, np.clip(1250 - scan.array, 0, None) ** 2 / 600, 0).astype(np.float32)
    write_volume(scan.with_array(dark), scans / "a_T2w.nii.gz")
    package = write_tiny_package(tmp_path / "models" / "tiny", further_sources=())
    monkeypatch.setattr(gate, "strange_things", lambda: iter([(scan, "ball")]))
    command = [
        "evaluate",
        "gate",
        "--scans",
        str(scans),
        "--out",
        str(tmp_path / "out"),
        "--model",
        str(package.folder),
    ]
    assert run(command) == 0
    written = json.loads((tmp_path / "out" / "gate.json").read_text(encoding="utf-8"))
    assert {kind: figures["refuse"] for kind, figures in written["summary"]["Real"].items()} == {"T1w": 0, "T2w": 1}
    assert [scan["verdict"] for scan in written["scans"]["Real"]][1] == "refuse"
    assert "| scans | T1w | 1 | 0 | 1 | 0 |" in (tmp_path / "out" / "gate-by-source.md").read_text(encoding="utf-8")
    assert "| T2w | 1 | 1.000 |" in capsys.readouterr().out
    assert (tmp_path / "out" / "gate_roc.png").stat().st_size > 10_000


def test_nothing_to_evaluate_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "gate", "--out", str(tmp_path / "out")]) == 2
    assert "nothing to evaluate" in capsys.readouterr().err
