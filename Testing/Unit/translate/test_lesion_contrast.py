"""Lesions that a scan shows and its translation loses: found, measured, said, and nothing said where they stay."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from scipy import ndimage
from tiny_model import head, tiny_card

from SITTranslateLib import systems
from SITTranslateLib.packages import NetworkGrid, System, write_package
from SITTranslateLib.report.page import report_html
from SITTranslateLib.translate import lesion_contrast, pipeline, suitability
from SITTranslateLib.translate.contrast import Modality
from SITTranslateLib.translate.head import locate_head
from SITTranslateLib.translate.lesion_contrast import faded_lesions, lesion_clusters
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.normalisation import ARBITRARY
from SITTranslateLib.translate.suitability import likeliest_source
from SITTranslateLib.translate.verification import verify
from SITTranslateLib.volume import Volume

PLACES = {(30, 24, 20): 3.0, (30, 40, 44): 2.0}
"""Middles (k, j, i) and radii of planted lesions, voxels of 1 mm: 0.12 and 0.03 mL."""


@pytest.fixture
def brain(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Fluid, cortex and white matter as shells, which the segmentation is taken to find."""
    k, j, i = np.indices((60, 64, 64))
    radius = np.sqrt(((k - 30) / 26) ** 2 + ((j - 32) / 28) ** 2 + ((i - 32) / 28) ** 2)
    monkeypatch.setattr(lesion_contrast, "_white_and_brain", lambda scan: (radius < 0.85, radius < 1.0))
    return radius


def scan(radius: np.ndarray, signal: float, white: float, cortex: float) -> Volume:
    """White matter with lesions that differ by ``signal`` standard deviations of the brain (about 100)."""
    rng = np.random.default_rng(0)
    array = np.where(radius < 0.85, white, np.where(radius < 1.0, cortex, 0.0)) + rng.normal(0, 8, radius.shape)
    k, j, i = np.indices(radius.shape)
    for (a, b, c), size in PLACES.items():
        array[(k - a) ** 2 + (j - b) ** 2 + (i - c) ** 2 <= size**2] += 100.0 * signal
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-32, -32, -30)
    return Volume(array.astype(np.float32), affine, "scan")


def test_planted_lesions_are_found_where_they_are(brain: np.ndarray) -> None:
    t2, t1 = scan(brain, 2.0, 500, 700), scan(brain, -1.0, 700, 500)
    found = lesion_clusters(t2, t1, ("T2w", "T1w"))
    assert [c.middle for c in found] == [pytest.approx(m, abs=0.5) for m in ((-12, -8, 0), (12, 8, 0))]
    assert found[0].millilitres == pytest.approx(0.14, abs=0.03) and found[1].millilitres >= 0.025
    assert all(c.after / c.before == pytest.approx(0.5, rel=0.1) and not c.faded for c in found)
    assert faded_lesions(t2, t1, ("T2w", "T1w")) == () == faded_lesions(t1, t2, ("T1w", "T2w"))


@pytest.mark.parametrize(("kept", "turned"), [(0.1, False), (-0.5, True)])
def test_what_fades_or_turns_is_said_with_its_place(brain: np.ndarray, kept: float, turned: bool) -> None:
    (sentence,) = faded_lesions(scan(brain, 2.0, 500, 700), scan(brain, 2.0 * kept, 500, 700), ("T2w", "FLAIR"))
    assert sentence.startswith("2 of 2 bright spots") and "less than 25 %" in sentence and "FLAIR" in sentence
    assert ("2 with the sign turned" in sentence) is turned and "R -12, A -8, S 0 mm" in sentence
    # Dark in T1w is how lesions look; dark in FLAIR is not.
    assert faded_lesions(scan(brain, 2.0, 500, 700), scan(brain, -1.0, 700, 500), ("T2w", "T1w")) == ()


def test_a_brain_without_lesions_and_contrasts_without_a_sign_say_nothing(brain: np.ndarray) -> None:
    plain = scan(brain, 0.0, 500, 700)
    assert lesion_clusters(plain, plain, ("T2w", "T1w")) == []
    lesions = scan(brain, 2.0, 500, 700)
    assert lesion_clusters(lesions, plain, ("T2w", "CT")) == [] == lesion_clusters(lesions, plain, ("T1wGd", "T2w"))


def test_noise_has_no_brain() -> None:
    noise = Volume(np.random.default_rng(0).normal(0, 1, (48, 48, 48)).astype(np.float32), np.eye(4), "noise")
    assert faded_lesions(noise, noise, ("T2w", "T1w")) == ()


def test_the_record_and_the_report_carry_the_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        lesion_contrast, "faded_lesions", lambda *given: seen.append(given) or ("Lesions may be lost.",)
    )
    parameters = {"contrasts": ["T1w", "T2w"], "targets": ["T2w"], "sources": ["T1w"], "widths": [2, 4]}
    card = tiny_card(
        system=System("multi_contrast", parameters), attributes=(), targets=("T2w",), target_scale=ARBITRARY,
        grid=NetworkGrid(4.0, (48, 56, 48)),
    )  # fmt: skip
    torch.manual_seed(0)
    network = systems.create("multi_contrast", parameters)
    model = load_model(write_package(tmp_path / "tiny", card, network.state_dict()), "cpu")
    result = pipeline.translate(head(spacing=(4.0, 4.0, 4.0)), model)
    assert "Lesions may be lost." in result.provenance.warnings
    ((source, target, contrasts),) = seen
    assert contrasts == ("T1w", "T2w") and source.shape == target.shape == (48, 56, 48)
    assert "<li>Lesions may be lost.</li>" in report_html(result, verify(result))


def test_the_likeliest_source_is_one_of_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    anatomy = locate_head(head(spacing=(3.0, 3.0, 3.0)))
    shares = {"DWI": 0.6, "T2w": 0.3, "T1w": 0.1}
    monkeypatch.setattr(suitability, "guess", lambda _: Modality("DWI", 0.6, shares))
    assert likeliest_source(anatomy, tiny_card(source="FLAIR")) == "FLAIR"
    assert likeliest_source(anatomy, tiny_card(source="T1w", further_sources=("T2w", "FLAIR"))) == "T2w"
    monkeypatch.setattr(suitability, "guess", lambda _: None)
    assert likeliest_source(anatomy, tiny_card(source="T1w", further_sources=("T2w",))) == "T1w"


def along_axes(path: Path) -> Volume:
    """A file on axes along +R, +A, +S."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return Volume(np.ascontiguousarray(image.get_fdata(dtype=np.float32).T), image.affine, path.name)


@pytest.mark.parametrize(("source", "target"), [("FLAIR", "T2w"), ("T2w", "T1w")])
def test_real_lesions_are_found_and_acquired_scans_keep_them(source: str, target: str, real_data: Path) -> None:
    one, other, mask = (
        along_axes(real_data / "ms_cross" / f"patient26_{name}.nii.gz") for name in (source, target, "lesions")
    )
    near = ndimage.binary_dilation(mask.array > 0, iterations=2)
    found = lesion_clusters(one, other, (source, target))
    on_lesions = [
        c for c in found if near[tuple(np.rint(mask.grid.to_indices(np.array([c.middle]))[0][::-1]).astype(int))]
    ]
    assert len(on_lesions) >= 4
    assert sum(c.faded for c in on_lesions) <= 1
