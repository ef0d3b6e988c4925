"""The classifiers of the gate are fitted anew by one command, with the same numbers each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SITTranslateLib.simulation.clinical import KINDS
from SITTranslateLib.training.recipes.contrast_classifiers import recipe as training
from SITTranslateLib.translate import contrast, contrast_picture


@pytest.fixture
def found() -> training.Examples:
    """Kinds that lie apart in both sorts of numbers, of twelve maps."""
    rng = np.random.default_rng(0)
    kinds = np.tile(np.arange(len(KINDS)), 48)
    maps = np.repeat(np.arange(1, 13), len(KINDS) * 4)
    histograms = rng.normal(0, 0.4, (kinds.size, 15)) + rng.normal(0, 1, (len(KINDS), 15))[kinds]
    pictures = rng.normal(0, 0.4, (kinds.size, 30)) + rng.normal(0, 1, (len(KINDS), 30))[kinds]
    return training.Examples(kinds, histograms, pictures.astype(np.float32), maps)


def test_both_learn_and_the_same_files_come_out_again(
    found: training.Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for name in ("one", "two"):
        monkeypatch.setattr(contrast, "MODEL_FILE", tmp_path / f"{name}.json")
        monkeypatch.setattr(contrast_picture, "NETWORK_FILE", tmp_path / f"{name}-picture.json")
        training.write_models(found, {"seed": 0})
        written.append((contrast.MODEL_FILE.read_bytes(), contrast_picture.NETWORK_FILE.read_bytes()))
    assert written[0] == written[1]
    monkeypatch.setattr(contrast_picture, "_model", contrast_picture._model.__wrapped__)
    model = contrast_picture._model()
    new = found.of((11, 12))
    scores = contrast_picture.answer(new.pictures, model)
    assert (scores.argmax(axis=1) == new.kinds).mean() > 0.9


def test_the_maps_that_the_table_is_made_of_were_not_learned_from() -> None:
    from SITTranslateLib.training.recipes.contrast_classifiers.table import HELD_OUT

    assert not set(HELD_OUT) & {*training.LEARNED_FROM, *training.CHOSEN_ON}
    assert not set(training.LEARNED_FROM) & set(training.CHOSEN_ON)


def test_examples_are_made_of_label_maps(tmp_path: Path) -> None:
    from SITTranslateLib.files import write_volume
    from SITTranslateLib.simulation.head import procedural_head

    write_volume(procedural_head(0, spacing=2.0).as_volume(), tmp_path / "map_01.nii.gz")
    made = training.examples(tmp_path, (1,), heads=1, draws=1, seed=0)
    assert set(made.kinds) == set(range(len(KINDS))) and (made.kinds == KINDS.index("T1w")).sum() == 2
    assert made.pictures.shape == (len(made.kinds), 621) and np.isfinite(made.pictures).all()
    assert made.of((2,)).kinds.size == 0
