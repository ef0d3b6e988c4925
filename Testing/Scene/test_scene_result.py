"""A translation in the scene: complete, in one folder, with provenance; on failure nothing; and it survives a save."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_translation import CENTRE
from vtk.util.numpy_support import vtk_to_numpy

from SITTranslateLib.scene import hierarchy, layout, presentation, result
from SITTranslateLib.scene.annotation import SYNTHETIC, side_letter
from SITTranslateLib.scene.colours import SIZE
from SITTranslateLib.scene.display import decimals, grey_range, head_mask, round_up, transform_display
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.bundle import save_bundle
from SITTranslateLib.scene.result import add_translation, request_text
from SITTranslateLib.scene.table import add_table_node, rows_of_node
from SITTranslateLib.scene.transforms import field_of_node, moved_points
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation

ROWS = [
    {"name": "Ventricles", "change_percent": 12.5, "dice": None},
    {"name": "Brain", "change_percent": -1.0, "dice": 0.9},
]


def everything(app: Application) -> list[tuple[str, str]]:
    nodes = [app.scene.GetNthNode(index) for index in range(app.scene.GetNumberOfNodes())]
    return [(node.GetID(), node.GetName()) for node in nodes]


def items(app: Application) -> int:
    return int(hierarchy.subject_hierarchy(app.scene).GetNumberOfItems())


def test_everything_stands_in_one_folder_beside_the_input(app: Application, translation: Translation) -> None:
    tree = hierarchy.subject_hierarchy(app.scene)
    source = add_volume_node(app.scene, translation.source, "MR head")
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "Patient"), "Study")
    tree.CreateItem(study, source)
    made = add_translation(translation, source, rows=ROWS)
    assert made.source is source
    assert tree.GetItemParent(made.folder) == study
    inside = hierarchy.nodes_in(app.scene, made.folder)
    assert {node.GetID() for node in inside} == {node.GetID() for node in made.nodes}
    for node in (made.translated, made.sampling, made.motion, made.distance, made.jacobian, made.change, made.table):
        assert node in inside


def test_two_runs_have_two_folders_and_can_be_removed_apart(app: Application, translation: Translation) -> None:
    source = add_volume_node(app.scene, translation.source, "MR head")
    first, before = add_translation(translation, source), everything(app)
    second = add_translation(translation, source)
    assert first.folder != second.folder
    assert first.translated.GetName() != second.translated.GetName()
    hierarchy.remove_folder(app.scene, second.folder)
    left = everything(app)
    assert set(left) - set(before) <= {(source.GetID(), "MR head")}
    assert {node.GetID() for node in first.nodes} <= {identifier for identifier, _ in left}


def test_results_say_that_they_are_synthetic_and_where_they_are_from(
    app: Application, translation: Translation
) -> None:
    made = add_translation(translation)
    assert SYNTHETIC in made.translated.GetName()
    for node in made.nodes:
        assert node.GetAttribute("SITTranslate.Synthetic") == "1"
        assert node.GetAttribute("SITTranslate.FieldOrigin") == "model"
        assert SYNTHETIC in node.GetDescription().lower()
        assert json.loads(node.GetAttribute("SITTranslate.Provenance"))["attributes"] == {"age": 20.0}
    assert made.source.GetAttribute("SITTranslate.Synthetic") is None


@pytest.mark.parametrize("step", ["sampling", "_map", "motion", "distance", "expansion", "change", "table", "outline"])
def test_a_failure_leaves_the_scene_as_it_was(
    app: Application, translation: Translation, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    add_volume_node(app.scene, translation.source, "MR head")
    add_translation(translation)  # tables of colours are there already, as in a second run
    nodes, count = everything(app), items(app)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(result._Builder, step, fail)
    with pytest.raises(RuntimeError, match="no memory"):
        add_translation(translation, rows=ROWS)
    assert everything(app) == nodes
    assert items(app) == count


def test_a_failure_in_an_empty_scene_leaves_it_empty(
    app: Application, translation: Translation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hierarchy.subject_hierarchy(app.scene)
    nodes = everything(app)
    monkeypatch.setattr(result._Builder, "outline", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        add_translation(translation)
    assert everything(app) == nodes


def test_values_in_the_scene_are_the_translations(app: Application, translation: Translation) -> None:
    made = add_translation(translation)
    assert np.array_equal(volume_from_node(made.translated).array, translation.translated.array)
    head = translation.source.array > 100
    assert np.allclose(
        volume_from_node(made.jacobian).array[head], 100.0 * (translation.jacobian.array - 1.0)[head], atol=1e-3
    )
    assert np.array_equal(volume_from_node(made.change).array[head], translation.intensity_change.array[head])
    moved = moved_points(made.motion, CENTRE[None] + [[14.0, 0.0, 0.0]])[0]
    assert moved[0] > CENTRE[0] + 15.5, "the ventricles' outer side must go outwards"


def test_ranges_are_symmetric_shared_and_readable(app: Application, translation: Translation) -> None:
    made = add_translation(translation)
    for node, bound in ((made.jacobian, made.ranges.expansion), (made.change, made.ranges.change)):
        display = node.GetDisplayNode()
        assert display.GetAutoWindowLevel() == 0
        assert display.GetWindowLevelMin() == pytest.approx(-bound)
        assert display.GetWindowLevelMax() == pytest.approx(bound)
    grey = [(n.GetDisplayNode().GetWindow(), n.GetDisplayNode().GetLevel()) for n in (made.source, made.translated)]
    assert grey[0] == grey[1]
    glyphs = transform_display(made.motion, "glyphs")
    assert glyphs.GetScalarRange()[1] == pytest.approx(made.ranges.motion_mm)
    assert glyphs.GetGlyphScalePercent() * made.ranges.motion_mm == pytest.approx(160 * glyphs.GetGlyphSpacingMm())
    assert made.distance.GetDisplayNode().GetWindowLevelMax() == pytest.approx(made.ranges.motion_mm)


def test_the_focus_is_where_most_changed(app: Application, translation: Translation) -> None:
    made = add_translation(translation)
    assert np.linalg.norm(made.focus - CENTRE) < 45
    low, high = made.box
    assert np.all(low < CENTRE - 45)
    assert np.all(high > CENTRE + 45)


@pytest.mark.parametrize("origin", [FieldOrigin.IDENTITY, FieldOrigin.NONE])
def test_a_translation_without_motion_is_shown_without_one(
    app: Application, translation: Translation, origin: FieldOrigin
) -> None:
    bare = replace(
        translation, velocity=None, motion=None, sampling=None, jacobian=None, field_origin=origin,
        intensity_change=None if origin is FieldOrigin.NONE else translation.intensity_change,
    )  # fmt: skip
    made = add_translation(bare)
    assert made.motion is made.sampling is made.jacobian is made.distance is None
    assert (made.change is None) == (origin is FieldOrigin.NONE)
    presentation.show_motion(app.scene, made, "glyphs")


def test_a_translation_that_changed_nothing_is_shown(app: Application, translation: Translation) -> None:
    still = replace(
        translation,
        motion=replace(translation.motion, array=0 * translation.motion.array),
        sampling=replace(translation.sampling, array=0 * translation.sampling.array),
        jacobian=translation.jacobian.with_array(np.ones_like(translation.jacobian.array)),
        intensity_change=translation.intensity_change.with_array(0 * translation.intensity_change.array),
    )
    made = add_translation(still)
    assert made.ranges.motion_mm == 0
    assert made.ranges.faint
    assert made.ranges.expansion >= 0.1, "rounding must not look like a finding"
    assert made.ranges.change >= 0.02 * made.ranges.grey[1]


def test_the_air_around_the_head_is_not_shown(app: Application, translation: Translation) -> None:
    """Whatever a model does to air: maps and arrows end a few millimetres outside the head."""
    everywhere = replace(
        translation,
        motion=replace(translation.motion, array=np.full_like(translation.motion.array, 4.0)),
        intensity_change=translation.intensity_change.with_array(np.full_like(translation.source.array, 50.0)),
    )
    made = add_translation(everywhere)
    corner, middle = translation.source.grid.to_world(np.array([[1.0, 1.0, 1.0]])), CENTRE[None]
    assert moved_points(made.motion, corner) == pytest.approx(corner, abs=1e-3)
    assert moved_points(made.motion, middle) == pytest.approx(middle + 4.0, abs=1e-2)
    change = volume_from_node(made.change).array
    middle_voxel = tuple(n // 2 for n in change.shape)
    assert np.isnan(change[0, 0, 0])
    assert change[middle_voxel] == 50
    # Drawn over the scan, the map is transparent where it has no value.
    drawing = made.change.GetDisplayNode().GetImageDataConnection().GetProducer()
    drawing.Update()
    colours = vtk_to_numpy(drawing.GetOutput().GetPointData().GetScalars()).reshape(*change.shape, 4)
    assert colours[0, 0, 0, 3] == 0
    assert colours[(*middle_voxel, 3)] == 255


@pytest.mark.parametrize("air", ["undershoot of resampling", "CT with padding"])
def test_odd_voxels_darker_than_air_do_not_make_air_a_head(translation: Translation, air: str) -> None:
    scan = translation.source.array.copy()
    inside = scan > 0
    if air == "CT with padding":
        scan = np.where(inside, 40.0, -1000.0).astype(np.float32)
        scan[:, :6] = -3024.0
        inside[:, :6] = False
        level = -1024.0
    else:
        scan[inside & (np.random.default_rng(0).random(scan.shape) < 0.002)] = -90.0
        level = 0.0
    assert grey_range(scan)[0] == level
    assert np.mean(head_mask(scan) == inside) > 0.995


def test_everything_survives_a_saved_bundle(app: Application, translation: Translation, tmp_path: Path) -> None:
    app.show_layout()
    made = add_translation(translation, rows=ROWS)
    names = {role: getattr(made, role).GetName() for role in ("translated", "sampling", "motion", "jacobian", "change")}
    table_name, folder = made.table.GetName(), hierarchy.subject_hierarchy(app.scene).GetItemName(made.folder)
    bundle = tmp_path / "scene.mrb"
    save_bundle(app.scene, made.nodes, bundle)
    app.clear()
    assert app.scene.GetFirstNodeByName(names["translated"]) is None
    assert app.scene.ReadFromMRB(str(bundle), True)
    back = {role: app.scene.GetFirstNodeByName(name) for role, name in names.items()}
    assert all(back.values())
    assert np.array_equal(volume_from_node(back["translated"]).array, translation.translated.array)
    inner = (slice(2, -2),) * 3
    assert np.allclose(field_of_node(back["sampling"]).array[inner], translation.sampling.array, atol=1e-6)
    assert back["sampling"].GetTransformFromParentAs("vtkOrientedGridTransform", False, True) is not None
    assert back["motion"].GetTransformToParentAs("vtkOrientedGridTransform", False, True) is not None
    assert back["motion"].GetAttribute("SITTranslate.FieldOrigin") == "model"
    assert SYNTHETIC in back["translated"].GetDescription().lower()
    assert rows_of_node(app.scene.GetFirstNodeByName(table_name))[0]["name"] == "Ventricles"
    display = back["jacobian"].GetDisplayNode()
    assert display.GetColorNode().GetName() == "SITTranslate shrank or expanded"
    rgba = [0.0] * 4
    display.GetColorNode().GetColor(SIZE // 2, rgba)
    assert max(rgba[:3]) - min(rgba[:3]) < 0.03, "where nothing changed the map is grey"
    assert transform_display(back["motion"], "glyphs").GetScalarRange()[1] == pytest.approx(made.ranges.motion_mm)
    tree = hierarchy.subject_hierarchy(app.scene)
    assert tree.GetItemByName(folder) != tree.GetInvalidItemID()


def test_the_layout_is_entered_and_left(app: Application) -> None:
    app.show_layout()
    node = layout.layout_node(app.scene)
    node.SetViewArrangement(3)
    before = layout.enter_layout(app.scene)
    assert before == 3
    assert node.GetViewArrangement() == layout.LAYOUT_ID
    for name in layout.SLICES:
        view = layout.slice_node(app.scene, name)
        assert view.GetID() == layout.view_id(name)
        assert view.GetViewGroup() == layout.VIEW_GROUP
    layout.leave_layout(app.scene, before)
    assert node.GetViewArrangement() == 3
    layout.leave_layout(app.scene, 1)
    assert node.GetViewArrangement() == 3, "the user's own choice is kept"


def test_tables_keep_text_numbers_and_gaps(app: Application) -> None:
    rows = rows_of_node(add_table_node(app.scene, ROWS, "t"))
    assert rows[0]["name"] == "Ventricles"
    assert rows[1]["change_percent"] == -1.0
    assert np.isnan(rows[0]["dice"])
    assert rows[1]["dice"] == 0.9
    assert add_table_node(app.scene, [], "empty").GetTable().GetNumberOfRows() == 0


@pytest.mark.parametrize(
    ("value", "expected"), [(1.541, 1.6), (0.0432, 0.044), (110.0, 110.0), (0.0, 0.0), (99.5, 100.0)]
)
def test_legends_end_on_a_readable_number(value: float, expected: float) -> None:
    assert round_up(value) == pytest.approx(expected)
    assert decimals(110) == 0
    assert decimals(0.5) == 2


def test_sides_are_named_as_patients_have_them() -> None:
    assert [
        side_letter(np.array(v)) for v in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
    ] == list("RLAPSI")


def test_views_made_one_by_one_are_those_of_the_layout(app: Application) -> None:
    import slicer

    def views(*, before: bool) -> tuple[int, list[tuple[Any, ...]]]:
        scene, logic = slicer.vtkMRMLScene(), slicer.vtkMRMLLayoutLogic()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        logic.SetMRMLScene(scene)
        steps = len(list(layout.making_views(scene))) if before else 0
        layout.enter_layout(scene)
        nodes = [scene.GetNodeByID(layout.view_id(name)) for name in (*layout.SLICES, layout.THREE_D)]
        return steps, [
            (node.GetName(), node.GetLayoutName(), node.GetLayoutLabel(), node.GetLayoutColor(), node.GetViewGroup(),
             node.GetOrientation() if node.IsA("vtkMRMLSliceNode") else None, scene.GetNumberOfNodes())
            for node in nodes
        ]  # fmt: skip

    count, made = views(before=True)
    assert count == 5 and made == views(before=False)[1]


def test_a_title_says_the_target_and_not_its_number(translation: Translation) -> None:
    asked = {"target": 1.0, "source": 2.0, "intermediate": 1.0, "steps": 2.0}
    made = replace(translation, provenance=replace(translation.provenance, attributes=asked, target="FLAIR"))
    assert request_text(made.provenance) == "target FLAIR"
    assert request_text(translation.provenance) == "age +20"


def test_a_title_tells_what_is_known_of_the_scan_from_what_is_asked(translation: Translation) -> None:
    record = replace(
        translation.provenance, attributes={"age": 60.0, "years": 20.0}, roles={"age": "known", "years": "a later one"}
    )
    assert request_text(record) == "years +20 from age 60"
    worded = replace(record, words={"years": "many"})
    assert request_text(Provenance.from_dict(worded.to_dict())) == "years many from age 60"
    assert "words" not in record.to_dict()
    assert record.in_words() == {"age": "60", "years": "+20"}


def test_the_camera_of_the_3d_view_sees_the_whole_head(app: Application) -> None:
    # Where a 3D view was drawn before, its camera is there.
    cameras = app.scene.GetNodesByClass("vtkMRMLCameraNode")
    cameras = [cameras.GetItemAsObject(index) for index in range(cameras.GetNumberOfItems())]
    camera = next((node for node in cameras if node.GetLayoutName() == layout.THREE_D), None)
    if camera is None:
        camera = app.scene.AddNewNodeByClass("vtkMRMLCameraNode")
        camera.SetLayoutName(layout.THREE_D)
    box = np.array([[-70.0, -90.0, -60.0], [70.0, 110.0, 120.0]])
    for size in ((300, 900), (900, 300)):
        presentation.frame_3d(app.scene, box, size)
        seen = camera.GetCamera().GetCompositeProjectionTransformMatrix(size[0] / size[1], 0.0, 1.0)
        corners = np.array(np.meshgrid(*box.T)).reshape(3, -1).T
        places = np.array([seen.MultiplyPoint((*corner, 1.0)) for corner in corners])
        places = places[:, :2] / places[:, 3:]
        # All corners inside the view, and the outermost at its edge where room is scarce.
        np.testing.assert_array_less(np.abs(places), 1.0 + 1e-9)
        assert np.abs(places[:, 0 if size[0] < size[1] else 1]).max() > 0.95
    np.testing.assert_allclose(camera.GetFocalPoint(), (0.0, 10.0, 30.0))
    assert camera.GetPosition()[1] > 110.0 and camera.GetPosition()[0] < 0.0 and camera.GetPosition()[2] > 30.0
