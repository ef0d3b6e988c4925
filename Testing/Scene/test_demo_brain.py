"""The demo's own segments: the lateral ventricles of the average brain, found without a model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("nilearn", reason="nilearn is not installed: pip install '.[demo]'")

from SITTranslateLib.app import demo_brain
from SITTranslateLib.errors import InputError


def test_ventricles_of_the_average_brain_are_two_and_of_a_plausible_size() -> None:
    """About 15 to 25 ml of lateral ventricles, as much on the left as on the right, none in the midline."""
    brain, labels = demo_brain.load_brain()
    assert brain.grid.matches(labels.grid)
    assert brain.array.max() == pytest.approx(demo_brain.SCALE)
    found = np.argwhere(labels.array == demo_brain.VENTRICLES)[:, ::-1].astype(float)
    volume_ml = len(found) * brain.grid.voxel_volume / 1000
    assert 12 < volume_ml < 25
    right = brain.grid.to_world(found)[:, 0]
    assert 0.8 < np.sum(right > 0) / np.sum(right < 0) < 1.25
    assert np.abs(right).min() > 1
    darkness = brain.array[labels.array == demo_brain.VENTRICLES].mean()
    assert darkness < 0.6 * brain.array[labels.array == demo_brain.WHITE].mean()


def test_where_nilearn_keeps_its_files_elsewhere_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    values, affine = demo_brain.template("gm")
    monkeypatch.setattr(demo_brain, "_FILE", "elsewhere/{}.nii.gz")
    again, same = demo_brain.template("gm")
    np.testing.assert_allclose(again, values, atol=1e-6)
    np.testing.assert_array_equal(same, affine)
    monkeypatch.setattr(demo_brain, "_LOADERS", {"gm": "load_nothing"})
    with pytest.raises(InputError, match=r"install version 0\.11 or later"):
        demo_brain.template("gm")
    monkeypatch.setattr(demo_brain, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs nilearn"):
        demo_brain.template("gm")
