"""Volumes of structures: found without a segmentation, carried by the motion, kept with the result."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from synthetic_translation import PROVENANCE, synthetic_translation

import SITTranslateLib as sit
from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.host.results import describe_translation, described_translation
from SITTranslateLib.segmentation.parcellation import Parcellation
from SITTranslateLib.segmentation.structures import CLASS_COUNT
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.scan import simulate_contrasts
from SITTranslateLib.structure_table import StructureVolume, StructureVolumes, percent
from SITTranslateLib.systems.prescribed.presets import cited_range
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.translate import structures
from SITTranslateLib.translate.structures import label_map, structure_table, years_of
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Grid, VectorField, Volume

ROWS = structure_table(
    {"left hippocampus": 3.0, "right hippocampus": 3.2, "brain stem": 20.0, "left lateral ventricle": 8.0,
     "right lateral ventricle": 9.7},
    {"left hippocampus": 2.7, "right hippocampus": 3.0, "brain stem": 20.0, "left lateral ventricle": 12.0,
     "right lateral ventricle": 13.8},
    (20.0, 60.0), "By hand.",
)  # fmt: skip


def _grown(scan: Volume, factor: float) -> Translation:
    """A translation in which everything grows about the middle by the same share of its volume."""
    rate = np.log(factor) / 3.0
    points = scan.grid.to_world(np.stack(np.meshgrid(*[np.arange(n) for n in scan.shape], indexing="ij")[::-1], -1))
    velocity = VectorField((rate * points).astype(np.float32), scan.affine)
    motion = VectorField((np.expm1(rate) * points).astype(np.float32), scan.affine)
    sampling = VectorField((np.expm1(-rate) * points).astype(np.float32), scan.affine)
    return Translation(
        scan, fields.warp(scan, sampling), velocity, motion, sampling, fields.jacobian(motion), None,
        FieldOrigin.MODEL, 0.0, replace(PROVENANCE, attributes={"age": 20.0}),
    )  # fmt: skip


def test_a_uniform_growth_is_measured_in_every_structure() -> None:
    """The network itself, once: what it finds is a matter of its training, what becomes of it is not."""
    labels = procedural_head(0, spacing=3.0)
    scan = simulate_contrasts(labels, ["T1w"], 0, grid=labels.grid).scans["T1w"]
    found = _grown(scan, 1.1).structures
    assert len(found.whole) > 8
    for row in found:
        assert row.change_percent == pytest.approx(10.0, abs=0.5), row
    assert 600.0 < found.row("whole brain").before_ml < 2200.0
    ventricle = found.row("lateral ventricle")
    left, right = (found.row("lateral ventricle", side) for side in ("left", "right"))
    assert left.before_ml + right.before_ml == pytest.approx(ventricle.before_ml)
    assert ventricle.norm_percent == cited_range("lateral ventricle", 20.0)[0]


def test_shares_become_labels_where_they_are_largest() -> None:
    """On a finer, oblique grid that reaches beyond the shares; half-filled voxels go to the background."""
    coarse = Grid.centred(np.zeros(3), (12, 12, 12), 2.0)
    left, right = (np.zeros(coarse.shape, np.float32) for _ in range(2))
    left[3:9, 3:9, 2:6], right[3:9, 3:9, 6:10] = 0.9, 0.8
    shares = Shares({"left hippocampus": left, "right hippocampus": right}, np.zeros_like(left), coarse, {})
    turn = np.deg2rad(20.0)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, 3] = affine[:3, :3] @ np.full(3, -16.0)
    labels, names = label_map(shares, Grid((33, 33, 33), affine))
    assert names == {17: "left hippocampus", 53: "right hippocampus"}
    np.testing.assert_array_equal(labels.affine, affine)
    grid = labels.grid

    def label_at(*point: float) -> float:
        i, j, k = np.rint(grid.to_indices(np.array(point))).astype(int)
        return float(labels.array[k, j, i])

    assert [label_at(x, 0, 0) for x in (-6, -2, 2, 6)] == [17, 17, 53, 53]
    assert label_at(-12, 0, 0) == label_at(0, 9, 0) == label_at(0, 0, -9) == 0
    # Linear interpolation of the shares, computed at one go by SciPy.
    places = coarse.to_indices(grid.to_world(np.stack(np.indices(grid.shape)[::-1], -1)))[..., ::-1]
    first, second = (map_coordinates(s, np.moveaxis(places, -1, 0), order=1, mode="constant") for s in (left, right))
    wanted = np.where(first + second > 0.5, np.where(first >= second, 17, 53), 0)
    assert np.mean(labels.array != wanted) < 1e-3


def test_segments_and_volumes_find_the_structures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Volume(np.ones((16, 16, 16)), np.diag([2.0, 2.0, 2.0, 1.0]), "block")
    inside = np.zeros(scan.shape, np.float32)
    inside[4:12, 4:12, 4:12] = 1.0
    shares = Shares(
        {"brain stem": inside}, np.zeros_like(inside), scan.grid, {"brain stem": float(inside.sum()) * 0.008}
    )
    calls: list[Volume] = []
    monkeypatch.setattr(structures, "find_structures", lambda image: calls.append(image) or shares)
    result = _grown(scan, 1.05)
    labels, names, rows = structures.structure_segments(result)
    assert np.count_nonzero(labels.array) == 512 and list(names.values()) == ["brain stem"]
    assert rows[0].volume_after_mm3 == pytest.approx(1000.0 * result.structures.row("brain stem").after_ml)
    assert len(calls) == 1
    again = _grown(scan, 1.05)
    assert again.structures == result.structures and len(calls) == 2


def test_the_parcellation_of_the_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Volume(np.ones((48, 48, 48)), np.diag([2.0, 2.0, 2.0, 1.0]), "block")
    classes, right = np.zeros((CLASS_COUNT, *scan.shape), np.float32), np.zeros(scan.shape, np.float32)
    classes[1, 4:44, 4:44, 4:44], right[..., 24:] = 1.0, 1.0
    monkeypatch.delattr(structures, "find_structures")
    result = _grown(scan, 1.05)
    result.keep_parcellation((Parcellation(classes, right), scan.grid))
    row = result.structures.row("white matter")
    assert row.before_ml == pytest.approx(512.0) and row.change_percent == pytest.approx(5.0, abs=0.1)
    assert result.structures.row("white matter", "left").before_ml == pytest.approx(256.0)
    assert result.take_parcellation() is None, "it is large"


def test_contours_are_of_the_structures_that_changed_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides or none, no structure that fills the brain, on a grid of 1 mm about them."""
    scan = Volume(np.ones((24, 24, 24)), np.diag([2.0, 2.0, 2.0, 1.0]), "block")
    places = {"left cortex": 2, "right cortex": 5, "left hippocampus": 8, "right hippocampus": 11, "brain stem": 14}
    parts = {name: np.zeros(scan.shape, np.float32) for name in places}
    for name, first in places.items():
        parts[name][8:16, 8:16, first : first + 3] = 1.0
    millilitres = {name: float(share.sum()) * 0.008 for name, share in parts.items()}
    shares = Shares(parts, np.zeros(scan.shape, np.float32), scan.grid, millilitres)
    calls: list[Volume] = []
    monkeypatch.setattr(structures, "find_structures", lambda image: calls.append(image) or shares)
    result = _grown(scan, 1.05)
    volumes, labels, names = structures.structures_to_draw(result)
    assert volumes == result.structures and len(calls) == 1
    assert sorted(names.values()) == ["brain stem", "left hippocampus", "right hippocampus"]
    assert labels is not None and labels.spacing == (1.0, 1.0, 1.0) and max(labels.shape) < 32
    numbers = {name: number for number, name in names.items()}
    assert set(np.unique(labels.array)) == {0.0, *map(float, names)}
    i, j, k = np.rint(labels.grid.to_indices(np.array([30.0, 24.0, 24.0]))).astype(int)
    assert labels.array[k, j, i] == numbers["brain stem"]
    # Volumes that came with the translation stay as they are; the contours are found all the same.
    again, same, same_names = structures.structures_to_draw(result)
    assert again is result.known_structures and same is not None and len(calls) == 2
    assert np.array_equal(same.array, labels.array) and same_names == names
    still = replace(synthetic_translation(), field_origin=FieldOrigin.IDENTITY, motion=None, sampling=None)
    assert structures.structures_to_draw(still)[1] is None and len(calls) == 2


