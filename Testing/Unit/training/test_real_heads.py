"""Real visits in the form of phantoms: who gives which contrast, units, grids, classes; recipes that draw from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import ALL_SASAN, SASAN, aldm_config, cross_config, fabric, plasticine_config
from tiny_visits import person

from SITTranslateLib.errors import InputError
from SITTranslateLib.segmentation import CLASSES
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine import real_heads as module
from SITTranslateLib.training.engine.real_heads import apart, coarser, real_heads
from SITTranslateLib.training.engine.trainer import RunOptions
from SITTranslateLib.training.engine.visits import FOLDS, training_visits
from SITTranslateLib.training.recipes.plasticine.config import Stage

FOLD = "without-ms-cross"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every visit is a drawn person; the segmentation calls bright what is bright."""

    def tissues(network: object, image: torch.Tensor) -> torch.Tensor:
        white = (image > image.median()).float()
        return torch.cat([1.0 - white if n == 1 else white if n == 4 else 0 * white for n in range(len(CLASSES))], 1)

    people = {v.name: replace(person(n), name=v.name) for n, v in enumerate(training_visits("all"))}
    monkeypatch.setattr(module, "prepared", lambda visit, data, cache: people[visit.name])
    monkeypatch.setattr(module, "tissue_probabilities", tissues)


@pytest.mark.parametrize("fold", list(FOLDS))
def test_nobody_gives_both_contrasts_and_everybody_gives_one(fold: str) -> None:
    visits = training_visits(fold)
    t1w, t2w = apart(visits, "T1w", "T2w")
    ours, theirs = ({v.subject for v in some} for some in (t1w, t2w))
    assert not ours & theirs and ours | theirs == {v.subject for v in visits if {"T1w", "T2w"} & set(v.scans)}
    assert abs(len(ours) - len(theirs)) <= 1
    assert all("T1w" in v.scans for v in t1w) and all("T2w" in v.scans for v in t2w)


def test_a_head_has_the_units_of_the_stripped_brain_and_classes(drawn: None, tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    heads = real_heads(FOLD, tmp_path, tmp_path, ("T1w", "T2w"), paired=False)
    assert all(len(head.scans) == 1 for head in heads) and {c for h in heads for c in h.scans} == {"T1w", "T2w"}
    head = next(h for h in heads if h.name == "ms-long-12-visit-1")
    ((contrast, scan),) = head.scans.items()
    whole = head.slab(contrast, 0, len(scan), strip=True)
    middle = np.median(whole[(head.mask > 0) & (whole > 0.02)])
    assert 0.4 < middle < 0.6 and not whole[head.mask == 0].any()
    assert set(np.unique(head.classes)) == {1, 3}, "fluid and white matter, by the phantoms' numbers"
    assert len(list((tmp_path / "prepared").glob("*-classes.npy"))) == len(heads)


def test_on_2_mm_a_voxel_is_the_mean_of_eight_and_lies_between_them(drawn: None, tmp_path: Path) -> None:
    fine = np.arange(4 * 6 * 2, dtype=np.float32).reshape(4, 6, 2)
    assert coarser(fine)[0, 0, 0] == fine[:2, :2, :2].mean() and coarser(fine).shape == (2, 3, 1)
    heads = real_heads(FOLD, tmp_path, tmp_path, ("T1w", "T2w", "FLAIR"), coarse=True)
    assert all(len(head.scans) > 1 and head.scans["FLAIR"].shape == (24, 28, 26) for head in heads)
    assert np.array_equal(heads[0].affine, [[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])


def test_recipes_draw_from_a_fold_by_naming_it(drawn: None, tmp_path: Path) -> None:
    """SASAN without pairs, ALDM and Plasticine's renderer; each takes a step on real visits."""
    (tmp_path / "prepared").mkdir()
    terms = replace(ALL_SASAN, voxel=0, usual=1)
    sasan = cross_config("sasan", SASAN, terms, False, crop=32)
    sasan = replace(sasan, heads=replace(sasan.heads, fold=FOLD))
    aldm = aldm_config(heads={"fold": FOLD}, network={**aldm_config().network, "contrasts": ["T1w", "T2w", "FLAIR"]})
    painted = plasticine_config(Stage("renderer", 1, maps="predicted", aged=0.0))
    network = {**painted.network, "structure_widths": [16, 32, 64, 96]}
    painted = replace(painted, heads=replace(painted.heads, fold=FOLD), network=network)
    for config in (sasan, aldm, painted):
        recipe = recipes.for_system(config.system)
        trainer = recipe.trainer(config, tmp_path, tmp_path, fabric(), RunOptions())
        batch = next(trainer.batches(0))
        assert np.isfinite(trainer.run_step(batch)["total"]), config.system
        if config is sasan:
            assert batch["source"].shape == (2, 3, 32, 32) and "target_clean" not in batch
            assert all(float(b["paired"].sum()) == 0 for b in islice(trainer.batches(0), 3))


def test_what_real_visits_cannot_give_is_refused() -> None:
    raw = cross_config("sasan", SASAN, ALL_SASAN, False).to_dict()
    with pytest.raises(InputError, match="no partners"):
        recipes.for_system("sasan").parse(raw | {"heads": {"fold": FOLD}})
    aged = plasticine_config(Stage("renderer", 1)).to_dict()
    with pytest.raises(InputError, match="do not age"):
        recipes.for_system("plasticine").parse(aged | {"heads": {"fold": FOLD}})
    with pytest.raises(InputError, match="no fold 'nobody'"):
        real_heads("nobody", Path(), Path(), ("T1w", "T2w"))
    with pytest.raises(InputError, match="nobody to learn T1w and PD from"):
        real_heads(FOLD, Path(), Path(), ("T1w", "PD"))
