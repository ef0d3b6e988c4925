"""Tissue intensity mapping: each tissue by its own curve, the scan's contrast recognised."""

from __future__ import annotations

import pytest
import torch

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.systems.aldm.tissue_mapping import (
    FEATURES,
    KNOTS,
    REACH,
    TissueIntensityMapping,
    features_of,
    looks_of,
    statistics,
)

SIZE = (6, 7, 8)


@pytest.fixture
def mapping() -> TissueIntensityMapping:
    return TissueIntensityMapping(3, (4, 6))


@pytest.fixture
def image() -> torch.Tensor:
    return 0.2 + torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def shares() -> torch.Tensor:
    return torch.rand(1, len(CLASSES), *SIZE, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


@pytest.fixture
def fitted(mapping: TissueIntensityMapping) -> TissueIntensityMapping:
    generator = torch.Generator().manual_seed(2)
    for buffer in (mapping.curves, mapping.slopes, mapping.lifts, mapping.usual):
        buffer.copy_(torch.rand(buffer.shape, generator=generator))
    return mapping


def belief(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def test_each_tissue_follows_its_own_curve_slope_and_lift(mapping: TissueIntensityMapping, image: torch.Tensor) -> None:
    two = torch.zeros(1, len(CLASSES), *SIZE)
    two[:, 1, :, :3], two[:, 4, :, 3:] = 1.0, 1.0
    mapping.curves[0, 1, 1] = 0.5 + 0.1 * torch.linspace(-REACH, REACH, KNOTS)
    mapping.curves[0, 1, 4], mapping.slopes[0, 1, 4] = 0.7, -0.3
    mapping.lifts[0, 1, 4, 3] = 0.2
    made = mapping(image, two, belief(1, 0, 0), 1)
    upper, lower = image[..., :3, :], image[..., 3:, :]
    by_hand = 0.5 + 0.1 * (upper - upper.mean()) / upper.std(correction=0)
    assert torch.allclose(made[..., :3, :], by_hand, atol=1e-4)
    # The fourth look is the mean of white matter, here 0 +- 1 as a rule.
    by_hand = 0.7 - 0.3 * (lower - lower.mean()) + 0.2 * lower.mean()
    assert torch.allclose(made[..., 3:, :], by_hand, atol=1e-4)


def test_what_the_scanner_does_to_all_brightness_alike_does_not_matter(
    fitted: TissueIntensityMapping, image: torch.Tensor, shares: torch.Tensor
) -> None:
    fitted.slopes.zero_()
    fitted.lifts.zero_()
    one, other = (fitted(scan, shares, belief(0, 1, 0), 2) for scan in (image, 1.7 * image + 0.4))
    assert torch.allclose(one, other, atol=1e-4) and float(one.std()) > 0.01


def test_a_look_beyond_all_that_was_seen_counts_as_the_last_that_is_believed(
    mapping: TissueIntensityMapping, image: torch.Tensor, shares: torch.Tensor
) -> None:
    mapping.lifts[0, 1] = 0.1
    mapping.usual[0] = -1e4
    assert torch.allclose(mapping(image, shares, belief(1, 0, 0), 1), torch.tensor(0.1 * 3.0 * 8), atol=1e-4)


def test_a_doubtful_contrast_is_mapped_as_the_mean_of_what_it_may_be(
    mapping: TissueIntensityMapping, image: torch.Tensor, shares: torch.Tensor
) -> None:
    mapping.curves[0, 2], mapping.curves[1, 2] = 0.2, 1.0
    assert torch.allclose(mapping(image, shares, belief(0.75, 0.25, 0), 2), torch.tensor(0.4), atol=1e-5)


def test_a_batch_is_mapped_as_its_members_are(fitted: TissueIntensityMapping) -> None:
    images = torch.rand(2, 1, *SIZE)
    shares = torch.rand(2, len(CLASSES), *SIZE).softmax(dim=1)
    whose = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    together = fitted(images, shares, whose, 1)
    alone = [fitted(images[n : n + 1], shares[n : n + 1], whose[n : n + 1], 1) for n in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_half_precision_about_it_changes_nothing(
    fitted: TissueIntensityMapping, image: torch.Tensor, shares: torch.Tensor
) -> None:
    whole = fitted(image, shares, belief(1, 0, 0), 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fitted(image, shares, belief(1, 0, 0), 1), whole)


def test_the_features_are_finite_where_there_is_no_skull_and_no_difference() -> None:
    image, shares = torch.full((1, 1, *SIZE), 0.3), torch.zeros(1, len(CLASSES), *SIZE)
    shares[:, 2] = 1.0
    image[0, 0, :3] = 0.5
    seen = statistics(image, shares)
    assert float(seen.mean[0, 2]) == pytest.approx(0.4) and float(seen.spread[0, 2]) == pytest.approx(0.1, abs=1e-4)
    found = features_of(seen)
    assert found.shape == (1, FEATURES) and bool(torch.isfinite(found).all())
    assert bool(torch.isfinite(looks_of(seen)).all())
    # Neither bone nor soft tissue: the skull is off.
    assert found[0, 8:12].tolist() == [0.0] * 4
    shares[:, 2], shares[:, 6] = 0.5, 0.5
    assert features_of(statistics(image, shares))[0, 10:12].tolist() == [0.0, 1.0]


def test_the_contrast_is_told_by_the_brightness_of_the_tissues(
    mapping: TissueIntensityMapping, image: torch.Tensor, shares: torch.Tensor
) -> None:
    assert torch.allclose(mapping.source_of(image, shares), torch.full((1, 3), 1 / 3))
    seen = features_of(statistics(image, shares))[0]
    mapping.weight[1, 0] = 10.0 / seen[0]
    assert float(mapping.source_of(image, shares)[0, 1]) > 0.9


def test_it_always_is_as_it_is_in_use(mapping: TissueIntensityMapping) -> None:
    assert not any(module.training for module in mapping.modules())
    mapping.train()
    assert not any(module.training for module in mapping.modules())
    assert not any(parameter.requires_grad for parameter in mapping.parameters())
