"""A small head and a small model for tests: both made here, neither needs data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from SITTranslateLib import systems
from SITTranslateLib.packages import (
    Attribute,
    ModelCard,
    NetworkGrid,
    Normalisation,
    Package,
    System,
    write_package,
)
from SITTranslateLib.translate.normalisation import ARBITRARY
from SITTranslateLib.volume import Grid, Volume


def tiny_card(variant: str = "dit", name: str = "tiny", **changes: object) -> ModelCard:
    """A card for a SIT network of a few thousand weights on a 4 mm grid."""
    parameters = {"variant": variant, "attributes": ["age", "lesions"], "scales": [10.0, 10.0], "widths": [4, 6]}
    values: dict[str, object] = {
        "name": name,
        "version": "0.1.0",
        "title": "Tiny test model",
        "system": System("sit", parameters),
        "source": "T1w",
        "targets": ("T1w",),
        "attributes": (
            Attribute("age", "Age", "years", -30, 30, 10, "Years older."),
            Attribute("lesions", "Lesions", "mL", -20, 20, 0, "Lesion volume."),
        ),
        "grid": NetworkGrid(4.0, (48, 56, 48)),
        "normalisation": Normalisation("percentile", 0.5, 99.5),
        "training": {"data": "none", "simulated": True},
        "licence": "Apache-2.0",
        "citation": "none",
        "intended_use": "Tests.",
        "limits": ("Not trained.",),
    }
    return ModelCard(**{**values, **changes})  # type: ignore[arg-type]


def write_tiny_package(folder: Path, variant: str = "dit", **changes: object) -> Package:
    """A package whose untrained network moves anatomy by about a mm and changes intensity by some per cent.

    It takes PD too: what :func:`head` looks like, so that no test waits for the tissue network (0.8 s) to allow it.
    """
    card = tiny_card(variant, **{"name": folder.name, "further_sources": ("PD",), **changes})
    torch.manual_seed(1)
    network = systems.create("sit", card.system.parameters)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("field_head"):
                parameter.normal_(0.0, 0.03 if name.endswith("weight") else 0.3)
            if name.startswith("intensity_head"):
                parameter.normal_(0.0, 0.05)
    return write_package(folder, card, network.state_dict(), fp16=True)


def write_tiny_plasticine(folder: Path, **parameters: object) -> Package:
    """A package of an untrained Plasticine that moves anatomy by some mm, paints something, and shows its steps.

    Args:
        parameters: of the network, instead of two steps and two samples.
    """
    network = {
        "source": "T1w", "target": "T2w", "structure_widths": [4, 6], "steps": 2, "samples": 2, "switch": False,
        "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8], **parameters,
    }  # fmt: skip
    card = tiny_card(
        name=folder.name, system=System("plasticine", network), targets=("T2w",), target_scale=ARBITRARY,
        attributes=(
            Attribute("age", "Age", "years", -30, 30, 10, "Years older."),
            Attribute("intermediate", "Intermediate steps", "", 0, 1, 0, "Each of them.", ("no", "yes")),
        ),
    )  # fmt: skip
    torch.manual_seed(4)
    built = systems.create("plasticine", network)
    with torch.no_grad():
        built.deformation.head.weight.normal_(std=0.05)  # type: ignore[union-attr]
    return write_package(folder, card, built.state_dict())


def head(
    spacing: tuple[float, float, float] = (2.0, 2.0, 2.0),
    size_mm: tuple[float, float, float] = (180.0, 210.0, 180.0),
    rotation: np.ndarray | None = None,
    centre: tuple[float, float, float] = (5.0, -12.0, 8.0),
    gain: float = 1000.0,
    seed: int = 0,
) -> Volume:
    """A T1w-like brain without its skull: white core, grey rim, dark ventricles, noise; background exactly 0.

    ``spacing`` and ``size_mm`` are along (i, j, k); ``rotation`` turns the grid, not the brain.
    """
    shape = tuple(round(s / v) for s, v in zip(size_mm[::-1], spacing[::-1], strict=True))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if rotation is None else rotation) * np.array(spacing)
    affine[:3, 3] = np.array(centre) - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2.0)
    grid = Grid(shape, affine)  # type: ignore[arg-type]
    k, j, i = np.indices(shape)
    r, a, s = np.moveaxis(grid.to_world(np.stack((i, j, k), axis=-1)) - np.array(centre), -1, 0)
    radius = np.sqrt((r / 66) ** 2 + (a / 82) ** 2 + (s / 66) ** 2)
    ripple = 0.05 * np.sin(r / 5.0) * np.sin(a / 6.0) * np.sin(s / 5.5)
    ventricle = np.sqrt(((np.abs(r) - 10) / 7) ** 2 + ((a + 5) / 30) ** 2 + ((s - 6) / 10) ** 2)
    values = np.where(radius + 2 * ripple < 0.8, 1.0, 0.62)
    values = np.where(radius + 3 * ripple > 0.94, 0.3, values)
    values = np.where(ventricle < 1.0, 0.25, values)
    noise = np.random.default_rng(seed).normal(0.0, 0.02, shape)
    array = np.where(radius < 1.0, gain * (values + noise), 0.0)
    return Volume(array.astype(np.float32), affine, "head")


def turned(degrees: tuple[float, float, float]) -> np.ndarray:
    """3x3 rotation about R, then A, then S."""
    x, y, z = np.deg2rad(degrees)
    about_r = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_a = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_s = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_s @ about_a @ about_r


def one_sentence(text: str) -> bool:
    """Whether an error's text is what a user should read: one sentence, no path, no traceback."""
    return (
        text.endswith(".")
        and "\n" not in text
        and "Traceback" not in text
        and "/" not in text.replace(" / ", " or ")
        and 20 <= len(text) <= 400
    )
