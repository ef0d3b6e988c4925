"""What a viewer does to a result, without the web: the scene shows it, the real host computes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_until

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient
from SITTranslateLib.host.requests import TranslateRequest
from SITTranslateLib.options import TranslationOptions
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.views import SliceView
from SITTranslateLib.scene.transforms import moved_points
from SITTranslateLib.scene.volumes import volume_from_node
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.translate.saving import save_translation
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.view.shown import Shown, opened, translated_now

INSIDE = np.array([[-12.0, -8.0, 12.0], [25.0, 10.0, 0.0]])


@pytest.fixture(scope="module")
def host() -> Iterator[HostClient]:
    with HostClient() as client:
        yield client


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Translation]:
    """A result whose oblique grid no NIfTI file holds to the last digit."""
    from synthetic_translation import synthetic_translation

    made = synthetic_translation()
    made = replace(made, provenance=replace(made.provenance, source_sha256=hash_of(made.source)))
    return save_translation(made, tmp_path_factory.mktemp("page") / "result"), made


@pytest.fixture
def views(app: Application) -> Iterator[None]:
    """What shows the nodes: Slicer's scene knows which volume a view shows only once the view is there."""
    app.show_layout()
    made = [SliceView(app, name, (120, 120)) for name in layout.SLICES]
    yield
    for view in made:
        view.close()


@pytest.fixture
def shown(app: Application, views: None, saved: tuple[Path, Translation], host: HostClient) -> Shown:
    return Shown(app.scene, opened(saved[0], host), host)


def done(shown: Shown) -> None:
    wait_until(lambda: not shown.busy, turn=shown.poll)


def moved(shown: Shown) -> np.ndarray:
    """What the motion node does to two points."""
    return moved_points(shown.nodes.motion, INSIDE) - INSIDE


def test_the_views_show_the_result(shown: Shown) -> None:
    assert shown.motions == ["glyphs", "grid", "contours", ""] and shown.maps == ["change", "jacobian", ""]
    titles = shown.titles()
    assert titles[layout.TRANSLATED] == "Translated (age +20)"
    assert titles[layout.CHANGE] == "How the intensity changed"
    assert any("the model's own" in sentence for sentence in shown.summary())
    assert "In 99 % of the head intensity changed by less than 68 (scan units)." in shown.summary()
    shown.nodes.ranges = replace(shown.nodes.ranges, faint=True)
    assert "In 99 % of the head intensity changed by less than 1 %." in shown.summary()
    background = layout.composite_node(shown.scene, layout.TRANSLATED).GetBackgroundVolumeID()
    assert background == shown.nodes.translated.GetID()


@pytest.mark.parametrize(("strength", "parts"), [(0.0, "both"), (0.5, "both"), (1.2, "anatomy"), (0.7, "intensity")])
def test_strength_and_parts_are_those_of_the_translation(
    shown: Shown, saved: tuple[Path, Translation], strength: float, parts: str
) -> None:
    shown.set_strength(strength, parts, final=True)
    done(shown)
    truth = saved[1].at(strength, spatial=parts != "intensity", intensity=parts != "anatomy")
    np.testing.assert_allclose(volume_from_node(shown.nodes.translated).array, truth.array, atol=0.05)
    glyphs = transform_display(shown.nodes.motion, "glyphs")
    if parts == "intensity":
        assert not glyphs.GetVisibility(), "nothing moves then"
    else:
        motion = saved[1].motion_at(strength)
        assert motion is not None and glyphs.GetVisibility()
        # The node is thinned to be drawn fast.
        np.testing.assert_allclose(moved(shown), fields.sample_field(motion, INSIDE), atol=0.08)
    assert shown.titles()[layout.TRANSLATED].endswith(
        {"both": "% of the change", "anatomy": ", anatomy only", "intensity": ", intensity only"}[parts]
    )


