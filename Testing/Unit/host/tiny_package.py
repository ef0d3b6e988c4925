"""A model package of a few kilobytes and a head of a few thousand voxels: fast enough to run in a real process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from SITTranslateLib import systems
from SITTranslateLib.packages import ModelCard, write_package
from SITTranslateLib.volume import Volume

NAME = "tiny-ageing"


def card(parameters: dict[str, object]) -> ModelCard:
    return ModelCard.from_dict({
        "schema_version": 1,
        "name": NAME,
        "version": "0.1.0",
        "title": "Tiny ageing (test)",
        "system": {"name": "sit", "parameters": parameters},
        "source": "T1w",
        "targets": ["T1w"],
        "attributes": [
            {"name": "age", "title": "Age", "unit": "years", "minimum": -30.0, "maximum": 30.0, "default": 10.0,
             "description": "Years older than in the scan."},
            {"name": "lesions", "title": "Lesions", "unit": "mL", "minimum": -25.0, "maximum": 25.0, "default": 0.0,
             "description": "Millilitres more than in the scan."},
        ],
        "grid": {"spacing_mm": 6.0, "shape": [32, 40, 32], "orientation": "RAS", "skull": "either"},
        "normalisation": {"method": "percentile", "low": 0.5, "high": 99.5},
        "training": {"data": "none: random weights", "simulated": True},
        "licence": "Apache-2.0",
        "citation": "none",
        "intended_use": "Tests.",
        "limits": ["Random weights."],
        "figures": [{"name": "recomposition error", "value": 0.1, "unit": "%", "baseline": 0.0}],
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    })  # fmt: skip


def write(folder: Path, name: str = NAME) -> Path:
    """The package in ``folder/name``; its path."""
    parameters: dict[str, object] = {
        "variant": "dit", "attributes": ["age", "lesions"], "scales": [10.0, 10.0], "widths": [4, 8],
        "smoothing_mm": 12.0, "bound_mm": 8.0,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = systems.create("sit", parameters)
        # Fresh heads are zero, which is the identity; a test wants to see something move.
        for parameter in network.parameters():
            if float(parameter.detach().abs().max()) == 0.0:
                torch.nn.init.normal_(parameter, std=0.3)
    return write_package(folder / name, card(parameters), network.state_dict()).folder


def head(size: int = 36, spacing: float = 5.0) -> Volume:
    """An ellipsoid with a bright shell and dark middle, oblique by a few degrees."""
    axis = (np.arange(size) - (size - 1) / 2) * spacing
    s, a, r = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt((r / 68) ** 2 + (a / 84) ** 2 + (s / 72) ** 2)
    ventricle = np.sqrt((r / 14) ** 2 + (a / 30) ** 2 + (s / 12) ** 2)
    values = np.where(radius < 1.0, 100.0 + 40.0 * (radius > 0.75), 0.0)
    values = np.where(ventricle < 1.0, 20.0, values)
    values = values + np.random.default_rng(3).normal(0.0, 1.0, values.shape) * (radius < 1.0)
    angle = np.deg2rad(8.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = -affine[:3, :3] @ np.full(3, (size - 1) / 2)
    return Volume(values.astype(np.float32), affine, "head")
