"""A stroke by severity and age: its volume, where it lies, how bright it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import find
from SITTranslateLib.segmentation import parcellation
from SITTranslateLib.segmentation.structures import CLASS_COUNT, CLASS_OF_LABEL, RIGHT_LABELS
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.systems.network import NetworkOutput
from SITTranslateLib.systems.prescribed import stroke
from SITTranslateLib.systems.prescribed.regions import shares_of_labels
from SITTranslateLib.systems.prescribed.stroke_sites import LANDMARKS_MM, alignment, structure_middles
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.volume import Volume

FLUID, WHITE = (4, 5, 14, 15, 24, 43, 44), (2, 41)
LEVELS = {"FLAIR": (0.5, 0.6, 0.05), "T2w": (0.4, 0.5, 1.0), "T1w": (0.6, 0.45, 0.1)}


@pytest.fixture(scope="module")
def head() -> LabelMap:
    return procedural_head(3, spacing=2.0)


@pytest.fixture(scope="module")
def package_network() -> stroke.StrokeNetwork:
    network = load_model("stroke-severity", "cpu").network
    assert isinstance(network, stroke.StrokeNetwork)
    return network


@pytest.fixture
def network(
    package_network: stroke.StrokeNetwork, head: LabelMap, monkeypatch: pytest.MonkeyPatch
) -> stroke.StrokeNetwork:
    """The package's network, with the head's own labels in place of found ones."""
    coarse = head.array[::2, ::2, ::2]
    classes = CLASS_OF_LABEL[coarse]
    truth = parcellation.Parcellation(
        np.stack([(classes == index).astype(np.float32) for index in range(CLASS_COUNT)]),
        RIGHT_LABELS[coarse].astype(np.float32),
    )
    monkeypatch.setattr(stroke, "parcellated", lambda image: truth)
    return package_network


def image_of(head: LabelMap, contrast: str = "FLAIR") -> torch.Tensor:
    white, grey, fluid = LEVELS[contrast]
    image = np.where(head.array > 0, grey, 0.0)
    image[np.isin(head.array, WHITE)] = white
    image[np.isin(head.array, FLUID)] = fluid
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    return torch.from_numpy(even.astype(np.float32))[None, None]


def drawn(
    network: stroke.StrokeNetwork, head: LabelMap, seed: int, contrast: str = "FLAIR", **asked: float
) -> NetworkOutput:
    torch.manual_seed(seed)
    return network.translate(image_of(head, contrast), asked, head.affine)


def mask_of(output: NetworkOutput) -> NDArray[np.bool_]:
    return np.asarray(output.labels["stroke"][0, 0].numpy() > 0.5)


def test_volume_follows_the_fit_of_the_masks(package_network: stroke.StrokeNetwork) -> None:
    volume = package_network.millilitres
    # log mL = 0.633 + 0.921 log(1 + NIHSS) - 0.056 a decade from 65 in the mean, and the patients' spread about it.
    middle = np.exp(0.633 + 0.921 * np.log(11.0) + package_network.spread[3])
    assert volume(10.0, 65.0) == pytest.approx(middle, rel=0.01)
    assert volume(10.0, 75.0) / volume(10.0, 65.0) == pytest.approx(np.exp(-0.056), rel=0.001)
    assert volume(5.0, 65.0) / volume(10.0, 65.0) == pytest.approx((6.0 / 11.0) ** 0.921, rel=0.01)
    ratios = np.array([volume(10.0, 65.0, p) for p in (25.0, 75.0)]) / volume(10.0, 65.0)
    assert np.log(ratios[1] / ratios[0]) == pytest.approx(2 * 0.674 * 1.807, rel=0.3)
    assert volume(0.0, 65.0, 2.5) == stroke.LEAST_ML


def test_what_is_asked_for_is_drawn_into_tissue(network: stroke.StrokeNetwork, head: LabelMap) -> None:
    output = drawn(network, head, 1, nihss=10.0, age=65.0)
    mask, labels = mask_of(output), head.array[: output.translated.shape[2]]
    labels = labels[:, : mask.shape[1], : mask.shape[2]]
    assert mask.sum() * 0.008 == pytest.approx(network.millilitres(10.0, 65.0), rel=0.01)
    assert output.keeps_geometry and output.intensity_change is not None
    change = output.intensity_change[0, 0].numpy()
    assert not np.isin(labels[mask], FLUID).any() and (labels[mask] > 0).all()
    # Bright, and nearly all of the change lies in the stroke.
    assert (change >= 0.0).all() and change[mask].sum() > 0.97 * change.sum()
    core = mask & np.isin(labels, WHITE) & (change > 0.3)
    assert core.sum() > 100 and change[core].mean() == pytest.approx(0.8 * 0.45, abs=0.06)
    assert "population's picture" in output.warnings[0]
    assert f"{network.millilitres(10.0, 65.0):.1f} mL in the middle" in output.warnings[0]


def test_the_seed_draws_another_and_the_side_is_kept(network: stroke.StrokeNetwork, head: LabelMap) -> None:
    masks = [mask_of(drawn(network, head, seed, nihss=3.0, side=2.0)) for seed in (1, 1, 2)]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])
    for mask in masks:
        right = head.grid.to_world(np.argwhere(mask)[:, ::-1].astype(float))[:, 0] > 0.0
        assert right.mean() > 0.9


@pytest.mark.parametrize(("contrast", "sign"), [("T2w", 1.0), ("T1w", -1.0)])
def test_it_looks_as_in_each_contrast(
    contrast: str, sign: float, network: stroke.StrokeNetwork, head: LabelMap
) -> None:
    output = drawn(network, head, 1, contrast, nihss=10.0)
    assert output.intensity_change is not None
    change = sign * output.intensity_change[0, 0].numpy()
    assert change.min() >= 0.0 and change.max() > 0.1


def test_odd_requests_are_said_or_refused(network: stroke.StrokeNetwork, head: LabelMap) -> None:
    largest = drawn(network, head, 1, nihss=35.0, percentile=97.5)
    assert "cut to" in largest.warnings[1]
    flat = torch.where(image_of(head) > 0, 0.5, 0.0)
    with pytest.raises(InputError, match="alike"):
        network.translate(flat, {"nihss": 5.0}, head.affine)
    with pytest.raises(ValueError, match="decade is missing"):
        stroke.StrokeNetwork(1, [2, 2, 2], {"intercept": 0.0, "severity": 1.0}, [0.0] * 7)
    with pytest.raises(ValueError, match="7 numbers that rise"):
        stroke.StrokeNetwork(1, [2, 2, 2], {"intercept": 0.0, "severity": 1.0, "decade": 0.0}, [0.0])


def test_structures_bring_a_scan_to_mni(head: LabelMap) -> None:
    moved = np.array([[0.9, 0.05, 0, 10.0], [-0.05, 0.9, 0, -20.0], [0, 0, 1.1, 5.0], [0, 0, 0, 1.0]])
    shares = shares_of_labels(Volume(head.array.astype(np.float32), head.affine))
    matrix = alignment(shares)
    elsewhere = shares_of_labels(Volume(head.array.astype(np.float32), moved @ head.affine))
    there = alignment(elsewhere)
    points = np.stack([[*middle, 1.0] for middle in structure_middles(shares).values()])
    assert np.abs((there @ moved @ points.T - matrix @ points.T)[:3]).max() < 1.5
    middles = structure_middles(shares)
    left = matrix @ np.append(middles["left putamen"], 1.0)
    assert left[0] < 0 and np.linalg.norm(left[:3] - LANDMARKS_MM["putamen"]) < 15.0


def test_the_package_is_small_and_says_what_it_is() -> None:
    package = find("stroke-severity")
    card = package.card
    assert card.sources == ("FLAIR", "T1w") and card.files[0].bytes < 300_000
    assert "population's picture" in card.title and "no forecast for a person" in card.limits[0]
    assert [a.name for a in card.attributes] == ["nihss", "age", "percentile", "side"]