def test_only_the_last_wish_counts_and_the_slider_ends_where_it_ends(
    shown: Shown, saved: tuple[Path, Translation]
) -> None:
    for strength in (0.1, 0.4, 0.9, 5.0):
        shown.set_strength(strength, "both", final=False)
    done(shown)
    assert shown.strength == 1.5
    np.testing.assert_allclose(volume_from_node(shown.nodes.translated).array, saved[1].at(1.5).array, atol=0.05)
    shown.set_strength(1.0, "neither", final=True)
    assert shown.parts == "both" and not shown.busy


def test_maps_and_motion_are_switched(shown: Shown) -> None:
    composite = layout.composite_node(shown.scene, layout.CHANGE)
    for kind, node in (("jacobian", shown.nodes.jacobian), ("", None), ("change", shown.nodes.change)):
        shown.show_map(kind)
        assert composite.GetForegroundVolumeID() == (node.GetID() if node is not None else None)
    shown.show_motion("grid")
    drawn = [k for k in ("glyphs", "grid", "contours") if transform_display(shown.nodes.motion, k).GetVisibility()]
    assert drawn == ["grid"]
    shown.show_map("nonsense")
    shown.show_motion("nonsense")
    assert (shown.map, shown.motion) == ("change", "grid")


def test_points_are_traced_both_ways(shown: Shown, saved: tuple[Path, Translation]) -> None:
    truth = saved[1]
    assert truth.motion is not None
    heard: list[int] = []
    shown.changed.connect(lambda: heard.append(len(shown.points)))
    shown.trace(INSIDE[0], from_translated=False)
    shown.trace(INSIDE[1], from_translated=True)
    done(shown)
    assert heard[-1] == 2 and [p["label"] for p in shown.points] == ["P-1", "P-2"]
    there, back = shown.points
    np.testing.assert_allclose(
        np.subtract(there["translated"], there["source"]), fields.sample_field(truth.motion, INSIDE[:1])[0], atol=0.02
    )
    np.testing.assert_allclose(back["translated"], INSIDE[1], atol=1e-6)
    assert shown._pairs is not None and shown._pairs.source.GetNumberOfControlPoints() == 2
    assert not shown._pairs.source.GetSelectable()
    shown.jump(0)
    at = layout.slice_node(shown.scene, layout.TRANSLATED).GetSliceToRAS()
    assert at.GetElement(2, 3) == pytest.approx(there["translated"][2], abs=1e-3)
    shown.jump(7)
    node = shown._pairs.source
    shown.clear_points()
    assert shown.points == [] and not shown.scene.IsNodePresent(node)


def test_what_the_host_cannot_do_is_told(shown: Shown, host: HostClient) -> None:
    told: list[str] = []
    shown.message.connect(told.append)
    host.forget(shown.translation)
    shown.trace(INSIDE[0], from_translated=False)
    assert told == ["This result is no longer held; translate the scan again."] and not shown.busy
    shown.set_strength(0.5, "both", final=False)
    assert told[1:] == told[:1] and not shown.busy
    refused = shown.ask(TranslateRequest(shown.translation.source, "there-is-none"), told.append)
    while not refused.done:
        shown.poll()
    assert "no model" in told[2] and not shown.busy


def test_an_estimated_motion_has_no_strength(
    app: Application, views: None, tmp_path: Path, saved: tuple[Path, Translation], host: HostClient
) -> None:
    about = replace(saved[1], field_origin=FieldOrigin.ESTIMATED, intensity_change=None)
    shown = Shown(app.scene, opened(save_translation(about, tmp_path / "estimated"), host), host)
    assert not shown.can_be_recomposed and shown.map == "jacobian" and shown.maps == ["jacobian", ""]
    assert any("ESTIMATED" in sentence for sentence in shown.summary())
    assert "(estimated)" in shown.titles()[layout.MOTION]
    shown.set_strength(0.5, "both", final=True)
    assert shown.strength == 1.0 and not shown.busy


def test_what_is_no_result_is_refused(tmp_path: Path, host: HostClient) -> None:
    with pytest.raises(InputError, match="not the folder of a translation"):
        opened(tmp_path, host)
    with pytest.raises(InputError):
        translated_now(str(tmp_path / "none.nii.gz"), "brain-ageing-t1w", {}, host, TranslationOptions())
