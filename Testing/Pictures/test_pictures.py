"""Semantic checks on pictures: they show what their titles say, on the right side, and say that they are synthetic."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_translation import in_steps

from SITTranslateLib.errors import InputError
from SITTranslateLib.scene import annotation, layout, presentation
from SITTranslateLib.scene.colours import MARK
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.headless import opengl
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.images import mosaic, write_png
from SITTranslateLib.scene.headless.pictures import Outlines, Studio, change_title, motion_title
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Volume

SIZE = (400, 340)
#: Rows that title and mark take.
BELOW_TITLE = 64
NAMES = {1: "Brain", 2: "Ventricles"}
Pixels = NDArray[np.uint8]


@pytest.fixture
def studio(app: Application, translation: Translation, labels: Volume) -> Iterator[Studio]:
    with Studio(translation, Outlines(labels, NAMES, 2), size=SIZE) as made:
        yield made


def test_a_long_title_leaves_the_upper_letter_free(studio: Studio) -> None:
    view = studio.views[layout.MOTION]
    heights = []
    for title in ("Motion", "How the anatomy moved (estimated)"):
        view.annotations.RemoveAllViewProps()
        annotation.annotate(view.annotations, title, synthetic=False)
        letter = annotation.add_sides(view.annotations, view.node)[2]
        heights.append(letter.GetPosition()[1])
    assert heights[0] == 0.985 and (0.985 - heights[1]) * view.size[1] == pytest.approx(60.0)


def colourful(pixels: Pixels) -> NDArray[np.bool_]:
    """Pixels that are clearly not grey."""
    return np.ptp(pixels.astype(int), axis=2) > 60


def amber(pixels: Pixels) -> int:
    """Pixels in the colour of the synthetic mark, under the title where it stands."""
    corner = pixels[:BELOW_TITLE, : pixels.shape[1] // 2].astype(int)
    return int(np.sum(np.abs(corner - np.array(MARK) * 255).max(axis=2) < 40))


def shot(studio: Studio, name: str, plane: str = "Axial", foreground: object = None, opacity: float = 0.0) -> Pixels:
    background = studio.result.translated if name == layout.TRANSLATED else studio.result.source
    return studio._slice(name, plane, background, foreground, opacity)


def test_the_patients_left_is_on_the_right(studio: Studio) -> None:
    """The head has a bright mark on its left only."""
    pixels = shot(studio, layout.SOURCE).astype(int)
    bright = (pixels.min(axis=2) > 200) & ~colourful(pixels.astype(np.uint8))
    centre = bright[60:-60, 40:-40]
    width = centre.shape[1]
    assert centre[:, width // 2 :].sum() > 200
    assert centre[:, width // 2 :].sum() > 20 * max(1, centre[:, : width // 2].sum())


def test_the_front_is_on_top(studio: Studio, translation: Translation) -> None:
    """Tissue gets darker in front of the ventricles only: its colour must lie in the upper half of an axial slice."""
    pixels = shot(studio, layout.CHANGE, foreground=studio.result.change, opacity=1.0)
    middle = colourful(pixels)[BELOW_TITLE:-40, : int(0.8 * SIZE[0])]
    half = middle.shape[0] // 2
    assert middle[:half].sum() > 10 * max(1, middle[half:].sum())


def test_every_synthetic_view_is_marked_and_the_source_is_not(studio: Studio) -> None:
    assert amber(shot(studio, layout.SOURCE)) == 0
    for name in (layout.TRANSLATED, layout.MOTION, layout.CHANGE):
        assert amber(shot(studio, name)) > 100, name
    studio._write_on(studio.space, "3D", synthetic=True)
    assert amber(studio.space.grab()) > 100


def test_arrows_are_seen_in_the_motion_view_only(studio: Studio) -> None:
    area = (slice(BELOW_TITLE, -50), slice(60, int(0.75 * SIZE[0])))
    assert colourful(shot(studio, layout.SOURCE))[area].sum() == 0
    assert colourful(shot(studio, layout.TRANSLATED))[area].sum() == 0
    with_arrows = colourful(shot(studio, layout.MOTION))[area].sum()
    assert with_arrows > 300
    presentation.show_motion(studio.app.scene, studio.result, None)
    assert colourful(shot(studio, layout.MOTION))[area].sum() == 0


@pytest.mark.parametrize("kind", ["glyphs", "grid", "contours"])
def test_each_way_of_showing_the_motion_draws_something_else(studio: Studio, kind: str) -> None:
    presentation.show_motion(studio.app.scene, studio.result, None)
    empty = shot(studio, layout.MOTION)
    presentation.show_motion(studio.app.scene, studio.result, kind)
    assert np.any(shot(studio, layout.MOTION) != empty, axis=2).sum() > 300
    for other in {"glyphs", "grid", "contours"} - {kind}:
        assert not transform_display(studio.result.motion, other).GetVisibility()


def test_expanded_is_orange_and_shrank_is_blue(studio: Studio) -> None:
    """The middle of the head expands; the map must be orange there and blue somewhere around it."""
    pixels = shot(studio, layout.CHANGE, foreground=studio.result.jacobian, opacity=1.0).astype(int)
    red, blue = pixels[..., 0], pixels[..., 2]
    height, width = SIZE[1], SIZE[0]
    middle = (slice(height // 2 - 12, height // 2 + 12), slice(width // 2 - 12, width // 2 + 12))
    assert np.mean((red - blue)[middle]) > 60
    # In % of the volume, what shrinks does so by less than what expands.
    ring = (blue - red > 20)[40:-40, 40 : int(0.8 * width)]
    assert ring.sum() > 300


def test_darker_is_violet(studio: Studio) -> None:
    pixels = shot(studio, layout.CHANGE, foreground=studio.result.change, opacity=1.0).astype(int)
    area = pixels[BELOW_TITLE:-40, 40 : int(0.8 * SIZE[0])]
    violet = (area[..., 2] - area[..., 1] > 60) & (area[..., 0] - area[..., 1] > 20)
    yellow = (area[..., 0] - area[..., 2] > 60) & (area[..., 1] - area[..., 2] > 60)
    assert violet.sum() > 200
    assert yellow.sum() == 0


def test_legends_belong_to_their_views_and_lie_beside_the_head(studio: Studio) -> None:
    edge = (slice(0, SIZE[1] // 2), slice(int(0.86 * SIZE[0]), SIZE[0]))
    with_legend = shot(studio, layout.MOTION, foreground=studio.result.distance)
    assert colourful(with_legend)[edge].sum() > 200
    for name in (layout.SOURCE, layout.TRANSLATED):
        assert colourful(shot(studio, name))[edge].sum() == 0
    plain = shot(studio, layout.SOURCE)
    assert plain[edge][..., 0].max() < 60 or np.mean(plain[edge] > 60) < 0.05, "the head reaches into the legend"


def test_carried_outlines_are_larger_than_those_on_the_source(studio: Studio) -> None:
    """The ventricles grow: the orange outline encloses more than the blue one, in the translated view only."""
    for node in studio._segments:
        node.GetDisplayNode().SetVisibility(1)
    before = shot(studio, layout.SOURCE).astype(int)
    after = shot(studio, layout.TRANSLATED).astype(int)
    orange = (after[..., 0] > 200) & (after[..., 2] < 110) & (after[..., 1] > 100)
    blue = (before[..., 2] > 200) & (before[..., 0] < 110)
    orange[:BELOW_TITLE] = False  # the mark is of a similar colour
    assert blue.sum() > 50
    assert orange.sum() > 50
    assert not ((before[..., 0] > 200) & (before[..., 2] < 110)).any()

    def box(mask: NDArray[np.bool_]) -> tuple[int, int]:
        rows, columns = np.nonzero(mask)
        return int(np.ptp(rows)), int(np.ptp(columns))

    assert box(orange)[0] > box(blue)[0]
    assert box(orange)[1] > box(blue)[1]


def test_all_pictures_are_drawn_once_and_none_is_blank(studio: Studio, tmp_path: Path) -> None:
    seen: list[float] = []
    pictures = studio.draw(tmp_path, lambda _stage, fraction: seen.append(fraction))
    assert [p.name for p in pictures] == ["overview", "close_up", "motion", "grid", "space", "jacobian", "change"]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    for picture in pictures:
        assert picture.path.stat().st_size > 10_000
        assert picture.caption.endswith(".")
    bundle = tmp_path / "scene.mrb"
    studio.save_scene(bundle)
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        fields = [m for m in archive.infolist() if "velocity" in m.filename]
        assert len(fields) == 1 and fields[0].compress_size < 0.6 * fields[0].file_size
    assert list(tmp_path.glob(".*")) == []


def test_after_the_pictures_all_views_show_one_slice(studio: Studio, tmp_path: Path) -> None:
    studio.draw(tmp_path)
    assert {view.node.GetOrientation() for view in studio.views.values()} == {"Axial"}
    heights = [view.node.GetSliceToRAS().GetElement(2, 3) for view in studio.views.values()]
    assert np.allclose(heights, studio.result.focus[2])


def test_pictures_are_the_same_every_time(app: Application, translation: Translation) -> None:
    shots = []
    for _ in range(2):
        with Studio(translation, size=SIZE) as studio:
            shots.append([shot(studio, name) for name in layout.SLICES])
    assert np.abs(np.array(shots[0], int) - np.array(shots[1], int)).max() <= 2


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (FieldOrigin.NONE, "Motion not known"),
        (FieldOrigin.IDENTITY, "did not move"),
        (FieldOrigin.ESTIMATED, "(estimated)"),
        (FieldOrigin.MODEL, "How the anatomy moved"),
    ],
)
def test_titles_say_where_the_field_is_from(
    app: Application, translation: Translation, tmp_path: Path, origin: FieldOrigin, words: str
) -> None:
    shown = replace(translation, field_origin=origin)
    if origin in (FieldOrigin.NONE, FieldOrigin.IDENTITY):
        shown = replace(shown, motion=None, sampling=None, velocity=None, jacobian=None)
    with Studio(shown, size=SIZE) as studio:
        assert words in motion_title(studio.result)
        assert {p.name for p in studio.draw(tmp_path)} >= {"overview", "change"}


@pytest.mark.parametrize(
    ("origin", "words"),
    [(FieldOrigin.MODEL, "The intensity did not change"), (FieldOrigin.NONE, "Intensity change not known")],
)
def test_a_model_without_intensity_change_shows_volumes_or_says_so(
    app: Application, translation: Translation, origin: FieldOrigin, words: str
) -> None:
    shown = replace(translation, field_origin=origin, intensity_change=None)
    with Studio(shown, size=SIZE) as studio:
        assert change_title(studio.result) == layout.EXPANSION_TITLE
        assert layout.composite_node(studio.app.scene, layout.CHANGE).GetForegroundVolumeID() == (
            studio.result.jacobian.GetID()
        )
    with Studio(replace(shown, jacobian=None), size=SIZE) as studio:
        assert change_title(studio.result) == words


def test_views_stay_linked_and_the_users_are_left_alone(studio: Studio) -> None:
    composite = layout.composite_node(studio.app.scene, layout.SOURCE)
    layout.link_views(studio.app.scene)
    assert composite.GetLinkedControl()
    view = studio.views[layout.SOURCE]
    view.logic.StartSliceOffsetInteraction()
    view.logic.SetSliceOffset(7.0)
    view.logic.EndSliceOffsetInteraction()
    assert studio.views[layout.MOTION].logic.GetSliceOffset() == pytest.approx(7.0)


def test_a_missing_opengl_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_PROBE", "raise SystemExit(1)")
    opengl.opengl_missing.cache_clear()
    try:
        with pytest.raises(InputError, match="libegl1 libegl-mesa0 libgl1-mesa-dri"):
            opengl.require_opengl()
    finally:
        opengl.opengl_missing.cache_clear()


def test_pictures_are_written_or_refused_in_one_sentence(messages: object, tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    write_png(pixels, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"'b\.png' cannot be written"):
        write_png(pixels, tmp_path / "missing" / "b.png")
    assert mosaic([[pixels, pixels], [pixels]]).shape == (14, 14, 3)


def test_what_the_model_gives_besides_is_drawn_over_the_source(translation: Translation, tmp_path: Path) -> None:
    source = translation.source
    labels = (source.array > 300.0).astype(np.float32)
    names = [f"attention {number}" for number in range(1, 5)]
    maps = {name: source.with_array(source.array / 500.0, name) for name in names}
    said_more = replace(translation, extras=maps | {"segmentation": source.with_array(labels, "segmentation")})
    with Studio(said_more, size=SIZE) as studio:
        pictures = {picture.name: picture for picture in studio.draw(tmp_path)}
        plain = shot(studio, layout.CHANGE)
        laid_over = shot(studio, layout.CHANGE, "Axial", studio.result.extras["segmentation"], 0.85)
    assert len(pictures["besides"].panels) == 4 and "1 more" in pictures["besides"].caption
    assert colourful(laid_over).sum() > 10 * max(1, colourful(plain).sum())


@pytest.mark.parametrize(("count", "drawn"), [(2, [0.5, 1.0]), (9, [0.5, 1.0])])
def test_the_steps_are_drawn_one_by_one(
    count: int, drawn: list[float], translation: Translation, tmp_path: Path
) -> None:
    stepwise = in_steps(translation, np.linspace(*drawn, count).tolist())
    with Studio(stepwise, size=SIZE) as studio:
        pictures = {picture.name: picture for picture in studio.draw(tmp_path)}
        panels = studio._steps()[3]
    shots = [shot for row in panels for shot in row]
    assert len(pictures["steps"].panels) == len(shots) == min(count, 6)
    assert ("3 more are in the scene" in pictures["steps"].caption) == (count == 9)
    assert len(pictures["besides"].panels) == 1, "a step is no map to lay over the source"
    head = [float(pixels[90:-90, 120:-120].mean()) for pixels in shots]
    assert head == sorted(head) and head[0] < 0.7 * head[-1]
    assert all(amber(pixels) > 20 for pixels in shots), "each says that it is synthetic"