def test_what_does_not_move_has_no_rows_and_says_why() -> None:
    still = replace(synthetic_translation(), field_origin=FieldOrigin.NONE, motion=None, sampling=None, jacobian=None)
    assert not still.structures
    assert "No motion" in still.structures.note
    # A copy does not take over what was found for another motion.
    identity = replace(still, field_origin=FieldOrigin.IDENTITY)
    assert identity.structures.note == structures.STILL


def test_a_scan_without_a_brain_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(scan: Volume) -> None:
        raise InputError("no brain")

    monkeypatch.setattr(structures, "find_structures", none)
    moved = replace(synthetic_translation(), given_structures=None)
    assert moved.structures == StructureVolumes(note="no brain")


def test_sides_and_sums_and_words() -> None:
    both = ROWS.row("hippocampus")
    assert (both.side, both.before_ml, round(both.after_ml, 6)) == ("both", 6.2, 5.7)
    assert ROWS.row("hippocampus", "left").change_percent == pytest.approx(-10.0)
    assert ROWS.row("lateral ventricle").sentence() == "Lateral ventricles 17.7 to 25.8 mL (+46 %)"
    assert ROWS.row("whole brain").before_ml == pytest.approx(26.2)
    assert ROWS.headline().startswith("Lateral ventricles 17.7 to 25.8 mL (+46 %); Hippocampi 6.2 to 5.7 mL (-8.1 %)")
    assert "left -10 %  right -6.2 %" in ROWS.to_text()
    norms = [(0.0, 0.0), (-0.04, 0.0), (-20.0, 0.0), (-20.2, -8.4), (-3.0, -3.0), None]
    assert [StructureVolume("x", "", 1.0, 1.0, norm).norm_words() for norm in norms] == [
        "no change", "no change", "-20 to 0 %", "-20 to -8.4 %", "-3.0 %", "",
    ]  # fmt: skip
    assert [percent(v) for v in (46.4, -5.64, -0.01, 9.96)] == ["+46 %", "-5.6 %", "+0.0 %", "+10 %"]
    with pytest.raises(KeyError):
        ROWS.row("thalamus")


