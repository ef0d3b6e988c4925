"""The network between MR contrasts: units, air, orientation and the choice of source and target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SITTranslateLib.systems import create
from SITTranslateLib.systems.regression.multi_contrast import (
    LEVEL,
    SPREAD,
    MultiContrastNetwork,
    by_intensity_curve,
    middle_of_brain,
    middle_values,
    tissue_mask,
    trimmed_statistics,
)

NAMES = ("T1w", "T2w", "FLAIR")


@pytest.fixture
def image() -> torch.Tensor:
    k, j, i = np.indices((24, 32, 28))
    radius = ((k - 11.5) / 9) ** 2 + ((j - 15.5) / 12) ** 2 + ((i - 13.5) / 10) ** 2
    array = np.where(radius < 1, 0.4 + 0.2 * (radius < 0.4), 0.0).astype(np.float32)
    array += np.where(radius < 1, 0.02 * np.sin(i), 0.0).astype(np.float32)
    return torch.from_numpy(array)[None, None]


def test_a_gain_of_the_scan_changes_nothing(image: torch.Tensor) -> None:
    network = MultiContrastNetwork(NAMES, widths=(2, 4))
    one, other = (network.standardised(image * gain, 4.0) for gain in (1.0, 1.2))
    inside = image > 0
    torch.testing.assert_close(one[inside], other[inside], rtol=1e-3, atol=2e-2)
    values = middle_values(image[0, 0].numpy(), 4.0)
    mean, spread = trimmed_statistics(values)
    assert 0.4 < mean < 0.6 and 0.05 < spread < 0.15


def test_target_and_source_are_chosen_by_number(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = create(
        "multi_contrast",
        {"contrasts": NAMES, "targets": ["T2w", "FLAIR"], "sources": ["FLAIR", "T2w", "T1w"], "widths": (4, 8)},
    ).eval()
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    means, _ = network.everything(image, "T1w", 4.0)  # type: ignore[operator]
    answer = network.translate(image, {"target": 0, "source": 3}, affine)  # type: ignore[operator]
    inside = torch.from_numpy(tissue_mask(image[0, 0].numpy())) > 0
    torch.testing.assert_close(answer.translated[0, 0][inside], (LEVEL + SPREAD * means[1]).clamp(0, 4)[inside])
    assert answer.keeps_geometry and not answer.extras
    assert float(answer.translated[0, 0][~inside].abs().max()) == 0.0
    other = network.translate(image, {"target": 0, "source": 2}, affine)  # type: ignore[operator]
    assert float((other.translated - answer.translated).abs().max()) > 1e-4


def test_uncertainty_is_there_only_with_its_calibration(image: torch.Tensor) -> None:
    network = MultiContrastNetwork(NAMES, widths=(2, 4), coverage=(1.0, 2.0, 3.0)).eval()
    _, scales = network.everything(image, "", 4.0)
    answer = network.translate(image, {"target": 1}, np.diag([4.0, 4.0, 4.0, 1.0]))
    inside = torch.from_numpy(tissue_mask(image[0, 0].numpy())) > 0
    torch.testing.assert_close(answer.extras["uncertainty"][0, 0][inside], (2.0 * SPREAD * scales[1].exp())[inside])


def test_mirrored_heads_are_cut_alike(image: torch.Tensor) -> None:
    """Each axis is sliced: a constant network gives a constant, wherever the slice lies."""
    network = MultiContrastNetwork(NAMES, widths=(2, 4)).eval()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    network.mean.bias.data.fill_(1.0)  # type: ignore[union-attr]
    means, _ = network.everything(image, "T2w", 4.0)
    inside = image[0, 0] > 0
    torch.testing.assert_close(means[0][inside], torch.ones_like(means[0][inside]))


def test_cut_slices_give_what_whole_ones_give(image: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = MultiContrastNetwork(NAMES, widths=(4, 8)).eval()
    cut, _ = network.everything(image, "T1w", 4.0)
    monkeypatch.setattr(network, "_window", lambda tissue, shape: (slice(0, shape[0]), slice(0, shape[1])))
    whole, _ = network.everything(image, "T1w", 4.0)
    inside = torch.from_numpy(tissue_mask(image[0, 0].numpy())) > 0
    torch.testing.assert_close(cut[:, inside], whole[:, inside], atol=1e-3, rtol=1e-3)


def test_the_curve_is_the_mean_of_what_one_brightness_became() -> None:
    rng = np.random.default_rng(0)
    scan = rng.uniform(-2, 2, (24, 24, 24)).astype(np.float32)
    noise = rng.normal(0, 0.3, scan.shape).astype(np.float32)
    curve = by_intensity_curve(scan, np.exp(scan) + noise, scan.ravel(), (np.exp(scan) + noise).ravel())
    # The noise is gone but for its mean over a 64th of the voxels; both ends are flat over half a bin.
    inner = np.abs(scan) < 1.9
    np.testing.assert_allclose(curve[inner], np.exp(scan)[inner], atol=0.1)
    few = scan[:2, :2, :2]
    np.testing.assert_array_equal(by_intensity_curve(few, 3 * few, few.ravel(), 3 * few.ravel()), 3 * few)


def test_the_curve_has_its_share_in_its_directions_alone(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = MultiContrastNetwork(NAMES, widths=(4, 8)).eval()
    plain = {source: network.everything(image, source, 2.0)[0] for source in ("T1w", "FLAIR", "")}
    network.curve = {"T1w>T2w": 0.25, ">T2w": 1.0}
    inside = image[0, 0] > 0
    brain = middle_of_brain(image[0, 0].numpy(), 2.0)
    scan = network.standardised(image, 2.0)[0, 0].numpy()
    chosen = np.zeros(scan.shape, bool)
    chosen[brain[0]] = brain[1]
    for source, share in (("T1w", 0.25), ("", 1.0), ("FLAIR", 0.0)):
        mixed = network.everything(image, source, 2.0)[0]
        made = plain[source][1].numpy()
        curve = by_intensity_curve(scan, made, scan[chosen], made[chosen])
        expected = torch.from_numpy((1 - share) * made + share * curve)
        torch.testing.assert_close(mixed[1][inside], expected[inside], atol=1e-5, rtol=1e-5)
        assert share == 0.0 or float((mixed[1] - plain[source][1])[inside].abs().max()) > 1e-3
        torch.testing.assert_close(mixed[[0, 2]], plain[source][[0, 2]])
