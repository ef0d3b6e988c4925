"""Registration across contrasts with the source mapped in the target's contrast from its tissues."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moved_phantoms import field_of, world
from test_estimate import brain_of, head

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.traceability import estimate as estimation
from SITTranslateLib.traceability.across_contrasts import mapped_to_contrast, register_across
from SITTranslateLib.traceability.estimate import WORKING_SPACING_MM, _in_ras
from SITTranslateLib.traceability.registration import Settings
from SITTranslateLib.volume import Grid


@pytest.fixture(scope="module")
def space() -> Grid:
    grid = Grid((40, 44, 40), np.diag((2.0, 2.0, 2.0, 1.0)))
    return Grid.centred(np.zeros(3), grid.shape, WORKING_SPACING_MM)


def image_of(volume) -> torch.Tensor:
    return torch.from_numpy(volume.array)[None, None]


def tissues_of(grid: Grid) -> torch.Tensor:
    """Shares of nothing, fluid, grey, white and skull in the phantom, as a perfect tissue network would find them."""
    x = world(grid)
    folds = 2.5 * np.sin(x[..., 0] / 4) * np.cos(x[..., 1] / 5) * np.sin(x[..., 2] / 4.5)
    radius = np.linalg.norm(x / [1.0, 1.15, 0.95], axis=-1)
    head_, brain, cortex, white, middle = (1 / (1 + np.exp((radius + folds - r) * 1.5)) for r in (33, 29, 25, 19, 8))
    shares = [1 - head_, brain - cortex + middle, cortex - white, white - middle, head_ - brain]
    return torch.from_numpy(np.stack(shares).astype(np.float32))[None]


def test_the_source_gets_the_targets_contrast_and_stays_where_it_is(space: Grid) -> None:
    source, target = image_of(head(space, "T1w", 1)), image_of(head(space, "T2w", 2))
    mapped = mapped_to_contrast(source, tissues_of(space), target)
    assert mapped is not None and mapped.shape == source.shape
    brain = torch.from_numpy(brain_of(space))

    def correlation(image: torch.Tensor) -> float:
        return float(np.corrcoef(image[0, 0][brain], target[0, 0][brain])[0, 1])

    assert correlation(mapped) > 0.95 > 0.2 > correlation(source)


def test_a_shift_that_is_known_is_taken_into_account(space: Grid) -> None:
    source, target = image_of(head(space, "T1w", 1)), image_of(head(space, "T2w", 2)).roll(3, dims=4)
    tissues, axes = tissues_of(space), np.eye(3) * WORKING_SPACING_MM
    sampling = torch.zeros(1, 3, *space.shape)
    sampling[:, 0] = -3 * WORKING_SPACING_MM
    still = torch.from_numpy(brain_of(space))
    clean = image_of(head(space, "T2w", 3))[0, 0][still]
    right = mapped_to_contrast(source, tissues, target, sampling, axes)
    wrong = mapped_to_contrast(source, tissues, target)
    assert right is not None and wrong is not None
    off = [float((image[0, 0][still] - clean).abs().mean()) for image in (right, wrong)]
    assert off[0] < 0.6 * off[1]
    assert float((tensors.warp(source, sampling, axes) - source).abs().mean()) > 1.0


def test_without_enough_tissue_there_is_nothing_to_paint(space: Grid) -> None:
    source = image_of(head(space, "T1w", 1))
    nothing = torch.zeros_like(tissues_of(space))
    nothing[:, 0] = 1.0
    assert mapped_to_contrast(source, nothing, source) is None
    velocity = register_across(source, source, WORKING_SPACING_MM, Settings(500.0, iterations=2), None, nothing)
    assert float(velocity.abs().max()) < 0.5


@pytest.mark.parametrize("peak", [0.0, 3.5])
def test_a_motion_is_found_with_the_tissues_as_without(space: Grid, peak: float) -> None:
    flow = field_of(
        space, lambda x: peak * np.exp(-(((x - [6, -8, 4]) / 18) ** 2).sum(-1, keepdims=True)) * [1, 0.6, -0.8]
    )
    motion, sampling = (fields.exponential(flow, sign) for sign in (1.0, -1.0))
    source, target = head(space, "T1w", 1), fields.warp(head(space, "T2w", 2), sampling)
    brain = brain_of(space)
    errors = []
    for tissues in (tissues_of(space), None):
        told: list[float] = []
        velocity = register_across(
            image_of(source), image_of(target), WORKING_SPACING_MM, Settings(500.0), told.append, tissues
        )
        found = fields.exponential(fields.resample_field(_in_ras(velocity, space), space))
        errors.append(float(np.linalg.norm(found.array - motion.array, axis=-1)[brain].mean()))
        assert told == sorted(told) and told[-1] <= 1.0
    nothing = float(motion.magnitude()[brain].mean())
    assert errors[0] < (0.3 if peak == 0 else 0.4 * nothing)
    assert errors[0] < errors[1] + 0.1


def test_a_scan_without_a_brain_is_registered_without_tissues(space: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(estimation, "_tissues", lambda scan, grid: asked.append(grid.shape))
    estimation.estimate(head(space, "T1w", 1), head(space, "T2w", 2))
    assert len(asked) == 1
    asked.clear()
    estimation.estimate(head(space, "T1w", 1), head(space, "T1w", 2))
    assert not asked, "within one contrast nothing has to be mapped"