def test_norms_are_those_of_the_cited_rates() -> None:
    """From 60 on the cited hippocampal rates are -0.98 to 67 and -1.12 % a year from 73 on."""
    (low, high), source = cited_range("hippocampus", 20.0, 60.0)
    assert low == high == pytest.approx(100 * (0.9902**10 * 0.9888**10 - 1), abs=0.2)
    assert source == "Fraser 2015"
    widest, _ = cited_range("hippocampus", 10.0)
    assert widest[1] == 0.0 and widest[0] == pytest.approx(100 * (0.9888**10 - 1), abs=0.01)
    assert cited_range("amygdala", 10.0) == (None, "")
    assert cited_range("hippocampus", 10.0, 12.0) == (None, "")
    assert years_of(replace(PROVENANCE, attributes={"age": 20.0})) == (20.0, None)
    assert years_of(replace(PROVENANCE, attributes={"preset": 0.0, "age": 60.0, "years": 5.0})) == (5.0, 60.0)
    assert years_of(replace(PROVENANCE, attributes={"left hippocampus": -8.0})) is None


def test_they_are_kept_with_the_result(tmp_path: Path) -> None:
    kept = replace(synthetic_translation(), given_structures=ROWS)
    folder = sit.save_translation(kept, tmp_path / "a")
    back = sit.read_translation(folder)
    assert back.known_structures is not None
    assert [row.to_dict() for row in back.structures] == [row.to_dict() for row in ROWS]
    with (folder / "structures.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[2] == {
        "structure": "lateral ventricle", "side": "left", "before_ml": "8.0", "after_ml": "12.0",
        "change_percent": "50.0", "norm_low_percent": str(ROWS[2].norm_percent[0]),
        "norm_high_percent": str(ROWS[2].norm_percent[1]), "norm_source": ROWS[2].norm_source,
    }  # fmt: skip
    sent = describe_translation(tmp_path, "key", kept)
    assert list(described_translation(tmp_path, sent).structures) == list(back.structures)
    without = sit.save_translation(replace(kept, given_structures=None), tmp_path / "b")
    assert not (without / "structures.csv").exists()
    assert sit.read_translation(without).known_structures is None


@pytest.mark.parametrize("record", [{}, {"rows": [{}]}, {"rows": 3}, {"rows": [ROWS[0].to_dict() | {"before_ml": 0}]}])
def test_a_damaged_table_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        StructureVolumes.from_dict(record)


def test_another_table_is_found_when_made_again() -> None:
    from SITTranslateLib.translate.reproduction import _alike

    assert _alike(ROWS, ROWS)
    wrong = StructureVolumes((replace(ROWS[0], after_ml=1.02 * ROWS[0].after_ml), *ROWS.rows[1:]))
    assert not _alike(ROWS, wrong)
    assert not _alike(ROWS, StructureVolumes(ROWS.rows[1:]))
    assert isinstance(ROWS[0], StructureVolume)
