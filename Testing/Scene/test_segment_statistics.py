"""Motion and Jacobian in Slicer's Segment Statistics: closed forms, registered once, silent where unsure."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_translation import CENTRE, points_of

from SITTranslateLib import fields
from SITTranslateLib.scene import segment_statistics
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.result import add_translation
from SITTranslateLib.scene.segmentation import add_segmentation_node
from SITTranslateLib.scene.volumes import add_volume_node, array_to_matrix
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import LabelMap, VectorField, Volume

NAMES = {1: "Brain", 2: "Ball"}
STRETCH = 1.08


def stand_in() -> Any:
    """The stand-in lies beside this file, which need not be on the path."""
    path = Path(__file__).with_name("segment_statistics_module.py")
    spec = importlib.util.spec_from_file_location("segment_statistics_module", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def logic(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = stand_in().install(monkeypatch)
    assert segment_statistics.register()
    return found


@pytest.fixture(scope="module")
def stretched(translation: Translation) -> Translation:
    """The head stretched about its middle: |w| grows with the distance, J is the same everywhere."""
    grid = translation.source.grid
    motion = VectorField(((STRETCH - 1) * (points_of(grid) - CENTRE)).astype(np.float32), grid.affine)
    sampling = VectorField(((1 / STRETCH - 1) * (points_of(grid) - CENTRE)).astype(np.float32), grid.affine)
    return replace(translation, motion=motion, sampling=sampling, jacobian=fields.jacobian(motion))


def ball(grid: Any, radius: float = 20.0) -> Volume:
    return Volume((np.linalg.norm(points_of(grid) - CENTRE, axis=-1) < radius) * 2.0, grid.affine)


def test_a_stretched_ball_has_the_figures_of_the_closed_form(
    app: Application, stretched: Translation, logic: Any
) -> None:
    add_translation(stretched)
    segmentation = add_segmentation_node(app.scene, ball(stretched.source.grid), NAMES, "Segments")
    found = logic().computeStatistics(segmentation)
    # Mean distance from the middle of a ball: 3 R / 4.
    assert found["Ball", "motion_mean_mm"] == pytest.approx((STRETCH - 1) * 15.0, rel=0.02)
    assert found["Ball", "motion_p95_mm"] == pytest.approx((STRETCH - 1) * 20.0 * 0.95 ** (1 / 3), rel=0.02)
    assert found["Ball", "jacobian_mean"] == pytest.approx(STRETCH**3, rel=0.002)
    assert found["Ball", "volume_change_percent"] == pytest.approx(100 * (STRETCH**3 - 1), rel=0.01)
    assert ("Ball", "motion_max_mm") not in found  # not asked for by default


def test_it_agrees_with_the_segment_table(app: Application, translation: Translation, labels: Volume, logic: Any):
    from SITTranslateLib.traceability.segments import segment_table

    add_translation(translation)
    names = {2: "Ventricles"}
    found = logic().computeStatistics(add_segmentation_node(app.scene, labels, names, "Segments"))
    row = segment_table(translation, labels, names).row(2)
    assert found["Ventricles", "jacobian_mean"] == pytest.approx(row.jacobian_mean, rel=0.005)
    assert found["Ventricles", "motion_mean_mm"] == pytest.approx(row.motion_mean_mm, rel=0.03)


def test_the_run_of_the_chosen_volume_is_measured(
    app: Application, translation: Translation, stretched: Translation, logic: Any
) -> None:
    first = add_translation(stretched)
    add_translation(translation)
    segmentation = add_segmentation_node(app.scene, ball(stretched.source.grid), NAMES, "Segments")
    # The scan itself, as Slicer's module has it chosen, or a volume of its run; two patients, so nothing by guess.
    for scan in (first.source, first.translated):
        asked = logic().computeStatistics(segmentation, scan)
        assert asked["Ball", "jacobian_mean"] == pytest.approx(STRETCH**3, rel=0.002)
    assert logic().computeStatistics(segmentation) == {}
    other = add_volume_node(app.scene, translation.source, "a scan without a run")
    assert logic().computeStatistics(segmentation, other) == {}


def test_it_speaks_to_older_versions_without_a_title(
    app: Application, logic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = logic().plugins[0]

    def older(name: str, description: str, units: str) -> dict[str, str]:
        return {"name": name, "description": description, "units": units}

    assert plugin.getMeasurementInfo("motion_mean_mm")["title"] == "Mean motion"
    monkeypatch.setattr(type(plugin), "createMeasurementInfo", staticmethod(older))
    assert plugin.getMeasurementInfo("motion_mean_mm") == {
        "name": "Mean motion", "description": "Mean length of the motion |w| in the segment (SITTranslate).",
        "units": "mm",
    }  # fmt: skip


def test_nothing_is_said_of_segments_already_carried_or_outside(
    app: Application, stretched: Translation, logic: Any
) -> None:
    made = add_translation(stretched)
    segmentation = add_segmentation_node(app.scene, ball(stretched.source.grid), NAMES, "Segments")
    assert logic().computeStatistics(segmentation)
    segmentation.SetAndObserveTransformNodeID(made.motion.GetID())
    assert logic().computeStatistics(segmentation) == {}
    shift = app.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 300.0
    shift.SetMatrixTransformToParent(array_to_matrix(matrix))
    segmentation.SetAndObserveTransformNodeID(shift.GetID())
    assert logic().computeStatistics(segmentation) == {}


def test_no_run_no_figures(app: Application, translation: Translation, logic: Any) -> None:
    segmentation = add_segmentation_node(app.scene, ball(translation.source.grid), NAMES, "Segments")
    assert logic().computeStatistics(segmentation) == {}


def test_a_reload_does_not_double_it_and_without_the_module_it_is_left_out(logic: Any, monkeypatch) -> None:
    assert segment_statistics.register()
    assert [plugin.__name__ for plugin in logic.registeredPlugins] == [segment_statistics.PLUGIN_NAME]
    monkeypatch.setitem(__import__("sys").modules, "SegmentStatistics", None)
    assert not segment_statistics.register()


def test_segments_hold_the_voxels_of_their_label_whatever_its_number(app: Application) -> None:
    numbers = (3, 1001, 3_000_000_000)
    array = np.zeros((8, 8, 8), np.int64)
    for index, number in enumerate(numbers):
        array[2 * index : 2 * index + 2, 2:6, 2:6] = number
    node = add_segmentation_node(app.scene, LabelMap(array, np.eye(4)), dict(zip(numbers, "abc", strict=True)), "Odd")
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(3)]
    assert [segmentation.GetSegment(one).GetName() for one in ids] == list("abc")
    assert [len(segment_statistics.segment_points(node, one)) for one in ids] == [32, 32, 32]
    surfaces = [segmentation.GetSegment(one).GetRepresentation("Closed surface") for one in ids]
    assert all(surface.GetNumberOfPoints() > 0 for surface in surfaces)
