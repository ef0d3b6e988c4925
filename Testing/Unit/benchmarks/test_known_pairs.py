"""The tools behind the published figures of estimated fields: on a pair whose motion is known, each says what is so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
from synthetic_translation import CENTRE, points_of, synthetic_translation
from tiny_model import one_sentence

from benchmarks import calibration, estimated_fields, hallucinations
from benchmarks.known_pairs import KnownPair, known_pair
from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import prepare_subject, procedural_head
from SITTranslateLib.simulation.subject import Subject
from SITTranslateLib.volume import VectorField


@pytest.fixture(scope="module")
def pair() -> KnownPair:
    """A textured head on an oblique grid, its ventricles grown by up to 3 mm."""
    made = synthetic_translation()
    assert made.motion is not None and made.sampling is not None
    r, a, s = np.moveaxis(points_of(made.source.grid) - CENTRE, -1, 0)
    brain = made.source.array > 0
    texture = 90 * np.sin(r / 5.0) * np.sin(a / 6.0) * np.sin(s / 6.5) + 60 * np.cos((r + a) / 8.0)
    source = made.source.with_array(made.source.array + brain * texture.astype(np.float32))
    translated = fields.warp(source, made.sampling)
    return KnownPair(source, translated, made.motion, made.sampling, brain, ("T1w", "T1w"), 3.0, "smooth")


@pytest.fixture(scope="module")
def still(pair: KnownPair) -> KnownPair:
    nothing = VectorField(np.zeros_like(pair.motion.array), pair.motion.affine)
    return replace(pair, translated=pair.source, motion=nothing, sampling=nothing, peak_mm=0.0, kind="still")


def test_a_peer_is_read_in_our_frame_and_direction(pair: KnownPair) -> None:
    """A sign or an axis the wrong way round would make a peer look bad, and us good."""
    length = pair.motion.magnitude()[pair.brain]
    found = estimated_fields.demons(pair)
    assert found.shape == pair.motion.array.shape
    error = pair.error(VectorField(found.astype(np.float32), pair.motion.affine))
    turned = pair.error(VectorField(-found.astype(np.float32), pair.motion.affine))
    assert error.mean() < 0.75 * length.mean() < turned.mean()


def test_a_transform_of_itk_is_read_in_ras(pair: KnownPair) -> None:
    """As B-splines and SyN give theirs: in LPS, on the grid of the source."""
    image = estimated_fields._image(pair.source)
    index = (5, 9, 14)
    place = pair.source.grid.to_world(np.array(index, dtype=np.float64))
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), place * [-1, -1, 1], atol=1e-4)
    to_field = SimpleITK.TransformToDisplacementFieldFilter()
    to_field.SetReferenceImage(image)
    field = estimated_fields._array(to_field.Execute(SimpleITK.TranslationTransform(3, (1.0, 2.0, 3.0))))
    np.testing.assert_allclose(field, np.broadcast_to((-1.0, -2.0, 3.0), pair.motion.array.shape))


def test_the_rows_of_the_table_are_means_with_doing_nothing_beside(pair: KnownPair, still: KnownPair) -> None:
    def perfect(each: KnownPair) -> np.ndarray:
        return each.motion.array

    methods = {"nothing": estimated_fields.nothing, "perfect": perfect, "demons": estimated_fields.demons}
    across = replace(pair, contrasts=("T1w", "T2w"))
    results = estimated_fields.compare([across, replace(still, contrasts=("T1w", "T2w"))], methods)
    assert {r.method for r in results} == {"nothing", "perfect"}, "demons cannot compare two contrasts"
    rows = {(row["method"], row["moves"]): row for row in estimated_fields.table(results)}
    true = float(pair.motion.magnitude()[pair.brain].mean())
    assert (
        rows["nothing", True]["error_mean_mm"] == rows["nothing", True]["true_mean_mm"] == pytest.approx(true, abs=1e-3)
    )
    assert rows["perfect", True]["error_p95_mm"] == 0 and rows["nothing", False]["error_mean_mm"] == 0
    assert all(row["pairs"] == 1 and row["contrasts"] == "T1w>T2w" for row in rows.values())


def test_the_command_writes_its_table(
    pair: KnownPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimated_fields, "subjects_in", lambda *_: ["a head"])
    monkeypatch.setattr(estimated_fields, "known_pair", lambda *_, **__: replace(pair, contrasts=("T1w", "T2w")))
    for slow in ("own", "b_splines", "syn"):
        monkeypatch.setattr(estimated_fields, slow, estimated_fields.nothing)
    monkeypatch.setattr(
        "sys.argv", ["estimated_fields", str(tmp_path), "--pairs", "1", "--out", str(tmp_path / "t.json")]
    )
    estimated_fields.main()
    rows = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert {"nothing", "SITTranslate", "SimpleITK B-spline"} <= {row["method"] for row in rows}
    assert "nothing" in capsys.readouterr().out


def test_floors_are_what_is_seen_where_nothing_moves(
    pair: KnownPair, still: KnownPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, str, bool]] = []

    def drawn(
        _subject: object, _contrasts: object, peak: float, _seed: int, *, kind: str, skull_strip: bool
    ) -> KnownPair:
        asked.append((peak, kind, skull_strip))
        return pair if peak else still

    offset = np.array([0.3, 0.0, 0.4], np.float32)
    seen = VectorField(np.zeros_like(pair.motion.array) + offset, pair.motion.affine)
    monkeypatch.setattr(calibration, "known_pair", drawn)
    monkeypatch.setattr(calibration, "estimate", lambda *_: SimpleNamespace(motion=seen))
    monkeypatch.setattr(calibration, "subjects_in", lambda *_: ["a head"])
    out = tmp_path / "floors.json"
    monkeypatch.setattr("sys.argv", ["calibration", str(tmp_path), "--cases", "2", "--out", str(out)])
    calibration.main()
    table = json.loads(out.read_text(encoding="utf-8"))["pairs"]
    assert set(calibration.PAIRS.values()) | {">".join(c) for c in calibration.PAIRS} == set(table)
    for entry in table.values():
        assert entry["mean_mm"] == entry["p95_mm"] == pytest.approx(0.5, abs=1e-3)
        assert entry["error_mm"] == pytest.approx(float(pair.error(seen).mean()), abs=1e-3)
    kinds = list(calibration.PAIRS.values())
    assert all(table[kind]["pairs"] == 2 * kinds.count(kind) for kind in kinds)
    assert set(asked) == {(0.0, "smooth", False), (4.0, "ageing", False)}


def test_heads_are_taken_after_those_that_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "cab":
        (tmp_path / f"{name}.npz").touch()
    monkeypatch.setattr(calibration, "load_subject", lambda path: path.stem)
    assert calibration.subjects_in(tmp_path, 2, skip=1) == ["b", "c"]
    with pytest.raises(InputError) as refused:
        calibration.subjects_in(tmp_path, 2, skip=3)
    assert one_sentence(str(refused.value))


def test_blobs_are_planted_as_said_and_found_where_the_field_is_known(pair: KnownPair) -> None:
    planted = hallucinations.plant(pair, (14.0, 10.0), 3)
    difference = planted.scan.array - pair.translated.array
    high, low = np.percentile(pair.translated.array[pair.brain], (99, 1))
    voxel = float(np.prod(pair.source.spacing))
    for number, diameter in enumerate(planted.diameters, 1):
        blob = planted.blobs == number
        assert blob.sum() * voxel == pytest.approx(np.pi / 6 * diameter**3, rel=0.3)
        assert np.abs(difference[blob]).max() == pytest.approx(hallucinations.SHARE_OF_RANGE * (high - low), rel=0.02)
    assert np.abs(difference[planted.blobs == 0]).mean() < 0.05 * np.abs(difference[planted.blobs > 0]).mean()
    again = hallucinations.plant(pair, (14.0, 10.0), 3)
    assert np.array_equal(again.scan.array, planted.scan.array)
    curve, found, false = hallucinations.detect(pair, planted, estimated=False)
    assert curve > 0.95 and found == [True, True]
    assert false < 0.03


@pytest.fixture(scope="module")
def subject() -> Subject:
    return prepare_subject(procedural_head(3, spacing=3.0))


@pytest.mark.parametrize(
    ("peak", "kind", "stripped"), [(5.0, "smooth", True), (4.0, "ageing", False), (0.0, "smooth", False)]
)
def test_a_simulated_pair_is_moved_by_the_field_that_it_tells(
    subject: Subject, peak: float, kind: str, stripped: bool
) -> None:
    made, again = (
        known_pair(subject, ("T1w", "T1w"), peak, 11, kind=kind, skull_strip=stripped, spacing=4.0) for _ in range(2)
    )
    assert np.array_equal(made.translated.array, again.translated.array), "the same seed, the same bytes"
    assert made.kind == ("still" if peak == 0 else kind)
    length = made.motion.magnitude()[made.brain]
    assert made.peak_mm == pytest.approx(length.max()) and made.peak_mm == pytest.approx(peak, rel=0.35, abs=0.01)
    np.testing.assert_allclose(made.error(made.motion), 0.0, atol=1e-6)
    nothing = VectorField(np.zeros_like(made.motion.array), made.motion.affine)
    np.testing.assert_allclose(made.error(nothing), length, rtol=1e-4, atol=1e-6)
    there_and_back = fields.compose(made.motion, made.sampling).magnitude()[made.brain]
    # Voxels are 4 mm here.
    assert np.median(there_and_back) < 0.1 and np.percentile(there_and_back, 99) < 0.6
    back = fields.warp(made.translated, made.motion).array[made.brain]
    as_it_was = made.translated.array[made.brain]

    def alike(scan: np.ndarray) -> float:
        return float(np.corrcoef(scan, made.source.array[made.brain])[0, 1])

    if peak:
        assert alike(back) > alike(as_it_was), "moved back it is more like the source"
    assert alike(back) > 0.6
