"""The gate lets through what a model is for, and says why it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_model import head, one_sentence, tiny_card, write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_labels, read_volume
from SITTranslateLib.packages import NetworkGrid
from SITTranslateLib.translate.contrast import guess
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.suitability import Severity, check_suitability
from SITTranslateLib.volume import Grid, Volume


def refusals(volume: Volume, **card: object) -> list[str]:
    return [f.code for f in check_suitability(volume, locate_head(volume), tiny_card(**card)) if f.refuses]  # type: ignore[arg-type]


def as_ct(volume: Volume, offset: float = 0.0) -> Volume:
    """The head in HU inside a skull of bone in air."""
    k, j, i = np.indices(volume.shape)
    where = volume.grid.to_world(np.stack((i, j, k), axis=-1)) - (5.0, -12.0, 8.0)
    radius = np.sqrt(((where / (76, 92, 76)) ** 2).sum(axis=-1))
    noise = np.random.default_rng(1).normal(0, 4, volume.shape)
    brain = np.where(volume.array > 400, 33.0, 12.0) + noise
    values = np.where(volume.array > 0, brain, np.where(radius < 1.0, 1200.0, np.where(radius < 1.08, -60.0, -1000.0)))
    return Volume((values + offset).astype(np.float32), volume.affine, "ct")


def test_a_T1w_head_is_let_through() -> None:
    assert refusals(head()) == []


@pytest.mark.parametrize("offset", [0.0, 1024.0])
def test_CT_is_refused_by_an_MR_model_and_taken_by_a_CT_model_in_HU(offset: float) -> None:
    ct = as_ct(head(size_mm=(220.0, 240.0, 220.0)), offset)
    seen = guess(locate_head(ct))
    assert seen is not None and (seen.name, seen.offset_hu) == ("CT", offset)
    assert refusals(ct) == ["modality"]
    assert refusals(ct, source="CT") == ([] if offset == 0 else ["units"])
    assert refusals(head(), source="CT") == ["modality"]


def test_T2w_is_refused() -> None:
    scan = head()
    inverted = scan.with_array(np.where(scan.array > 0, np.clip(1250 - scan.array, 0, None) ** 2 / 600, 0))
    assert refusals(inverted) == ["modality"]


def test_no_two_findings_speak_of_one_thing_and_a_named_contrast_ends_the_doubt() -> None:
    """Two sentences on one thing could contradict each other; implausible values are several things."""
    whole = head()
    inverted = whole.with_array(np.where(whole.array > 0, np.clip(1250 - whole.array, 0, None) ** 2 / 600, 0))
    slab = Volume(whole.array[40:56], whole.affine, "slab")
    scans = [whole, inverted, slab, head(spacing=(5.0, 5.0, 5.0)), as_ct(head(size_mm=(220.0, 240.0, 220.0)), 1024.0)]
    cards = [
        tiny_card(),
        tiny_card(source="CT"),
        tiny_card(source="FLAIR", further_sources=("T2w",)),
        tiny_card(grid=NetworkGrid(1.0, (176, 208, 176), skull="without")),
    ]
    doubts = 0
    for scan in scans:
        anatomy = locate_head(scan)
        for card in cards:
            codes = [f.code for f in check_suitability(scan, anatomy, card) if f.code != "intensities"]
            of_contrast = [code for code in codes if code in ("modality", "units")]
            assert len(of_contrast) <= 1 and len(codes) == len(set(codes)), codes
            doubts += len(of_contrast)
            named = [f.code for f in check_suitability(scan, anatomy, card, card.source)]
            if scan is not scans[-1] and card.source != "CT" and guess(anatomy) is not None:
                assert "modality" not in named
    assert doubts >= 6


def test_field_of_view_and_resolution_are_told() -> None:
    whole = head()
    slab = Volume(whole.array[40:56], whole.affine, "slab")
    assert "field of view" in refusals(slab)
    large = head(spacing=(5.0, 5.0, 5.0))
    giant = Volume(large.array, np.diag([12.0, 12.0, 12.0, 1.0]), "giant")
    assert {"field of view", "resolution"} <= set(refusals(giant))


def test_skull_is_a_warning() -> None:
    found = check_suitability(head(), locate_head(head()), tiny_card(grid=NetworkGrid(4.0, (48, 56, 48), skull="with")))
    assert ("skull", Severity.WARN) in {(f.code, f.severity) for f in found}


def test_refusal_is_one_sentence_and_force_is_remembered(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny", "it")
    ct = as_ct(head(spacing=(3.0, 3.0, 3.0), size_mm=(220.0, 240.0, 220.0)))
    with pytest.raises(InputError, match=r"'ct' does not suit this model: It looks like a CT.*--force") as caught:
        sit.translate(ct, package, age=5)
    assert one_sentence(str(caught.value))
    result = sit.translate(ct, package, age=5, force=True)
    assert any("looks like a CT" in sentence for sentence in result.provenance.forced)


@pytest.mark.parametrize(
    ("scan", "allowed"),
    [
        ("ms_cross/patient26_T1w.nii.gz", True),
        ("ms_cross/patient26_T2w.nii.gz", False),
        ("ms_long/patient01_study1_T1W.nii.gz", True),
        ("ms_long/native/patient01_study1_T1W_native.nii.gz", True),
        ("ms_long/patient01_study2_T2W.nii.gz", False),
        ("templates/ICBM152_09a_sym_T1w.nii.gz", True),
        ("templates/SPM_avg152_T1w_2mm.nii.gz", True),
        ("templates/SPM_avg152_T2w_2mm.nii.gz", False),
        ("templates/CT_scct_brain_1mm_HU.nii.gz", False),
        ("wholehead/mne_ecog_T1w.nii.gz", True),
        ("stroke_clinical/tutorial_T2w.nii.gz", False),
        ("glioma/TCGA-DU-7294_T1w.nii.gz", True),
        ("ct_dicom", False),
    ],
)
def test_real_scans_meet_a_T1w_model(scan: str, allowed: bool, real_data: Path) -> None:
    assert (refusals(read_volume(real_data / scan)) == []) is allowed


@pytest.mark.parametrize(
    ("scan", "labels", "skull"),
    [
        ("wholehead/mne_ecog_T1w.nii.gz", "wholehead/mne_ecog_aseg.nii.gz", True),
        ("ms_long/patient01_study1_T1W.nii.gz", "ms_long/patient01_brainmask.nii.gz", False),
        ("oasis30/1012_T1w.nii.gz", "oasis30/1012_labels.nii.gz", False),
    ],
)
def test_brain_is_found_in_real_scans(scan: str, labels: str, skull: bool, real_data: Path) -> None:
    seen = locate_head(read_volume(real_data / scan))
    mask, affine = read_labels(real_data / labels)
    where = np.argwhere(mask > 0)
    truth = Grid(mask.shape, affine).to_world((where.min(axis=0) + where.max(axis=0))[::-1] / 2.0)
    assert seen.skull is skull
    np.testing.assert_allclose(seen.centre, truth, atol=6)
