"""Kinds of scans told apart: what the two opinions look at, how they are weighed, and what the gate makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, one_sentence, tiny_card

from SITTranslateLib.files import read_volume
from SITTranslateLib.simulation.clinical import KINDS, ClinicalHead, clinical_head, clinical_scan
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.translate import contrast, contrast_picture, suitability
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.suitability import Severity, check_suitability
from SITTranslateLib.volume import Volume


@pytest.fixture(scope="module")
def person() -> ClinicalHead:
    return clinical_head(procedural_head(0, spacing=2.0), np.random.default_rng(0))


def findings(volume: Volume, **card: object) -> dict[str, Severity]:
    return {f.code: f.severity for f in check_suitability(volume, locate_head(volume), tiny_card(**card))}  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_scan(person: ClinicalHead) -> None:
    one, two, three = (clinical_scan(person, "FLAIR", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.array.tobytes() == two.array.tobytes() and np.array_equal(one.affine, two.affine)
    assert one.array.shape != three.array.shape or one.array.tobytes() != three.array.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_scans_of_every_kind_are_finite_and_have_a_head(kind: str, person: ClinicalHead) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(3):
        scan = clinical_scan(person, kind, rng)
        assert np.isfinite(scan.array).all() and np.ptp(scan.array) > 0
        assert locate_head(scan).object_ml > 400


@pytest.mark.parametrize(("kind", "least"), [("T1w", 0.5), ("T2w", 0.5), ("ADC", 0.5)])
def test_no_label_map_of_the_fit_is_needed_to_know_a_kind(kind: str, least: float, person: ClinicalHead) -> None:
    """The head is drawn by formulas, unlike anything that the classifiers have seen."""
    rng, group = np.random.default_rng(3), {"T1w": ("T1w",)}.get(kind, ("T2w", "ADC"))
    seen = [contrast.guess(locate_head(clinical_scan(person, kind, rng))) for _ in range(4)]
    shares = [sum(one.probabilities[name] for name in group) for one in seen if one is not None]
    assert len(shares) == 4 and np.median(shares) > least


def test_neither_units_nor_side_matter_to_the_picture(person: ClinicalHead) -> None:
    scan = clinical_scan(person, "T2w", np.random.default_rng(5), strip=False)
    view = contrast_picture.view(locate_head(scan))
    other = contrast_picture.view(locate_head(scan.with_array(scan.array * np.float32(7.5))))
    assert view is not None and other is not None
    assert float(np.abs(view - other).max()) <= 2 / 255
    mirrored = contrast_picture.descriptors(np.ascontiguousarray(view[:, :, ::-1]))
    np.testing.assert_allclose(contrast_picture.descriptors(view), mirrored, atol=2e-3)


def test_ranks_forget_a_transfer_curve() -> None:
    scan = head(spacing=(3.0, 3.0, 3.0))
    curved = scan.with_array(np.sqrt(np.maximum(scan.array, 0.0)))
    one, two = (contrast_picture.view(locate_head(volume)) for volume in (scan, curved))
    assert one is not None and two is not None
    # Read between voxels after the curve, not before: not to the last step, but nearly.
    assert float(np.abs(one - two).mean()) < 0.02


def test_too_little_brain_has_no_opinion() -> None:
    scan = head(spacing=(3.0, 3.0, 3.0))
    empty = locate_head(scan.with_array(np.where(np.arange(scan.array.size).reshape(scan.shape) == 9000, 1.0, 0.0)))
    assert contrast_picture.opinion(empty) is None and contrast.guess(empty) is None


def test_both_opinions_are_weighed() -> None:
    one, two = {"T1w": 0.8, "T2w": 0.2}, {"T1w": 0.3, "T2w": 0.7}
    both = contrast.combined(one, two)
    assert both is not None and sum(both.values()) == pytest.approx(1.0)
    assert 0.3 < both["T1w"] < 0.8
    assert contrast.combined(None, two) == two and contrast.combined(one, None) == one
    assert contrast.combined(None, None) is None


def test_the_files_hold_numbers_alone_and_say_where_they_come_from() -> None:
    for file in (contrast.MODEL_FILE, contrast_picture.NETWORK_FILE):
        raw = json.loads(file.read_text(encoding="utf-8"))
        assert "simulated" in raw["about"] and "no real scan" in raw["about"]
        assert tuple(raw["model"]["classes"]) == KINDS
        for name, part in raw["model"].items():
            if name != "classes":
                assert np.isfinite(np.array(part, dtype=np.float64)).all()
        assert file.stat().st_size < 300_000
    limits = contrast.thresholds()
    assert 0 < limits.refused_below < limits.warned_below < 0.5 and 0 < limits.doubted_below < limits.agreed_below < 0.5


def test_the_gate_brings_nothing_heavy() -> None:
    code = (
        "import sys, SITTranslateLib.translate.suitability\n"
        "print(sorted({'torch', 'scipy', 'monai', 'matplotlib', 'sklearn', 'numba'} & set(sys.modules)))"
    )
    repository = str(Path(__file__).parents[3])
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert answer.stdout.strip() == "[]"


def test_kinds_that_look_alike_are_named_together() -> None:
    for kind, names in (("ADC", "T2w or ADC"), ("DWI", "FLAIR or DWI")):
        seen = contrast.Modality(kind, 0.6, {kind: 0.6, "T1w": 0.0, "PD": 0.2})
        assert suitability._other(seen, tiny_card()) == names
    assert (
        suitability._other(contrast.Modality("DWI", 0.9, {"DWI": 0.9, "FLAIR": 0.1}), tiny_card(source="FLAIR"))
        == "DWI"
    )


def test_a_picture_of_no_known_sort_has_no_kind() -> None:
    i = np.indices((90, 90, 90), dtype=np.float32)[2]
    wedge = locate_head(Volume(10.0 * i, np.diag([2.0, 2.0, 2.0, 1.0]), "wedge"))
    assert contrast_picture.view(wedge) is not None and contrast_picture.opinion(wedge) is None
    found = contrast.guess(wedge)
    assert found is not None and not found.familiar
    assert "modality" in {f.code for f in check_suitability(wedge.coarse, wedge, tiny_card())}


def test_implausible_intensities_are_told() -> None:
    scan = head(spacing=(3.0, 3.0, 3.0))
    assert "intensities" not in findings(scan)
    cut = scan.with_array(np.minimum(scan.array, np.float32(np.percentile(scan.array[scan.array > 0], 80))))
    coarse = scan.with_array(np.float32(100.0) * np.round(scan.array / 100.0))
    centred = scan.with_array(np.where(scan.array > 0, scan.array - 700.0, -5000.0))
    for spoilt, words in ((cut, "largest value"), (coarse, "grey values"), (centred, "below zero")):
        found = [f for f in check_suitability(spoilt, locate_head(spoilt), tiny_card()) if f.code == "intensities"]
        assert [f.severity for f in found] == [Severity.WARN] * len(found) and found
        assert any(words in f.sentence for f in found) and all(one_sentence(f.sentence) for f in found)


REAL = {
    "never refused": [
        "ms_cross/patient26_T1w.nii.gz", "ms_long/patient01_study1_T1W.nii.gz", "ms_long/patient01_study2_T1W.nii.gz",
        "glioma/TCGA-DU-7294_T1w.nii.gz", "oasis30/1125_T1w.nii.gz", "templates/SPM_avg152_T1w_2mm.nii.gz",
    ],
    "never passed": [
        "glioma/TCGA-DU-7294_FLAIR.nii.gz", "ms_cross/patient26_FLAIR.nii.gz", "templates/FLAIR_GG366_2mm.nii.gz",
        "ms_long/patient01_study1_FLAIR.nii.gz", "stroke_isles/case0009_flair.nii.gz",
        "stroke_isles/case0009_dwi.nii.gz", "templates/SPM_avg152_PDw_2mm.nii.gz", "ms_cross/patient26_T2w.nii.gz",
        "templates/CT_scct_head_2mm_cormack.nii.gz",
    ],
}  # fmt: skip


@pytest.mark.parametrize("scan", REAL["never refused"])
def test_a_real_T1w_is_not_refused(scan: str, real_data: Path) -> None:
    assert Severity.REFUSE not in findings(read_volume(real_data / scan)).values()


@pytest.mark.parametrize("scan", REAL["never passed"])
def test_a_real_scan_of_another_kind_does_not_pass_unsaid(scan: str, real_data: Path) -> None:
    assert "modality" in findings(read_volume(real_data / scan))
