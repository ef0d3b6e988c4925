"""Tissues found by place and brightness, on a phantom whose tissues are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.segmentation.refinement import posterior, refined

#: Brightness of outside, fluid, cortex, deep grey matter, white matter, soft tissue, bone.
T1W = (0.0, 0.15, 0.5, 0.6, 0.8, 0.4, 0.1)
T2W = (0.0, 0.9, 0.5, 0.45, 0.3, 0.2, 0.1)


def phantom(levels: tuple[float, ...], noise: float = 0.03, bias: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes ``(K, J, I)`` and their image ``(1, 1, K, J, I)``: a ball of tissues with winding borders."""
    rng = np.random.default_rng(5)
    k, j, i = np.indices((32, 36, 32)) - np.array([16, 18, 16]).reshape(3, 1, 1, 1)
    wavy = 1.5 * np.sin(0.9 * k) * np.cos(0.8 * j) + 1.2 * np.sin(0.7 * i)
    radius = np.sqrt(k**2 + j**2 + i**2)
    classes = np.full(radius.shape, 0)
    for border, value in ((15, 5), (13.5, 6), (12, 1)):
        classes[radius < border] = value
    for border, value in ((11, 2), (8, 4)):
        classes[radius + wavy < border] = value
    classes[radius < 3.5] = 3
    classes[(np.abs(i) < 2) & (radius < 6) & (np.abs(k) < 3)] = 1
    image = np.asarray(levels)[classes] * (1.0 + bias * i / 16)
    image = np.clip(image + noise * rng.standard_normal(image.shape), 0.001, 1.0) * (classes > 0)
    return torch.from_numpy(classes), torch.from_numpy(image.astype(np.float32))[None, None]


def coarse(classes: torch.Tensor) -> torch.Tensor:
    """What a network expects of a place: the classes, blurred so that winding borders are lost."""
    shares = [ndimage.gaussian_filter((classes.numpy() == c).astype(np.float32), 2.0) for c in range(len(CLASSES))]
    stacked = torch.from_numpy(np.stack(shares))[None] + 1e-6
    return stacked / stacked.sum(dim=1, keepdim=True)


def dice(found: torch.Tensor, classes: torch.Tensor, of: int) -> float:
    one, other = found[0].argmax(dim=0) == of, classes == of
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize(("levels", "fluid"), [(T1W, 0.7), (T2W, 0.95)], ids=["T1w", "T2w"])
def test_borders_are_found_where_the_scan_shows_them_in_any_contrast(levels: tuple[float, ...], fluid: float) -> None:
    classes, image = phantom(levels)
    before = coarse(classes)
    after = refined(before, image)
    torch.testing.assert_close(after.sum(dim=1), torch.ones_like(after[:, 0]))
    # In T1w fluid meets bone, and both are dark: only the place tells them apart.
    for tissue, least in ((1, fluid), (2, 0.95), (3, 0.9), (4, 0.95)):
        assert dice(after, classes, tissue) > least > dice(before, classes, tissue)


def test_gaussians_fitted_to_some_voxels_are_those_of_all() -> None:
    classes, image = phantom(T1W)
    seen = image[0, 0] > 0
    place, bright = coarse(classes)[0][:, seen], image[0, 0][seen]
    all_of_them, some = posterior(place, bright), posterior(place, bright, every=4)
    assert float((some - all_of_them).abs().mean()) < 0.01 < float((place - all_of_them).abs().mean())


def test_two_contrasts_of_one_head_give_one_map() -> None:
    classes, one = phantom(T1W)
    _, other = phantom(T2W)
    first, second = (refined(coarse(classes), image).argmax(dim=1)[0] for image in (one, other))
    before = coarse(classes).argmax(dim=1)[0] == classes
    assert float((first == second)[classes > 0].float().mean()) > 0.8
    assert float(before[classes > 0].float().mean()) < 0.6


def test_what_is_empty_stays_as_it_was_and_a_flat_scan_adds_nothing() -> None:
    classes, image = phantom(T1W)
    before = coarse(classes)
    after = refined(before, image)
    empty = image[0, 0] == 0
    torch.testing.assert_close(after[0][:, empty], before[0][:, empty])
    flat = refined(before, torch.full_like(image, 0.5))
    certain = before.amax(dim=1)[0] > 0.9
    assert torch.equal(flat[0].argmax(dim=0)[certain], before[0].argmax(dim=0)[certain])
    nothing = torch.zeros_like(image)
    torch.testing.assert_close(refined(before, nothing), before)


def test_half_precision_around_it_changes_no_digit() -> None:
    classes, image = phantom(T2W)
    with torch.autocast("cpu", torch.bfloat16):
        inside = refined(coarse(classes), image)
    torch.testing.assert_close(inside, refined(coarse(classes), image))


def test_each_scan_of_a_batch_has_its_own_brightness() -> None:
    classes, one = phantom(T1W)
    _, other = phantom(T2W)
    both = refined(coarse(classes).repeat(2, 1, 1, 1, 1), torch.cat((one, other)))
    torch.testing.assert_close(both[:1], refined(coarse(classes), one))
    torch.testing.assert_close(both[1:], refined(coarse(classes), other))
