"""Pairs that are no good pairs: each gives one clear sentence, or a row that says why it has no figure."""

from __future__ import annotations

import numpy as np
import pytest
from moved_phantoms import oblique_grid, world
from test_estimate import head

from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability.tracing import IDENTICAL, trace_pair
from SITTranslateLib.volume import Grid, Volume


@pytest.fixture(scope="module")
def space() -> Grid:
    return oblique_grid((40, 44, 42), (2.0, 2.0, 2.2))


@pytest.fixture(scope="module")
def labels(space: Grid) -> Volume:
    """A ball inside, a slab cut off by the border of the scan; label 3 is named and empty."""
    array = (np.linalg.norm(world(space), axis=-1) < 12) * 1.0
    array[0, 10:30, 10:30] = 2
    return Volume(array, space.affine, "labels")


NAMES = {1: "ball", 2: "cut off", 3: "forgotten"}


def test_identical_images_are_called_so(space: Grid, labels: Volume) -> None:
    scan = head(space, "T1w", 1)
    found = trace_pair(scan, scan, labels, NAMES)
    assert (found.table.verdict, found.table.reasons) == ("traceable", (IDENTICAL,))
    assert found.identity.shares["source"] == 1.0
    assert found.table.row(1).change_percent == pytest.approx(0.0, abs=1e-9)


def test_rows_without_a_volume_afterwards_say_why_and_are_not_traceable(space: Grid, labels: Volume) -> None:
    found = trace_pair(head(space, "T1w", 1), head(space, "T1w", 2), labels, NAMES)
    ball, cut, forgotten = (found.table.row(label) for label in (1, 2, 3))
    assert ball.volume_after_mm3 is not None
    assert cut.volume_after_mm3 is None
    assert forgotten.volume_after_mm3 is None
    assert "touches the border" in cut.reason
    assert "empty" in forgotten.reason
    assert cut.verdict != "traceable"
    assert forgotten.verdict == "no figure"


def test_grids_that_differ_are_brought_together(space: Grid, labels: Volume) -> None:
    other = oblique_grid((50, 50, 50), (1.9, 1.8, 1.9))
    found = trace_pair(head(space, "T1w", 1), head(other, "T1w", 2), labels, NAMES)
    assert found.translation.translated.grid.matches(space)
    assert found.table.whole["motion_mean_mm"] < 0.5
    total = found.identity.explained.array + found.identity.residual.array
    np.testing.assert_allclose(total, found.translation.translated.array, rtol=0, atol=1e-4)  # of a range of 1000


@pytest.mark.parametrize("swapped", [False, True])
def test_a_label_map_as_image_is_refused_on_either_side(space: Grid, swapped: bool) -> None:
    scan = head(space, "T1w", 1)
    pair = (scan, scan.with_array(np.rint(np.linalg.norm(world(space), axis=-1) / 12), "map"))
    with pytest.raises(InputError, match="looks like a label map, not a scan"):
        trace_pair(*(reversed(pair) if swapped else pair))


def test_no_overlap_is_one_sentence_that_says_what_to_do(space: Grid) -> None:
    scan = head(space, "T1w", 1)
    affine = space.affine.copy()
    affine[:3, 3] += 400
    with pytest.raises(InputError, match="do not overlap in space; align them first") as refused:
        trace_pair(scan, Volume(scan.array, affine, "elsewhere"))
    assert "\n" not in str(refused.value)


def test_a_segmentation_drawn_elsewhere_is_refused(space: Grid, labels: Volume) -> None:
    affine = space.affine.copy()
    affine[:3, 3] += 500
    with pytest.raises(InputError, match="outside the scan"):
        trace_pair(head(space, "T1w", 1), head(space, "T1w", 2), Volume(labels.array, affine, "elsewhere"), NAMES)


def test_an_empty_segmentation_gives_rows_that_say_so(space: Grid) -> None:
    empty = Volume(np.zeros(space.shape), space.affine, "empty")
    found = trace_pair(head(space, "T1w", 1), head(space, "T1w", 2), empty, NAMES)
    assert [row.verdict for row in found.table.rows] == ["no figure"] * 3
    assert all(row.reason.startswith("empty") for row in found.table.rows)


def test_the_same_pair_gives_the_same_bytes(space: Grid, labels: Volume) -> None:
    import json

    first, second = (
        json.dumps(trace_pair(head(space, "T1w", 1), head(space, "T2w", 2), labels, NAMES).to_dict()) for _ in range(2)
    )
    assert first == second
