"""Table of prescribed lesions."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes import table_of
from SITTranslateLib.training.recipes.prescribed import lesion_table
from SITTranslateLib.training.recipes.prescribed.lesion_table import LesionRow, as_markdown
from SITTranslateLib.volume import Volume


def test_a_row_reads_as_measured() -> None:
    text = as_markdown([LesionRow("a_T1w", 1.26, 8.2, 10.0, 0.985, 0.1, 0.0, -4.9, 0.56)])
    assert "| a_T1w | 1.3 | 8.2 | 10.0 | 98 % | 0.1, 0.0 | -4.9 | 56 % |" in text
    assert "| b | 0.0 |  | 10.0 |" in as_markdown([LesionRow("b", 0.0, None, 10.0, 1.0, 0.0, 0.0, 0.0, None)])


def test_a_refused_scan_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("p_T1w", "p_T2w", "p_lesions"):
        image = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
        nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / f"{name}.nii.gz")  # type: ignore[attr-defined, no-untyped-call]

    def measured(name: str, scan: Volume, mask: np.ndarray | None) -> LesionRow:
        assert mask is not None and mask.shape == scan.shape
        if name == "p_T2w":
            raise InputError("White and grey matter are alike.")
        return LesionRow(name, 1.0, float(np.count_nonzero(mask)), 10.0, 1.0, 0.0, 0.0, -1.0, 1.0)

    monkeypatch.setattr(lesion_table, "measured", measured)
    table_of("lesions")(EvaluationRequest("lesions", tmp_path / "out", scans=tmp_path))
    text = (tmp_path / "out" / "lesions.md").read_text(encoding="utf-8")
    assert "| p_T1w | 1.0 | 63.0 |" in text and "p_T2w: White and grey matter are alike." in text
    with pytest.raises(InputError, match="nothing to evaluate"):
        table_of("lesions")(EvaluationRequest("lesions", tmp_path / "out", scans=tmp_path / "none"))
