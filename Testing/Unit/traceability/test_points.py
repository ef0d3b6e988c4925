"""Points traced forth and back, and the files they come in."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from moved_phantoms import PROVENANCE, field_of, moved, world

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.landmarks import read_landmarks, write_markups, write_pairs_csv
from SITTranslateLib.traceability.points import Direction, trace_points
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Grid, Volume


def flowing(grid: Grid) -> Translation:
    """A smooth flow of up to about 6 mm, integrated on a grid twice as coarse as a model would."""
    coarse = grid.coarsened(2)
    velocity = field_of(
        coarse,
        lambda x: 6 * np.exp(-((x / 16) ** 2).sum(-1, keepdims=True)) * np.cos(x / 9) * [1.0, -0.8, 0.6],
    )
    motion, sampling = (fields.resample_field(fields.exponential(velocity, t), grid) for t in (1, -1))
    return moved(Volume(np.zeros(grid.shape), grid.affine, "scan"), motion, sampling)


@pytest.fixture
def points(grid) -> np.ndarray:
    inner = world(grid)[8:-8, 12:-12, 12:-12].reshape(-1, 3)
    return inner[:: len(inner) // 300] + np.array([0.21, -0.33, 0.17])


@pytest.mark.parametrize("direction", list(Direction))
def test_round_trip_is_below_five_hundredths_of_a_millimetre(grid, points, direction):
    traced = trace_points(flowing(grid), points, direction)
    assert max(point.residual_mm for point in traced) < 0.05
    assert all(point.traceable for point in traced)
    assert max(point.motion_mm for point in traced) > 3


def test_partner_of_a_known_motion_is_where_the_formula_says(grid):
    motion = field_of(grid, lambda x: 0.1 * x)
    sampling = field_of(grid, lambda y: -0.1 / 1.1 * y)
    translation = moved(Volume(np.zeros(grid.shape), grid.affine), motion, sampling)
    (there,) = trace_points(translation, np.array([[10.0, -5.0, 4.0]]), labels=["tip"])
    assert there.label == "tip"
    assert there.translated == pytest.approx((11.0, -5.5, 4.4), abs=1e-3)
    (back,) = trace_points(translation, np.array([there.translated]), Direction.TO_SOURCE)
    assert back.source == pytest.approx((10.0, -5.0, 4.0), abs=1e-3)


def test_what_cannot_be_traced_is_said(grid):
    translation = flowing(grid)
    (outside,) = trace_points(translation, np.array([[300.0, 0, 0]]))
    assert not outside.traceable
    assert "outside the scan" in outside.reason
    folding = field_of(grid, lambda x: -6.0 * np.sin(x[..., :1] / 3.0) * np.array([1.0, 0.0, 0.0]))
    (fold,) = trace_points(moved(translation.source, folding, folding), np.array([[0.0, 0, 0]]))
    assert not fold.traceable
    assert fold.reason.startswith("cannot be traced here")
    shift = [field_of(grid, lambda x, s=s: np.broadcast_to([s, 0, 0], x.shape)) for s in (40.0, -40.0)]
    (lost,) = trace_points(moved(translation.source, *shift), np.array([[10.0, 0, 0]]))
    assert "partner lies outside" in lost.reason


def test_identity_maps_points_to_themselves_and_no_field_is_refused(grid):
    scan = Volume(np.zeros(grid.shape), grid.affine)
    still = Translation(scan, scan, None, None, None, None, None, FieldOrigin.IDENTITY, 0.0, PROVENANCE)
    (same,) = trace_points(still, np.array([[1.0, 2.0, 3.0]]))
    assert same.translated == (1.0, 2.0, 3.0)
    with pytest.raises(InputError, match="no field"):
        trace_points(replace(still, field_origin=FieldOrigin.NONE), np.zeros((1, 3)))
    with pytest.raises(InputError, match="three finite numbers"):
        trace_points(still, np.array([[1.0, np.nan, 0.0]]))


def test_markups_are_written_in_lps_and_read_back(tmp_path):
    path = tmp_path / "points.mrk.json"
    points = np.array([[1.5, -2.0, 3.25], [4.0, 5.0, -6.0]])
    write_markups(path, ["left", "right"], points)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["markups"][0]["controlPoints"][0]["position"] == [-1.5, 2.0, 3.25]
    labels, read = read_landmarks(path)
    assert labels == ["left", "right"]
    np.testing.assert_allclose(read, points)
    document["markups"][0]["coordinateSystem"] = "RAS"
    document["markups"][0]["controlPoints"][1]["positionStatus"] = "undefined"
    path.write_text(json.dumps(document))
    labels, read = read_landmarks(path)
    assert labels == ["left"]
    np.testing.assert_allclose(read, [[-1.5, 2.0, 3.25]])


def test_pairs_are_exported_with_residual_and_reason(grid, tmp_path):
    traced = trace_points(flowing(grid), np.array([[0.0, 1.0, 2.0], [300.0, 0.0, 0.0]]), labels=["a", "b"])
    write_pairs_csv(tmp_path / "pairs.csv", traced)
    rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    assert [row["traceable"] for row in rows] == ["yes", "no"]
    assert float(rows[0]["source_a_mm"]) == 1.0
    landmarks = tmp_path / "in.csv"
    landmarks.write_text("label,R,A,S\nx,1,2,3\n")
    labels, points = read_landmarks(landmarks)
    assert (labels, points.tolist()) == (["x"], [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("text", ["", "label,r,a\nx,1,2\n", "label,r,a,s\nx,1,2,three\n", "r,a,s\n"])
def test_landmark_files_that_make_no_sense_are_refused(tmp_path, text):
    path = tmp_path / "odd.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.csv"):
        read_landmarks(path)
