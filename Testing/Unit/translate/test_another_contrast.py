"""Translation to another contrast: its own units, the scan's own grid and detail, labels that stay labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import head, tiny_card

from SITTranslateLib import systems
from SITTranslateLib.errors import PackageError
from SITTranslateLib.fields import resample_volume
from SITTranslateLib.packages import ModelCard, NetworkGrid, System, TargetScale, write_package
from SITTranslateLib.translate.model import LoadedModel, load_model
from SITTranslateLib.translate.normalisation import HOUNSFIELD, to_native, to_network
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.saving import read_translation, save_translation
from SITTranslateLib.translate.upsampling import local_slope, on_scan_grid
from SITTranslateLib.translate.verification import Status, verify
from SITTranslateLib.translation import FieldOrigin
from SITTranslateLib.volume import Grid, Volume

SASAN = {"directions": ["T1w>CT"], "attention_widths": [4, 6, 8], "widths": [4, 6, 8], "hidden": 4, "maps": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.manual_seed(2)
    card = tiny_card(
        system=System("sasan", SASAN), attributes=(), targets=("CT",), target_scale=HOUNSFIELD,
        grid=NetworkGrid(4.0, (48, 56, 48)),
    )  # fmt: skip
    network = systems.create("sasan", SASAN)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return load_model(write_package(folder, card, network.state_dict()), "cpu")


def test_a_scan_becomes_the_target_in_its_units_on_its_own_grid(model: LoadedModel, tmp_path: Path) -> None:
    scan = head(spacing=(2.5, 2.5, 3.0))
    result = translate(scan, model)
    assert result.field_origin is FieldOrigin.IDENTITY and result.sampling is None
    assert result.translated.grid.matches(scan.grid)
    assert result.translated.array.min() >= -1400
    # The change was made of the two images: nothing could have been found wrong.
    assert verify(result).status is Status.NO_FIGURE, verify(result).verdict
    np.testing.assert_allclose(result.at(1.0).array, result.translated.array, atol=1e-2)
    assert set(result.extras) == {"attention 1", "attention 2", "segmentation"}
    numbers = np.unique(result.extras["segmentation"].array)
    np.testing.assert_array_equal(numbers, np.rint(numbers))
    back = read_translation(save_translation(result, tmp_path / "result"))
    assert set(back.extras) == set(result.extras)


def test_beyond_the_networks_grid_there_is_air(model: LoadedModel) -> None:
    wide = head(spacing=(4.0, 4.0, 4.0), size_mm=(320.0, 320.0, 320.0))
    assert float(translate(wide, model).translated.array[0, 0, 0]) == pytest.approx(-1000.0, abs=1.0)


def test_units_there_and_back() -> None:
    values = np.array([-1000, -400, 30, 900, 1600], np.float32)
    np.testing.assert_allclose(to_native(to_network(values, HOUNSFIELD), HOUNSFIELD), values, rtol=1e-4)
    tissue = to_network(np.array([28, 37], np.float32), HOUNSFIELD)
    assert tissue[1] - tissue[0] > 0.04, "grey and white matter must be apart for a network to learn them"


@pytest.mark.parametrize("scale", [
    TargetScale("HU", (0.0, 1.0), (5.0, 5.0)), TargetScale("HU", (0.0, 1.0, 2.0), (0.0, 1.0)),
])  # fmt: skip
def test_a_scale_that_does_not_rise_is_refused(scale: TargetScale) -> None:
    with pytest.raises(PackageError, match="does not rise"):
        ModelCard.from_dict({
            **tiny_card(target_scale=scale).to_dict(),
            "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
        })  # fmt: skip


def test_a_card_without_a_scale_reads_and_writes_as_before() -> None:
    assert "target_scale" not in tiny_card().to_dict()


def fine_and_coarse() -> tuple[Volume, Volume, Grid]:
    """A scan of 1 mm with stripes finer than the 2 mm network sees."""
    fine = Grid((40, 40, 40), np.eye(4))
    coarse = Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]) + np.array([[0, 0, 0, 0.5]] * 3 + [[0, 0, 0, 0]]))
    _, j, i = np.indices(fine.shape)
    wave = np.sin(2 * np.pi * i / 7.0) * np.cos(2 * np.pi * j / 11.0)
    source = Volume((500 + 200 * wave).astype(np.float32), fine.affine)
    return source, resample_volume(source, coarse), coarse


def test_the_scans_detail_is_carried_over_with_the_right_sign() -> None:
    source, seen, _ = fine_and_coarse()
    truth = source.with_array(900 - 0.8 * source.array)
    target = seen.with_array(900 - 0.8 * seen.array)
    plain = resample_volume(target, source.grid).array
    inside = (slice(6, -6),) * 3
    blurred = np.abs(plain - truth.array)[inside].mean()
    sharp = np.abs(on_scan_grid(source, seen, target, 0.0).array - truth.array)[inside].mean()
    assert sharp < 0.4 * blurred
    assert float(np.median(local_slope(seen, target).array[3:-3, 3:-3, 3:-3])) == pytest.approx(-0.8, abs=0.15)


def test_nothing_at_the_edge_is_darker_than_air() -> None:
    """A head that ends at once beside air: the line through both, continued, would go below it."""
    fine = Grid((40, 40, 40), np.eye(4))
    coarse = Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]) + np.array([[0, 0, 0, 0.5]] * 3 + [[0, 0, 0, 0]]))
    _, _, i = np.indices(fine.shape)
    source = Volume(np.where(i < 21, 600.0, 0.0).astype(np.float32), fine.affine)
    seen = resample_volume(source, coarse)
    made = on_scan_grid(source, seen, seen.with_array(0.5 * seen.array), 0.0).array
    assert made.min() == 0.0 and made[20, 20, 10] == pytest.approx(300.0, abs=1.0)


def test_noise_is_not_carried_over() -> None:
    source, seen, coarse = fine_and_coarse()
    flat = seen.with_array(np.full(coarse.shape, 300.0, np.float32))
    np.testing.assert_allclose(on_scan_grid(source, seen, flat, 0.0).array[6:-6, 6:-6, 6:-6], 300.0, atol=1e-2)
