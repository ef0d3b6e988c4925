"""What the diffusion of the shipped packages starts from: where it does not matter, the card says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from SITTranslateLib.translate.model import load_model

#: Share of the result's spread that a start must change to be claimed.
MATTERS = 0.1


@pytest.fixture(scope="module")
def head() -> Tensor:
    """A ball of white matter in a shell of grey matter with a ventricle, T1w, at 2 mm."""
    k, j, i = torch.meshgrid(*(torch.linspace(-1.2, 1.2, n) for n in (56, 64, 56)), indexing="ij")
    radius = (k**2 + j**2 + i**2).sqrt()
    image = torch.where(radius < 1, 0.4, 0.0) + 0.15 * (radius < 0.8) - 0.35 * (radius < 0.25)
    return (image + 0.02 * torch.sin(9 * k) * torch.sin(7 * i) * (radius < 1))[None, None]


def influence(image: Tensor, other: Tensor, head: Tensor) -> float:
    """Mean difference in the head, share of the image's standard deviation there."""
    inside = head > 0.02
    return float((image - other).abs()[inside].mean() / image[inside].std())


def test_aldm_claims_a_noisy_latent_only_where_it_matters(head: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("brain-contrasts", "cpu")
    request = {"target": 0.0, "source": 3.0}
    torch.manual_seed(0)
    drawn = model.network.translate(head, request, 2.0 * np.eye(4)).translated  # type: ignore[operator]
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    from_zero = model.network.translate(head, request, 2.0 * np.eye(4)).translated  # type: ignore[operator]
    assert float(drawn.std()) > 0.05
    claimed = not any("The noise that the diffusion starts from does not reach" in text for text in model.card.limits)
    assert claimed == (influence(drawn, from_zero, head) > MATTERS)


def test_plasticine_claims_the_scan_as_the_start_only_where_it_matters(head: Tensor) -> None:
    model = load_model("plasticine-t1w-t2w", "cpu")
    network = model.network
    network.samples = 1
    images = []
    with torch.inference_mode():
        structure = network.structure_of(head)
        for start in (head, head.flip(2), torch.zeros_like(head)):
            torch.manual_seed(0)
            images.append(network.paint(start, structure, lambda done: None)[0])
        mapped = network.tissue_mapping(structure)
    claimed = not any("not on the scan as the start of the sampling" in text for text in model.card.limits)
    assert claimed == any(influence(images[0], other, head) > MATTERS for other in images[1:])
    assert influence(images[0], mapped, head) > 0.01, "the network adds something to the intensity of each tissue"
