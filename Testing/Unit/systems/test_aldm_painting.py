"""The painter: each tissue by its own curve, and a scan's contrast told from how bright its tissues are."""

from __future__ import annotations

import pytest
import torch

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.systems.aldm.painting import (
    FEATURES,
    KNOTS,
    REACH,
    TissuePainter,
    features_of,
    looks_of,
    statistics,
)

SIZE = (6, 7, 8)


@pytest.fixture
def painter() -> TissuePainter:
    return TissuePainter(3, (4, 6))


@pytest.fixture
def image() -> torch.Tensor:
    return 0.2 + torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def shares() -> torch.Tensor:
    return torch.rand(1, len(CLASSES), *SIZE, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


@pytest.fixture
def fitted(painter: TissuePainter) -> TissuePainter:
    generator = torch.Generator().manual_seed(2)
    for buffer in (painter.curves, painter.slopes, painter.lifts, painter.usual):
        buffer.copy_(torch.rand(buffer.shape, generator=generator))
    return painter


def belief(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def test_each_tissue_follows_its_own_curve_slope_and_lift(painter: TissuePainter, image: torch.Tensor) -> None:
    two = torch.zeros(1, len(CLASSES), *SIZE)
    two[:, 1, :, :3], two[:, 4, :, 3:] = 1.0, 1.0
    painter.curves[0, 1, 1] = 0.5 + 0.1 * torch.linspace(-REACH, REACH, KNOTS)
    painter.curves[0, 1, 4], painter.slopes[0, 1, 4] = 0.7, -0.3
    painter.lifts[0, 1, 4, 3] = 0.2
    made = painter(image, two, belief(1, 0, 0), 1)
    upper, lower = image[..., :3, :], image[..., 3:, :]
    by_hand = 0.5 + 0.1 * (upper - upper.mean()) / upper.std(correction=0)
    assert torch.allclose(made[..., :3, :], by_hand, atol=1e-4)
    # The fourth look is the mean of white matter, here 0 +- 1 as a rule.
    by_hand = 0.7 - 0.3 * (lower - lower.mean()) + 0.2 * lower.mean()
    assert torch.allclose(made[..., 3:, :], by_hand, atol=1e-4)


def test_what_the_scanner_does_to_all_brightness_alike_does_not_matter(
    fitted: TissuePainter, image: torch.Tensor, shares: torch.Tensor
) -> None:
    fitted.slopes.zero_()
    fitted.lifts.zero_()
    one, other = (fitted(scan, shares, belief(0, 1, 0), 2) for scan in (image, 1.7 * image + 0.4))
    assert torch.allclose(one, other, atol=1e-4) and float(one.std()) > 0.01


def test_a_look_beyond_all_that_was_seen_counts_as_the_last_that_is_believed(
    painter: TissuePainter, image: torch.Tensor, shares: torch.Tensor
) -> None:
    painter.lifts[0, 1] = 0.1
    painter.usual[0] = -1e4
    assert torch.allclose(painter(image, shares, belief(1, 0, 0), 1), torch.tensor(0.1 * 3.0 * 8), atol=1e-4)


def test_a_doubtful_contrast_is_painted_as_the_mean_of_what_it_may_be(
    painter: TissuePainter, image: torch.Tensor, shares: torch.Tensor
) -> None:
    painter.curves[0, 2], painter.curves[1, 2] = 0.2, 1.0
    assert torch.allclose(painter(image, shares, belief(0.75, 0.25, 0), 2), torch.tensor(0.4), atol=1e-5)


def test_a_batch_is_painted_as_its_members_are(fitted: TissuePainter) -> None:
    images = torch.rand(2, 1, *SIZE)
    shares = torch.rand(2, len(CLASSES), *SIZE).softmax(dim=1)
    whose = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    together = fitted(images, shares, whose, 1)
    alone = [fitted(images[n : n + 1], shares[n : n + 1], whose[n : n + 1], 1) for n in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_half_precision_about_it_changes_nothing(
    fitted: TissuePainter, image: torch.Tensor, shares: torch.Tensor
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
    painter: TissuePainter, image: torch.Tensor, shares: torch.Tensor
) -> None:
    assert torch.allclose(painter.source_of(image, shares), torch.full((1, 3), 1 / 3))
    seen = features_of(statistics(image, shares))[0]
    painter.weight[1, 0] = 10.0 / seen[0]
    assert float(painter.source_of(image, shares)[0, 1]) > 0.9


def test_it_always_is_as_it_is_in_use(painter: TissuePainter) -> None:
    assert not any(module.training for module in painter.modules())
    painter.train()
    assert not any(module.training for module in painter.modules())
    assert not any(parameter.requires_grad for parameter in painter.parameters())
