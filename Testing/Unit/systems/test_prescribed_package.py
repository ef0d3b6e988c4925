"""Prescribed change as a package: structures found in the scan, a preset, the motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import find, load
from SITTranslateLib.segmentation import parcellation
from SITTranslateLib.segmentation.structures import CLASS_COUNT, CLASS_OF_LABEL, RIGHT_LABELS
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.systems import create
from SITTranslateLib.systems.prescribed import network as prescribed
from SITTranslateLib.systems.prescribed.presets import PRESETS
from SITTranslateLib.systems.prescribed.solver import realised
from SITTranslateLib.volume import VectorField


@pytest.fixture(scope="module")
def head() -> LabelMap:
    return procedural_head(2, spacing=2.0)


@pytest.fixture
def network(head: LabelMap, monkeypatch: pytest.MonkeyPatch) -> prescribed.PrescribedNetwork:
    """The package's network, with the head's own labels in place of found ones."""
    classes = CLASS_OF_LABEL[head.array]
    truth = parcellation.Parcellation(
        np.stack([(classes == index).astype(np.float32) for index in range(CLASS_COUNT)]),
        RIGHT_LABELS[head.array].astype(np.float32),
    )
    monkeypatch.setattr(prescribed, "parcellated", lambda image: truth)
    card = find("prescribed-change").card
    made = create(card.system.name, card.system.parameters)
    assert isinstance(made, prescribed.PrescribedNetwork)
    return made


def image_of(head: LabelMap) -> torch.Tensor:
    return torch.from_numpy((head.array % 61 / 61.0).astype(np.float32))[None, None]


def test_the_package_is_whole() -> None:
    package = find("prescribed-change")
    card = package.card
    assert card.system.parameters["presets"] == list(PRESETS)
    attribute = card.attribute("preset")
    assert attribute is not None and attribute.choices == tuple(PRESETS)
    assert load(package)["format"].tolist() == [1.0]
    assert parcellation.WEIGHTS.stat().st_size < 3e6
    assert parcellation.parcellation_network().head.out_channels == CLASS_COUNT + 1


def test_a_preset_moves_what_was_found(network: prescribed.PrescribedNetwork, head: LabelMap) -> None:
    output = network.translate(image_of(head), {"preset": 0.0, "age": 60.0, "years": 10.0}, head.affine)
    assert output.velocity is not None and output.velocity_affine is not None
    velocity = VectorField(output.velocity[0].permute(1, 2, 3, 0).numpy(), output.velocity_affine)
    numbers = np.select([np.isin(head.array, (43, 44)), head.array == 17], [1, 2], 0)
    ratios = realised(velocity, numbers, head.grid, 3)
    assert ratios[1] == pytest.approx(1.03**10, abs=0.02)
    assert ratios[2] == pytest.approx(1 - 0.0973, abs=0.01)
    assert np.array_equal(np.unique(output.labels["structures"]), np.unique(output.labels["structures"].round()))
    assert output.warnings == () and output.parcellation is prescribed.parcellated(np.zeros(0, np.float32))


def test_what_the_preset_needs_is_asked_for(network: prescribed.PrescribedNetwork, head: LabelMap) -> None:
    with pytest.raises(InputError, match="needs years"):
        network.translate(image_of(head), {"preset": 1.0}, head.affine)
    with pytest.raises(InputError, match="age"):
        network.translate(image_of(head), {"preset": 0.0, "years": 5.0}, head.affine)


def test_a_scan_without_a_brain_is_refused(
    network: prescribed.PrescribedNetwork, head: LabelMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = np.zeros((CLASS_COUNT, *head.array.shape), np.float32)
    empty[0] = 1.0
    found = parcellation.Parcellation(empty, np.zeros(head.array.shape, np.float32))
    monkeypatch.setattr(prescribed, "parcellated", lambda image: found)
    with pytest.raises(InputError, match="0 mL of brain"):
        network.translate(image_of(head), {"preset": 1.0, "years": 5.0}, head.affine)
