"""Prescribed follow-ups as SIT's teacher: rates, volumes, and a step of training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.systems.prescribed.presets import preset_changes
from SITTranslateLib.systems.prescribed.regions import parts_named
from SITTranslateLib.systems.sit.courses import course_values, courses_of
from SITTranslateLib.systems.sit.structures import parcellation_sha256
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.grid import training_axes
from SITTranslateLib.training.engine.random_heads import FINE, affine_of
from SITTranslateLib.training.engine.trainer import RunOptions
from SITTranslateLib.training.recipes.sit import prescribed
from SITTranslateLib.training.recipes.sit.config import TrainingConfig
from SITTranslateLib.training.recipes.sit.objective import log_volume_ratios

CONFIG = "brain-change-t1w"


def test_courses_of_the_config_are_those_of_the_presets():
    _, config = recipes.read(CONFIG)
    assert config.network["courses"] == prescribed.course_table()
    assert config.network["attributes"] == list(prescribed.course_table())


@pytest.mark.parametrize(("age", "years"), [(60, 20), (40, 30), (80, -20), (25, 5)])
@pytest.mark.parametrize(("severity", "preset"), [(0.0, "healthy-ageing"), (1.0, "alzheimer")])
def test_log_ratios_are_those_of_the_tables(age, years, severity, preset):
    years = np.sign(years) * min(abs(years), 10) if severity else years
    courses = courses_of(prescribed.course_table())
    values = course_values(courses, {"age": age, "years": years, "severity": severity})
    by_course = {c.name.removesuffix(prescribed.BACK): v for c, v in zip(courses, values, strict=True) if v}
    for region, percent in preset_changes(preset, age, years).items():
        reached = 100 * np.expm1(prescribed.log_ratios(by_course, parts_named(region)))
        np.testing.assert_allclose(reached, percent, atol=0.02 * abs(percent) + 0.05, err_msg=region)


def test_volumes_of_an_even_expansion():
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (8, 10, 12)), indexing="ij")
    field = 0.02 * 4.0 * np.stack((i - 5.5, j - 4.5, k - 3.5))
    middle = (7 * 19 + 9) * 23 + 11
    cells = torch.tensor([middle, middle + 1]), torch.tensor([0, 1]), torch.ones(2)
    found = log_volume_ratios(torch.from_numpy(field)[None], training_axes(), cells, 2)
    np.testing.assert_allclose(found.numpy(), 3 * 0.02, atol=1e-3)
    there_and_back = log_volume_ratios(
        torch.from_numpy(field)[None], training_axes(), cells, 2, history=-torch.from_numpy(field)[None]
    )
    np.testing.assert_allclose(there_and_back.numpy(), 0.0, atol=1e-3)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    """Voxels within an ellipsoid; centre from the middle and radii along (k, j, i), mm."""
    middle = [(n - 1) / 2 + c for n, c in zip(FINE, centre, strict=True)]
    axes = np.ogrid[tuple(slice(n) for n in FINE)]
    return sum(((x - m) / r) ** 2 for x, m, r in zip(axes, middle, radii, strict=True)) < 1


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """Labels of a head of ellipsoids at 1 mm."""
    labels = np.zeros(FINE, np.int16)
    right = np.arange(FINE[2]) >= FINE[2] / 2
    for radius, label in ((75, 507), (68, 515), (62, 24)):
        labels[ellipsoid((0, 0, 0), (radius, radius + 14, radius))] = label
    for radius, left in ((57, 3), (51, 2)):
        inside = ellipsoid((0, 0, 0), (radius, radius + 14, radius))
        labels[inside] = np.where(right, left + 39, left)[np.nonzero(inside)[2]]
    labels[ellipsoid((-40, -15, 0), (22, 13, 13))] = 16
    for side, x in ((0, -16.0), (1, 16.0)):
        labels[ellipsoid((8, 0, x), (9, 26, 7))] = (4, 43)[side]
        labels[ellipsoid((-14, -4, 1.6 * x), (7, 18, 7))] = (17, 53)[side]
    return labels


def test_basis_velocities_change_volumes_as_the_tables_say(head):
    basis, names, cells = prescribed.basis_of(head)
    assert basis.shape == (3, 3, 44, 52, 44)
    assert {"left hippocampus", "right lateral ventricle", "brain stem"} <= set(names)
    as_tensors = tuple(torch.from_numpy(a.astype(t)) for a, t in zip(cells, (int, int, np.float32), strict=True))
    for decades in ((2.0, 2.0, 0.0), (0.0, 0.0, 0.6)):
        velocity = torch.from_numpy(np.tensordot(np.array(decades, np.float32), basis, axes=1))[None]
        # As a history, since the basis is smoothed already.
        found = log_volume_ratios(torch.zeros(1, 3, 44, 52, 44), training_axes(), as_tensors, len(names), velocity)
        asked = prescribed.log_ratios(dict(zip(prescribed.COURSES, decades, strict=True)), names)
        assert np.abs(asked).max() > 0.3
        np.testing.assert_allclose(np.expm1(found.numpy()), np.expm1(asked), atol=0.012)


def test_a_step_of_training(head, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(prescribed, "label_map", lambda folder, name: LabelMap(head, affine_of(1.0)))
    recipe, config = recipes.read(CONFIG)
    few = asdict(config.prescribed) | {"training_maps": ["01"], "heads": 1, "images": 1}
    raw = asdict(config) | {"prescribed": few}
    small = TrainingConfig.from_dict(raw, steps=1)
    trainer = recipe.run(small, tmp_path, tmp_path / "run", RunOptions(accelerator="cpu", workers=0))
    assert trainer.step == 1
    assert len(list(tmp_path.glob("run/prescribed-*/*.npz"))) == 1
    assert len(list(tmp_path.glob("run/prescribed-*/*.npy"))) == 1
    _, network = recipe.finished(tmp_path / "run")
    assert not network.hold_edges
    assert len(network.courses) == 6
    assert network.structures == parcellation_sha256()


def test_terms_that_need_prescribed_follow_ups():
    with pytest.raises(InputError, match="need"):
        TrainingConfig.from_dict(
            {"name": "x", "system": "sit", "network": {}, "data": {"training_maps": ["01"]}, "losses": {"volumes": 1.0}}
        )
