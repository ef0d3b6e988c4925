"""The segment table against closed forms."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from moved_phantoms import PROVENANCE, field_of, moved, oblique_grid, world

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.segments import segment_table
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Grid, Volume

CENTRE = np.array([1.0, -1.0, 0.5])
NAMES = {1: "ball", 2: "shell"}


def ball_labels(grid: Grid, radius: float = 13.0, shell: float = 17.0) -> Volume:
    distance = np.linalg.norm(world(grid) - CENTRE, axis=-1)
    return Volume((distance < shell) * 2.0 - (distance < radius), grid.affine, "labels")


def scan(grid: Grid) -> Volume:
    return Volume(100 + 50 * (ball_labels(grid).array > 0) + 30 * (ball_labels(grid).array == 1), grid.affine, "scan")


def scaled(grid: Grid, factor: float) -> Translation:
    """Everything grows about the centre by a factor along each axis."""
    motion = field_of(grid, lambda x: (factor - 1) * (x - CENTRE))
    sampling = field_of(grid, lambda y: (1 / factor - 1) * (y - CENTRE))
    return moved(scan(grid), motion, sampling)


@pytest.mark.parametrize("factor", [0.85, 0.97, 1.0, 1.05, 1.15])
def test_growth_of_a_ball_on_an_oblique_anisotropic_grid_matches_the_closed_form(grid, factor):
    table = segment_table(scaled(grid, factor), ball_labels(grid), NAMES)
    ball = table.row(1)
    assert ball.volume_before_mm3 == pytest.approx(4 / 3 * np.pi * 13.0**3, rel=0.01)
    for row in table.rows:
        assert row.volume_after_mm3 == pytest.approx(row.volume_before_mm3 * factor**3, rel=0.005)
        assert row.jacobian_volume_mm3 == pytest.approx(row.volume_after_mm3, rel=0.01)
    assert ball.motion_max_mm == pytest.approx(abs(factor - 1) * 13, rel=0.05, abs=1e-4)
    assert ball.motion_mean_mm == pytest.approx(abs(factor - 1) * 13 * 0.75, rel=0.02, abs=1e-4)


def test_figures_do_not_depend_on_the_grid_of_the_segmentation(grid):
    translation = scaled(grid, 1.1)
    fine = oblique_grid((90, 80, 70), (0.7, 0.6, 0.8))
    rows = segment_table(translation, ball_labels(fine), NAMES).rows
    coarse_rows = segment_table(translation, ball_labels(grid), NAMES).rows
    for row, other in zip(rows, coarse_rows, strict=True):
        assert row.change_percent == pytest.approx(33.1, abs=0.2)
        assert row.motion_mean_mm == pytest.approx(other.motion_mean_mm, rel=0.01)
        assert row.intensity_before == pytest.approx(other.intensity_before, rel=0.02)


def test_shift_keeps_the_volume_and_gives_the_motion_vector_in_ras(grid):
    shift = np.array([3.0, -2.0, 1.5])
    motion, sampling = (field_of(grid, lambda x, s=s: np.broadcast_to(s * shift, x.shape)) for s in (1, -1))
    row = segment_table(moved(scan(grid), motion, sampling), ball_labels(grid), NAMES).row(1)
    assert (row.motion_r_mm, row.motion_a_mm, row.motion_s_mm) == pytest.approx(tuple(shift), abs=1e-4)
    assert abs(row.change_percent) < 0.01
    assert row.jacobian_mean == pytest.approx(1, abs=1e-4)
    assert row.intensity_change == 0
    assert row.intensity_after == pytest.approx(row.intensity_before, rel=0.02)


def test_pure_intensity_change_is_told_apart_from_the_motion(grid):
    translation = scaled(grid, 1.1)
    change = scan(grid).with_array(12.0 * (ball_labels(grid).array == 1))
    changed = moved(scan(grid), translation.motion, translation.sampling, change)
    table = segment_table(changed, ball_labels(grid), NAMES)
    assert table.row(1).intensity_change == pytest.approx(12.0)
    assert table.row(2).intensity_change == pytest.approx(0.0)
    # Without the model's own d, the change is read where the tissue went.
    wide = scan(grid).with_array(np.full(grid.shape, 12.0))
    changed = moved(scan(grid), translation.motion, translation.sampling, wide)
    followed = segment_table(replace(changed, intensity_change=None), ball_labels(grid), NAMES)
    assert followed.row(1).intensity_change == pytest.approx(12.0, abs=0.1)
    assert followed.row(1).intensity_after - followed.row(1).intensity_before == pytest.approx(12.0, abs=2.5)


def test_carried_volumes_of_a_flow_sum_to_the_whole(grid):
    velocity = field_of(grid, lambda x: 3 * np.exp(-(((x - CENTRE) / 12) ** 2).sum(-1, keepdims=True)) * [1, -1, 0.5])
    motion, sampling = fields.exponential(velocity), fields.exponential(velocity, -1)
    table = segment_table(moved(scan(grid), motion, sampling), ball_labels(grid), NAMES)
    for row in table.rows:
        assert row.jacobian_volume_mm3 == pytest.approx(row.volume_after_mm3, rel=0.01)
        assert row.inverse_residual_mm < 0.1
        assert row.verdict == "traceable"


def test_dice_and_distance_against_a_segmentation_of_the_translated_scan(grid):
    translation = scaled(grid, 1.1)
    distance = np.linalg.norm(world(grid) - CENTRE, axis=-1)
    exact = Volume((distance < 18.7) * 2.0 - (distance < 14.3), grid.affine)
    row = segment_table(translation, ball_labels(grid), NAMES, exact).row(1)
    assert row.dice > 0.97
    assert row.hd95_mm < 2.0
    unmoved = segment_table(translation, ball_labels(grid), NAMES, ball_labels(grid)).row(1)
    assert unmoved.dice < 0.9


def test_identity_moves_nothing_and_none_gives_no_figures(grid):
    source = scan(grid)
    still = Translation(source, source, None, None, None, None, None, FieldOrigin.IDENTITY, 0.0, PROVENANCE)
    row = segment_table(still, ball_labels(grid), NAMES).row(1)
    assert (row.motion_max_mm, row.change_percent, row.jacobian_mean) == (0, 0, 1)
    nothing = replace(still, field_origin=FieldOrigin.NONE)
    table = segment_table(nothing, ball_labels(grid), NAMES)
    assert table.row(1).motion_max_mm is None
    assert table.row(1).volume_before_mm3 > 0
    assert table.verdict == "no figure"


def test_segments_without_a_figure_say_why(grid):
    translation = scaled(grid, 1.1)
    labels = ball_labels(grid)
    array = labels.array.copy()
    array[0, :8, :8] = 3
    table = segment_table(translation, labels.with_array(array), {**NAMES, 3: "cut off", 4: "forgotten"})
    assert "touches the border" in table.row(3).note
    assert table.row(3).volume_after_mm3 is None
    assert table.row(4).note.startswith("empty")
    assert table.row(4).verdict == "no figure"
    shift = np.array([60.0, 0, 0])
    motion, sampling = (field_of(grid, lambda x, s=s: np.broadcast_to(s * shift, x.shape)) for s in (1, -1))
    gone = segment_table(moved(scan(grid), motion, sampling), labels, NAMES)
    assert "moves out" in gone.row(1).note
    assert gone.row(1).volume_after_mm3 is None


def test_a_cropped_label_map_is_not_taken_for_a_border(grid):
    labels = ball_labels(grid)
    occupied = np.nonzero(labels.array)
    low, high = [a.min() for a in occupied], [a.max() + 1 for a in occupied]
    affine = labels.affine.copy()
    affine[:3, 3] = labels.grid.to_world(np.array(low[::-1], float))
    cropped = Volume(labels.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], affine)
    translation = scaled(grid, 1.15)
    assert segment_table(translation, cropped, NAMES).to_dict() == segment_table(translation, labels, NAMES).to_dict()


def test_refuses_what_is_no_label_map_or_lies_elsewhere(grid):
    translation = scaled(grid, 1.1)
    with pytest.raises(InputError, match="not a label map"):
        segment_table(translation, scan(grid).with_array(np.full(grid.shape, 0.5)), NAMES)
    affine = grid.affine.copy()
    affine[:3, 3] += 500
    with pytest.raises(InputError, match="outside the scan"):
        segment_table(translation, Volume(ball_labels(grid).array, affine), NAMES)


def test_same_inputs_give_the_same_bytes_and_a_readable_csv(grid, tmp_path):
    first, second = (segment_table(scaled(grid, 1.1), ball_labels(grid), NAMES) for _ in range(2))
    assert first.to_json() == second.to_json()
    assert json.loads(first.to_json())["segments"][0]["name"] == "ball"
    assert first.to_csv(tmp_path / "table.csv") == (tmp_path / "table.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(first.to_csv())))
    assert float(rows[0]["change_percent"]) == pytest.approx(33.1, abs=0.2)


def test_empty_label_map_gives_rows_that_say_so(grid):
    table = segment_table(scaled(grid, 1.1), Volume(np.zeros(grid.shape), grid.affine), NAMES)
    assert [row.verdict for row in table.rows] == ["no figure", "no figure"]
