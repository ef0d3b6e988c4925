"""The pipeline keeps the scan's own grid, units and voxels, and its parts give its result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import head, one_sentence, tiny_card, turned, write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib import fields
from SITTranslateLib.errors import InputError, PackageError
from SITTranslateLib.translate.head import locate_head, resample_itk
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.preparation import antialiased, around, network_grid
from SITTranslateLib.translate.restoration import faded_outwards
from SITTranslateLib.translate.verification import Status, verify
from SITTranslateLib.translation import FieldOrigin
from SITTranslateLib.volume import Grid, VectorField, Volume

#: What each variant of SIT must give: origin, field, intensity change, velocity.
VARIANTS = {
    "raw": (FieldOrigin.NONE, False, False, False),
    "it": (FieldOrigin.IDENTITY, False, True, False),
    "st": (FieldOrigin.MODEL, True, False, False),
    "dt": (FieldOrigin.MODEL, True, False, True),
    "sit": (FieldOrigin.MODEL, True, True, False),
    "dit": (FieldOrigin.MODEL, True, True, True),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    folder = tmp_path_factory.mktemp("models")
    return {v: load_model(write_tiny_package(folder / v, v), "cpu") for v in VARIANTS}


@pytest.fixture(scope="module")
def scan() -> Volume:
    return head(spacing=(2.5, 2.5, 3.0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_gives_its_parts_and_they_recompose(
    variant: str, models: dict[str, LoadedModel], scan: Volume
) -> None:
    origin, has_field, has_change, has_velocity = VARIANTS[variant]
    result = sit.translate(scan, models[variant], age=+10, lesions=5)
    assert result.field_origin is origin
    assert (result.sampling is not None, result.motion is not None, result.jacobian is not None) == (has_field,) * 3
    assert (result.intensity_change is not None) == has_change
    assert (result.velocity is not None) == has_velocity
    assert result.translated.grid.matches(scan.grid)
    assert np.abs(result.translated.array - scan.array).max() > 20, "the tiny model must change something"
    assert result.recomposition_error < 0.01 * 1000
    found = verify(result)
    # The raw generator gives an image alone: nothing can be recomposed, so that there is nothing to pass.
    assert found.status is (Status.PASS if has_field or has_change else Status.NO_FIGURE), found.verdict
    if has_field:
        assert result.motion.magnitude().max() > 0.3
    if result.sampling is not None or has_change:
        np.testing.assert_array_equal(result.at(1.0).array, result.translated.array)
    np.testing.assert_allclose(result.at(0.0).array, scan.array, atol=1e-3)


def test_no_change_asked_for_gives_the_scan_back_exactly(models: dict[str, LoadedModel], scan: Volume) -> None:
    result = sit.translate(scan, models["dit"], age=0)
    np.testing.assert_allclose(result.translated.array, scan.array, atol=1e-3)
    assert result.motion.magnitude().max() < 1e-6


def test_narrow_numbers_change_little_and_are_recorded(models: dict[str, LoadedModel], scan: Volume) -> None:
    exact, narrow = (sit.translate(scan, models["dit"], precision=p, age=+10) for p in ("float32", "bfloat16"))
    assert (exact.provenance.precision, narrow.provenance.precision) == ("float32", "bfloat16")
    off = np.abs(narrow.translated.array - exact.translated.array).max()
    assert 0 < off < 0.02 * np.ptp(scan.array), "bfloat16 was used, and changes the result a little"
    assert verify(narrow).passed
    with pytest.raises(InputError, match="float32, bfloat16"):
        sit.translate(scan, models["dit"], precision="float8")


def test_recomposition_is_measured_and_not_assumed(scan: Volume, tmp_path: Path) -> None:
    """A network whose field is not the one it used must show."""
    loaded = load_model(write_tiny_package(tmp_path / "tiny"), "cpu")
    honest = loaded.network.translate

    def lies(*arguments: object) -> object:
        output = honest(*arguments)
        return type(output)(**{**vars(output), "velocity": -output.velocity})

    loaded.network.translate = lies
    result = sit.translate(scan, loaded, age=30)
    assert result.recomposition_error > 0.01 * 1000
    assert verify(result).verdict.startswith("FAIL: the parts do not give the network's output")


GRIDS = {
    "oblique": {"rotation": turned((20, -10, 30)), "spacing": (2.0, 2.5, 3.0)},
    "LPS": {"rotation": np.diag([-1.0, -1.0, 1.0])},
    "sagittal": {"rotation": np.eye(3)[:, [1, 2, 0]], "spacing": (2.0, 2.0, 2.5), "size_mm": (210.0, 180.0, 180.0)},
    "left-handed": {"rotation": np.diag([-1.0, 1.0, 1.0])},
    "thick": {"spacing": (1.5, 1.5, 6.0)},
    "coarse": {"spacing": (5.0, 5.0, 5.0)},
}


@pytest.mark.parametrize("kind", GRIDS)
def test_result_does_not_depend_on_how_the_grid_lies(kind: str, models: dict[str, LoadedModel]) -> None:
    straight, other = head(), head(**GRIDS[kind])  # type: ignore[arg-type]
    one = sit.translate(straight, models["dt"], age=30)
    two = sit.translate(other, models["dt"], age=30)
    assert two.translated.grid.matches(other.grid)
    points = np.random.default_rng(0).uniform(-40, 40, (400, 3)) + np.array([5.0, -12.0, 8.0])
    a, b = (fields.sample_field(r.motion, points) for r in (one, two))
    assert np.abs(a).max() > 0.5
    # Another grid is another image of the same head: noise and resolution reach the untrained network.
    tolerance = 0.5 if kind in ("thick", "coarse") else 0.25
    assert np.percentile(np.abs(a - b), 95) < tolerance * np.percentile(np.abs(a), 95)


def test_units_and_scale_of_the_scan_are_kept(models: dict[str, LoadedModel]) -> None:
    small, large = head(gain=1.0), head(gain=5000.0)
    one, two = (sit.translate(v, models["dit"], age=10, force=True) for v in (small, large))
    np.testing.assert_allclose(two.translated.array, 5000 * one.translated.array, atol=20)
    np.testing.assert_allclose(two.intensity_change.array, 5000 * one.intensity_change.array, atol=20)


def test_nothing_changes_beyond_the_field_of_view_and_no_edge_shows(models: dict[str, LoadedModel]) -> None:
    scan = head(spacing=(4.0, 4.0, 4.0), size_mm=(330.0, 340.0, 320.0))
    result = sit.translate(scan, models["dit"], age=30)
    middle = np.array([5.0, -12.0, 8.0])
    k, j, i = np.indices(scan.shape)
    distance = np.abs(scan.grid.to_world(np.stack((i, j, k), axis=-1)) - middle) - np.array([96.0, 112.0, 96.0])
    beyond = distance.max(axis=-1) > 28
    assert beyond.sum() > 1000
    for array in (result.motion.magnitude(), result.sampling.magnitude(), result.intensity_change.array):
        assert np.abs(array[beyond]).max() == 0
        outside = np.where(distance.max(axis=-1) > 0, array, np.nan)
        steepest = max(np.nanmax(np.abs(np.diff(outside, axis=a))) for a in range(3))
        assert steepest < 0.4 * np.abs(array).max()
    assert np.all(result.jacobian.array[beyond] == 1)
    np.testing.assert_array_equal(result.translated.array[beyond], scan.array[beyond])


def test_fade_keeps_the_inside_and_ends_at_zero() -> None:
    field = VectorField(np.random.default_rng(0).normal(size=(6, 7, 8, 3)), np.diag([4.0, 4.0, 4.0, 1.0]))
    wide = faded_outwards(field)
    np.testing.assert_array_equal(wide.array[6:12, 6:13, 6:14], field.array)
    np.testing.assert_allclose(wide.grid.to_world(np.array([6.0, 6.0, 6.0])), 0)
    for axis in range(3):
        assert np.abs(np.take(wide.array, [0, -1], axis=axis)).max() < 1e-6


def test_same_seed_same_bytes_and_the_callers_random_numbers_are_left_alone(
    models: dict[str, LoadedModel], scan: Volume
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = sit.translate(scan, models["dit"], age=10, seed=3)
    assert torch.rand(1) == expected
    two = sit.translate(scan, models["dit"], age=10, seed=3)
    np.testing.assert_array_equal(one.translated.array, two.translated.array)
    made = one.provenance
    assert (made.package, made.version, made.system, made.seed, made.device) == ("dit", "0.1.0", "sit", 3, "cpu")
    assert made.attributes == {"age": 10.0}
    assert made.sha256 == models["dit"].package.sha256
    assert len(made.source_sha256) == 64 and "torch" in made.software


def test_source_hash_changes_with_voxels_and_with_place(scan: Volume) -> None:
    from SITTranslateLib.translate.provenance import hash_of

    shifted = scan.affine.copy()
    shifted[0, 3] += 0.01
    changed = scan.array.copy()
    changed[3, 3, 3] += 1
    hashes = {hash_of(scan), hash_of(Volume(scan.array, shifted)), hash_of(scan.with_array(changed))}
    assert len(hashes) == 3
    assert hash_of(Volume(scan.array, scan.affine, "other name")) == hash_of(scan)


def test_attributes_are_read_as_text_or_numbers_and_held_against_the_card(
    models: dict[str, LoadedModel], scan: Volume
) -> None:
    assert sit.translate(scan, models["it"], age="+10").provenance.attributes == {"age": 10.0}
    assert sit.translate(scan, models["it"]).provenance.attributes == {"age": 10.0, "lesions": 0.0}
    for attributes, expected in (
        ({"age": 31}, r"age=31 is out of range.*from -30 to \+30 years"),
        ({"age": "old"}, "must be a number in years"),
        ({"age": float("nan")}, "must be a number"),
        ({"weight": 3}, "has no attribute 'weight'; it knows age, lesions"),
    ):
        with pytest.raises(InputError, match=expected) as caught:
            sit.translate(scan, models["it"], attributes=attributes)
        assert one_sentence(str(caught.value))


def test_progress_goes_up_and_may_cancel(models: dict[str, LoadedModel], scan: Volume) -> None:
    seen: list[tuple[str, float]] = []
    sit.translate(scan, models["dit"], age=10, progress=lambda stage, fraction: seen.append((stage, fraction)))
    fractions = [f for _, f in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert "running the network" in {s for s, _ in seen}

    class CancelledError(Exception):
        pass

    def cancel(stage: str, fraction: float) -> None:
        if fraction > 0.2:
            raise CancelledError

    with pytest.raises(CancelledError):
        sit.translate(scan, models["dit"], age=10, progress=cancel)


def test_scan_may_be_a_path_and_the_room_can_be_called(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    scan = head(spacing=(4.0, 4.0, 4.0))
    path = sit.write_volume(scan, tmp_path / "scan.nii.gz")
    result = sit.translate(path, models["it"].package.folder, age=5)
    np.testing.assert_array_equal(result.source.array, scan.array)
    assert sit.translate.pipeline.translate is not None
    with pytest.raises(PackageError, match="There is no model"):
        sit.translate(scan, "nothing")


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "nonsense:1"])
def test_unknown_device_is_one_sentence(device: str, models: dict[str, LoadedModel], scan: Volume) -> None:
    with pytest.raises(InputError) as caught:
        sit.translate(scan, models["it"].package, device=device)
    assert one_sentence(str(caught.value))


def test_network_grid_is_centred_and_antialiasing_removes_what_it_cannot_hold() -> None:
    grid = network_grid(tiny_card().grid, np.array([3.0, -4.0, 5.0]))
    np.testing.assert_allclose(grid.centre, [3, -4, 5])
    checker = (np.indices((40, 40, 40)).sum(axis=0) % 2 * 100.0).astype(np.float32)
    smooth = antialiased(Volume(checker, np.eye(4)), 4.0)
    assert np.ptp(smooth.array[10:-10, 10:-10, 10:-10]) < 1.0
    np.testing.assert_array_equal(antialiased(Volume(checker, np.diag([4.0, 4, 4, 1])), 2.0).array, checker)


@pytest.mark.parametrize("kind", ["straight", *GRIDS])
def test_brain_is_found_on_any_grid(kind: str) -> None:
    seen = locate_head(head(**GRIDS.get(kind, {})))  # type: ignore[arg-type]
    assert not seen.skull
    np.testing.assert_allclose(seen.centre, (5, -12, 8), atol=4)


def test_preparing_sees_the_same_whether_or_not_the_rest_of_the_scan_is_there() -> None:
    # What lies outside the network's field of view is cut off before smoothing; nothing inside may notice.
    rng = np.random.default_rng(3)
    turn = np.array([[0.9, 0.3, 0.1, -40.0], [-0.3, 0.95, 0.0, -50.0], [0.0, 0.1, 1.2, -60.0], [0, 0, 0, 1]])
    scan = Volume(rng.standard_normal((90, 110, 100)).astype(np.float32), turn)
    grid = Grid.centred(scan.grid.to_world(np.array([50.0, 55.0, 45.0])), (20, 20, 20), 2.0)
    part = around(scan, grid, 2.0)
    assert np.prod(part.shape) < 0.5 * np.prod(scan.shape)
    whole, cut = (resample_itk(antialiased(v, 2.0), grid, 0.0).array for v in (scan, part))
    np.testing.assert_allclose(cut, whole, atol=1e-5)
