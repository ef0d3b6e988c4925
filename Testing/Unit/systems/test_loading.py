"""A model is loaded without importing more than its network needs, and without drawing random numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.networks.utils import pixelshuffle, pixelunshuffle
from tiny_model import write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib.systems.layers.pixel_shuffle import pixel_shuffle, pixel_unshuffle

MODELS = Path(__file__).resolve().parents[3] / "Resources" / "Models"


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3])
def test_pixels_are_shuffled_as_monai_does(axes: int, factor: int) -> None:
    features = torch.rand(2, 2 * factor**axes, *(factor * n for n in (1, 2, 3)[:axes]))
    assert torch.equal(pixel_shuffle(features, axes, factor), pixelshuffle(features, axes, factor))
    assert torch.equal(pixel_unshuffle(features, axes, factor), pixelunshuffle(features, axes, factor))
    assert torch.equal(pixel_unshuffle(pixel_shuffle(features, axes, factor), axes, factor), features)


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="not divisible by 2"):
        pixel_unshuffle(torch.zeros(1, 1, 3, 4), 2, 2)


def test_loading_a_model_imports_neither_monai_nor_the_compiler_of_torch() -> None:
    names = [p.name for p in (MODELS / "brain-ageing-t1w", MODELS / "mr-contrasts") if p.is_dir()]
    code = (
        "import sys, SITTranslateLib as sit\n"
        f"for name in {names}: sit.load_model(name, 'cpu')\n"
        "import SITTranslateLib.translate.pipeline, SITTranslateLib.translate.structures\n"
        "print([m for m in ('monai', 'torch._dynamo', 'sympy', 'scipy', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=MODELS.parents[1]
    )
    assert answer.stdout.strip() == "[]"


def test_loading_a_model_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    before = torch.get_rng_state()
    loaded = sit.load_model(package, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.isfinite(parameter).all() for parameter in loaded.network.parameters())
