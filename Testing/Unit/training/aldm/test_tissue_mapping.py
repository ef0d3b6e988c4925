"""Tissue intensity mapping's fit: what one curve for all cannot say, and heads whose tissues are found once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_phantoms import tiny_phantom

from SITTranslateLib.evaluation.baselines import fit_transfer_curve
from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.systems.aldm.tissue_mapping import TissueIntensityMapping, looks_of, statistics
from SITTranslateLib.training.engine.phantoms import Phantom
from SITTranslateLib.training.recipes.aldm.tissue_mapping import FoundTissues, SampledScan, design, fit_tissue_mapping

CONTRASTS = ["T1w", "T2w", "CT"]


class KnownTissues(FoundTissues):
    """The heads' own classes in place of what a network finds in heads of a few voxels."""

    def shares(self, number: int, contrast: str, strip: bool) -> np.ndarray:
        classes = self.heads[number].classes_of(0, self.heads[number].classes.shape[0], strip=strip)
        return np.stack([255 * (classes == n) for n in range(len(CLASSES))]).astype(np.uint8)


@pytest.fixture(scope="module")
def heads() -> list[Phantom]:
    return [tiny_phantom(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def mapping(heads: list[Phantom]) -> TissueIntensityMapping:
    made = TissueIntensityMapping(len(CONTRASTS))
    fit_tissue_mapping(made, heads[:3], CONTRASTS, KnownTissues(heads[:3]))
    return made


def shown(head: Phantom, tissues: KnownTissues, contrast: str) -> tuple[torch.Tensor, torch.Tensor]:
    scan = head.slab(contrast, 0, head.classes.shape[0])
    return torch.from_numpy(scan)[None, None], torch.from_numpy(tissues.shares(0, contrast, False))[None] / 255.0


def test_the_fit_is_what_the_mapping_computes() -> None:
    rng = np.random.default_rng(0)
    bright = rng.uniform(0, 1.4, 400).astype(np.float32)
    shares = rng.dirichlet(np.ones(len(CLASSES)), 400).T.astype(np.float32)
    mapping = TissueIntensityMapping(2)
    for buffer in (mapping.curves, mapping.slopes, mapping.lifts, mapping.usual):
        buffer.copy_(torch.from_numpy(rng.uniform(size=tuple(buffer.shape))))
    mapping.varies.fill_(20.0)
    image = torch.from_numpy(bright).reshape(1, 1, 1, 1, 400)
    of_image = torch.from_numpy(shares).reshape(1, -1, 1, 1, 400)
    seen = statistics(image, of_image)
    looks = ((looks_of(seen)[0] - mapping.usual[1]) / 20.0).numpy().astype(np.float64)
    nothing = np.zeros((400, 2), np.float32)
    rows = design(SampledScan(1, seen, bright, shares, nothing, nothing[:, 0]), looks)
    weights = torch.cat((mapping.curves[1, 0], mapping.slopes[1, 0, :, None], mapping.lifts[1, 0]), dim=1)
    made = mapping(image, of_image, torch.tensor([[0.0, 1.0]]), 0)
    assert np.allclose(made.numpy().ravel(), (rows @ weights.double().numpy().ravel()).clip(0), atol=1e-4)


@pytest.mark.parametrize(("source", "target"), [("T1w", "T2w"), ("T2w", "T1w"), ("CT", "T1w")])
def test_an_unseen_head_is_nearer_than_by_one_curve_for_all(
    mapping: TissueIntensityMapping, heads: list[Phantom], source: str, target: str
) -> None:
    one, tissues = heads[3], KnownTissues(heads[3:])
    pairs = [(h.slab(source, 0, 99).ravel(), h.slab(target, 0, 99, clean=True).ravel()) for h in heads[:3]]
    image, shares = shown(one, tissues, source)
    truth = one.slab(target, 0, one.classes.shape[0], clean=True)
    belief = torch.nn.functional.one_hot(torch.tensor([CONTRASTS.index(source)]), len(CONTRASTS)).float()
    made = mapping(image, shares, belief, CONTRASTS.index(target))[0, 0].numpy()
    curve = fit_transfer_curve(pairs)(image[0, 0].numpy())
    inside = np.asarray(one.classes) > 0
    off, off_curve = (float(np.square(x - truth)[inside].mean()) for x in (made, curve))
    nothing = float(np.square(image[0, 0].numpy() - truth)[inside].mean())
    assert off < off_curve < nothing


def test_the_contrast_of_an_unseen_head_is_recognised(mapping: TissueIntensityMapping, heads: list[Phantom]) -> None:
    for index, contrast in enumerate(CONTRASTS):
        image, shares = shown(heads[3], KnownTissues(heads[3:]), contrast)
        assert float(mapping.source_of(image, shares)[0, index]) > 0.5, contrast


def test_half_precision_holds_it_as_a_package_does(mapping: TissueIntensityMapping, heads: list[Phantom]) -> None:
    stored = TissueIntensityMapping(len(CONTRASTS))
    stored.load_state_dict({name: value.half() for name, value in mapping.state_dict().items()})
    assert all(bool(torch.isfinite(buffer).all()) for buffer in stored.buffers())
    image, shares = shown(heads[3], KnownTissues(heads[3:]), "T2w")
    one, other = (p.source_of(image, shares) for p in (mapping, stored))
    assert torch.allclose(one, other, atol=0.05)
    assert torch.allclose(mapping(image, shares, one, 0), stored(image, shares, one, 0), atol=5e-3)


def test_tissues_are_found_once_and_kept(heads: list[Phantom], tmp_path: Path) -> None:
    first = FoundTissues(heads, tmp_path)
    found = np.array(first.shares(1, "T2w", True))
    assert found.dtype == np.uint8 and found.shape == (len(CLASSES), *heads[1].classes.shape)
    assert abs(int(found.sum(axis=0, dtype=int).max()) - 255) <= len(CLASSES)
    files = list(tmp_path.rglob("*.npy"))
    assert len(files) == 1
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"\x07")
    assert int(FoundTissues(heads, tmp_path).shares(1, "T2w", True)[-1, -1, -1, -1]) == 7
    assert np.array_equal(FoundTissues(heads).shares(1, "T2w", True), found)
