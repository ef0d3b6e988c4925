"""Table of prescribed lesions."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.table import Row
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.recipes import table_of
from SITTranslateLib.training.recipes.prescribed import lesion_table
from SITTranslateLib.volume import Volume


def test_a_refused_scan_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("p_T1w", "p_T2w", "p_lesions"):
        image = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
        nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / f"{name}.nii.gz")  # type: ignore[attr-defined, no-untyped-call]

    def measured(name: str, scan: Volume, mask: np.ndarray | None) -> Row:
        assert mask is not None and mask.shape == scan.shape
        if name == "p_T2w":
            raise InputError("White and grey matter are alike.")
        return Row(name, "real scans", name, {"found": 1.0, "mask": float(np.count_nonzero(mask))})

    monkeypatch.setattr(lesion_table, "measured", measured)
    table_of("lesions")(EvaluationRequest("lesions", tmp_path / "out", scans=tmp_path))
    assert "| p_T1w | 1.0 | 63.0 |" in (tmp_path / "out" / "lesions.md").read_text(encoding="utf-8")
    records = json.loads((tmp_path / "out" / "lesions.json").read_text(encoding="utf-8"))
    assert records["refused"] == ["p_T2w: White and grey matter are alike."]
    with pytest.raises(InputError, match="nothing to evaluate"):
        table_of("lesions")(EvaluationRequest("lesions", tmp_path / "out", scans=tmp_path / "none"))
