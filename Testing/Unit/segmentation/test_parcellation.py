"""Parcellation: labels of its classes, sides, and what the recipe trains on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SITTranslateLib.segmentation import parcellation
from SITTranslateLib.segmentation.network import TissueNetwork, for_inference
from SITTranslateLib.segmentation.neuromorphometrics import in_freesurfer_numbers
from SITTranslateLib.segmentation.parcellation import Parcellation
from SITTranslateLib.segmentation.structures import (
    BONE_CLASS,
    BY_KEY,
    CLASS_COUNT,
    CLASS_OF_LABEL,
    RIGHT_LABELS,
    SOFT_CLASS,
    STRUCTURES,
)
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.training.engine import random_heads
from SITTranslateLib.training.recipes.segmentation import parcellation_data as data
from SITTranslateLib.training.recipes.segmentation.objective import sided_loss
from SITTranslateLib.volume import Volume


@pytest.fixture(scope="module")
def head() -> random_heads.LabelledHead:
    # Voxels of 2 mm are taken for 1 mm: a small head.
    return random_heads.head_of(procedural_head(1, spacing=2.0))


@pytest.fixture(scope="module")
def deformed(head: random_heads.LabelledHead) -> data.DeformedLabels:
    labels = random_heads.deformed(head, np.random.default_rng(5), (96, 104, 96), data.SHIFT_MM)
    return data.with_shares(labels)


def index(key: str) -> int:
    return 1 + STRUCTURES.index(BY_KEY[key])


def test_every_label_has_its_class() -> None:
    assert CLASS_OF_LABEL[0] == 0
    assert CLASS_OF_LABEL[17] == CLASS_OF_LABEL[53] == index("hippocampus")
    assert CLASS_OF_LABEL[14] == CLASS_OF_LABEL[72] == index("third ventricle")
    assert CLASS_OF_LABEL[515] == CLASS_OF_LABEL[516] == BONE_CLASS
    assert CLASS_OF_LABEL[511] == SOFT_CLASS
    assert RIGHT_LABELS[53] and not RIGHT_LABELS[17] and not RIGHT_LABELS[16]
    assert len({label for s in STRUCTURES for label in s.labels}) == 34


def test_probabilities_become_labels_with_sides() -> None:
    classes = np.zeros((CLASS_COUNT, 1, 1, 3), np.float32)
    classes[index("hippocampus"), 0, 0, :2] = 0.9
    classes[index("cerebral cortex"), 0, 0, :2] = 0.1
    classes[index("brain stem"), 0, 0, 2] = 1.0
    found = Parcellation(classes, np.array([[[0.2, 0.9, 0.9]]], np.float32))
    assert found.labels().ravel().tolist() == [17, 53, 16]
    assert found.of_label(53).ravel() == pytest.approx([0.18, 0.81, 0.0])
    assert found.of_label(17).ravel() == pytest.approx([0.72, 0.09, 0.0])
    assert found.of_label(16).ravel() == pytest.approx([0.0, 0.0, 1.0])
    assert not found.has_skull()
    with pytest.raises(KeyError):
        found.of_label(999)


def test_the_folded_network_gives_what_the_network_gives() -> None:
    torch.manual_seed(0)
    network = TissueNetwork((4, 8), 3).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm3d):
            part.running_mean.normal_()  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    image = torch.rand(1, 1, 9, 10, 8)
    with torch.no_grad():
        expected, folded = network(image), for_inference(network)(image.bfloat16()).float()
    # Two digits, which is what bfloat16 has.
    torch.testing.assert_close(folded, expected, atol=0.03 * float(expected.std()), rtol=0.03)
    assert isinstance(network.down[0][1], torch.nn.BatchNorm3d)


def test_shares_of_a_deformed_head(deformed: data.DeformedLabels) -> None:
    totals = deformed.shares.sum(axis=0)
    assert totals.min() == totals.max() == 8
    cortex = deformed.shares[index("cerebral cortex")].astype(float)
    places = np.arange(cortex.shape[2])
    right, left = cortex * (deformed.right > 0.5), cortex * (deformed.right < 0.5)
    assert (right.sum((0, 1)) @ places) / right.sum() > (left.sum((0, 1)) @ places) / left.sum() + 4


def test_examples_strip_and_mirror(deformed: data.DeformedLabels) -> None:
    for seed in range(4):
        image, shares, right = data.example(deformed, np.random.default_rng(seed), strip=1.0, physical=1.0, t1w=1.0)
        assert torch.allclose(shares.sum(dim=1), torch.ones_like(shares[:, 0]), atol=1e-5)
        # Vessels and voxels at the edge hold a little of what was taken off.
        assert float(shares[:, [BONE_CLASS, SOFT_CLASS]].sum()) < 0.03 * float(shares[:, 1:].sum())
        assert float(image.min()) >= 0.0 and float(image.max()) <= 1.0
        sided = shares[0, index("cerebral white matter")]
        places = torch.arange(sided.shape[2], dtype=torch.float32)
        on_right, on_left = (sided * right[0]).sum((0, 1)), (sided * (1 - right[0])).sum((0, 1))
        assert float(on_right @ places / on_right.sum()) > float(on_left @ places / on_left.sum())


def test_loss_prefers_the_truth() -> None:
    shares = torch.zeros(1, CLASS_COUNT, 2, 2, 2)
    shares[:, index("hippocampus")] = 1.0
    right = torch.ones(1, 2, 2, 2)
    good, wrong = torch.zeros(1, CLASS_COUNT + 1, 2, 2, 2), torch.zeros(1, CLASS_COUNT + 1, 2, 2, 2)
    good[:, index("hippocampus")], good[:, -1] = 9.0, 9.0
    wrong[:, index("hippocampus")], wrong[:, -1] = 9.0, -9.0
    assert float(sided_loss(good, shares, right)) < 0.02
    assert float(sided_loss(wrong, shares, right)) > 4.0


def test_loss_weighs_too_much_as_too_little() -> None:
    shares = torch.zeros(1, CLASS_COUNT, 4, 4, 4)
    shares[:, 0], shares[:, index("hippocampus")] = 0.5, 0.5
    losses = []
    for excess in (-0.4, 0.0, 0.4):
        output = torch.full((1, CLASS_COUNT + 1, 4, 4, 4), -20.0)
        output[:, 0], output[:, index("hippocampus")] = 0.0, excess
        losses.append(float(sided_loss(output, shares, torch.ones(1, 4, 4, 4))))
    assert losses[1] < min(losses[0], losses[2]) - 0.05


def test_neuromorphometrics_in_freesurfer_numbers() -> None:
    numbers = np.array([[[47, 48, 38, 39, 71, 71, 100, 101, 75, 0]]], np.float32)
    affine = np.eye(4)
    # Right cerebellum at i = 2, left at 3: right is where i is small, so the voxel at 4 and 5 is left.
    renamed = in_freesurfer_numbers(Volume(numbers, affine @ np.diag([-1.0, 1.0, 1.0, 1.0]), "own")).array.ravel()
    assert renamed.tolist() == [53, 17, 47, 8, 8, 8, 42, 3, 0, 0]


def test_brightness_takes_the_thalamus_for_fluid_rather_than_for_white_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network is unsure: half of these voxels are as bright as white matter, half as fluid."""
    scan = torch.full((1, 1, 12, 12, 12), 0.9)
    classes = torch.full((1, CLASS_COUNT, 12, 12, 12), 1e-3)
    classes[:, index("cerebral white matter")] = 1.0
    for at, key, bright in ((0, "cerebral cortex", 0.5), (2, "third ventricle", 0.1), (4, "thalamus", 0.7)):
        scan[:, :, at : at + 2] = bright
        classes[:, :, at : at + 2] = 1e-3
        classes[:, index(key), at : at + 2] = 1.0
    own = index("thalamus")
    for at, other, bright in ((6, "cerebral white matter", 0.9), (8, "third ventricle", 0.1)):
        scan[:, :, at : at + 2] = bright
        classes[:, :, at : at + 2] = 1e-3
        classes[:, own, at : at + 2], classes[:, index(other), at : at + 2] = 0.7, 0.3
    scan += 0.02 * torch.randn(scan.shape, generator=torch.Generator().manual_seed(0))
    classes, scan = classes / classes.sum(dim=1, keepdim=True), scan.clamp(0.01, 1.0)

    def refined() -> torch.Tensor:
        last = classes[0].permute(1, 2, 3, 0).contiguous()
        parcellation._refine(last, scan[0, 0])
        return last[..., own]

    found = refined()
    white, fluid = float(found[6:8].mean()), float(found[8:10].mean())
    assert white > 0.35 and fluid < 0.1
    assert float(found[4:6].mean()) > 0.95
    monkeypatch.setattr(parcellation, "_SHADED", ())
    assert float(refined()[6:8].mean()) < 0.5 * white
