"""Training between two contrasts on tiny heads: every switch takes a step, it learns, and is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_phantoms import tiny_phantom
from tiny_runs import ALL_SASAN, ALL_UNIT, UNIT, heads
from tiny_runs import SASAN as BOTH_WAYS
from tiny_runs import cross_config as a_config
from tiny_runs import cross_trainer as trainer_of

from SITTranslateLib.errors import InputError
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.discriminators import PatchScales, discriminator_loss, generator_loss
from SITTranslateLib.training.engine.publishing import publish
from SITTranslateLib.training.recipes.cross_contrast.config import Terms
from SITTranslateLib.training.recipes.cross_contrast.data import batches, class_means
from SITTranslateLib.translate.model import load_model

ABLATION = {
    "plain UNIT": a_config("sa_unit", UNIT | {"attention": "none", "strides": 2, "norm": "instance", "output": "tanh"},
                           replace(ALL_UNIT, voxel=0), False, charbonnier=0.0, noise=1.0, critic_spectral=False),
    "Charbonnier": a_config("sa_unit", UNIT | {"attention": "none"}, replace(ALL_UNIT, voxel=0), False, noise=1.0),
    "spectral": a_config("sa_unit", UNIT | {"attention": "none", "spectral": ["encoder", "generator"]},
                         replace(ALL_UNIT, voxel=0), False, charbonnier=0.0, noise=1.0),
    "attention in generator": a_config("sa_unit", UNIT | {"attention": "generator"}, ALL_UNIT, False, noise=1.0),
    "attention in generator, spectral": a_config(
        "sa_unit", UNIT | {"attention": "generator", "spectral": ["encoder", "generator"]}, ALL_UNIT, False),
    "SA-UNIT": a_config("sa_unit", UNIT | {"attention": "encoder", "spectral": ["encoder", "generator"]},
                        replace(ALL_UNIT, voxel=0), False, noise=1.0),
    "SA-UNIT paired": a_config("sa_unit", UNIT, Terms(voxel=1, self_reconstruction=1, cycle=1), cycle_every=2),
    "SA-UNIT, some pairs": a_config("sa_unit", UNIT, ALL_UNIT, False, paired_share=0.5),
    "SA-UNIT, usual brightness": a_config(
        "sa_unit", UNIT, replace(ALL_UNIT, voxel=0, usual=1), False, usual_first=2, usual_last=0.1),
    "SA-UNIT 3D, usual brightness": a_config("sa_unit", UNIT | {"dims": 3}, Terms(cycle=1, usual=1), False),
    "SA-UNIT 2D": a_config("sa_unit", UNIT | {"dims": 2}, ALL_UNIT, False, matched_slices=-1),
    "SA-UNIT 3D": a_config("sa_unit", UNIT | {"dims": 3}, ALL_UNIT, False, critic_scales=1),
    "SASAN": a_config("sasan", BOTH_WAYS, replace(ALL_SASAN, voxel=0), False, attention_first=1, attention_rate=0.1),
    "SASAN, attention frozen": a_config("sasan", BOTH_WAYS, replace(ALL_SASAN, voxel=0), False, attention_rate=0.0),
    "SASAN, usual brightness": a_config(
        "sasan", BOTH_WAYS, replace(ALL_SASAN, voxel=0, usual=1), False, usual_first=2),
    "SASAN without labels": a_config(
        "sasan", BOTH_WAYS, replace(ALL_SASAN, voxel=0, segmentation=0, segmentation_fake=0, class_adversarial=0),
        False),
    "SASAN, shared attention": a_config("sasan", BOTH_WAYS | {"share_attention": True}, ALL_SASAN, False),
    "SASAN paired": a_config("sasan", BOTH_WAYS | {"directions": ["T1w>T2w"]},
                             Terms(voxel=1, segmentation=1, orthogonality=1)),
    "SASAN 3D": a_config("sasan", BOTH_WAYS | {"dims": 3}, replace(ALL_SASAN, adversarial=0, latent_adversarial=0),
        True),
    "regression": a_config("regression", {"source": "T1w", "target": "T2w", "widths": [4, 6]}, Terms(voxel=1)),
    "segmenter": a_config("regression", {"source": "T1w", "target": "classes", "widths": [4, 6], "outputs": 6},
                          Terms(segmentation=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", ABLATION)
def test_every_row_of_the_ablations_takes_its_steps(name: str) -> None:
    config = ABLATION[name]
    trainer = trainer_of(config)
    before = {n: p.detach().clone() for n, p in trainer.network.named_parameters()}
    source = batches(heads(), config)
    logged = [trainer.run_step(next(source)) for _ in range(2)]
    assert all(np.isfinite(value) for step in logged for value in step.values())
    wanted = {n for n, weight in vars(config.terms).items() if weight > 0}
    assert wanted <= set(logged[0]) | set(logged[1])
    moved = {n for n, p in trainer.network.named_parameters() if not torch.equal(p, before[n])}
    assert moved, "something must learn"
    if config.schedule.attention_rate == 0:
        assert not any(n.startswith("attention.") for n in moved)


def test_learns_a_translation_better_than_doing_nothing() -> None:
    config = a_config(
        "regression", {"source": "T1w", "target": "T2w", "widths": [8, 12]}, Terms(voxel=1), steps=150, rate=5e-3,
        betas=(0.9, 0.99), average=0.9,
    )  # fmt: skip
    trainer = trainer_of(config)
    for batch in islice(batches(heads(), config), config.schedule.steps):
        trainer.run_step(batch)
    unseen = tiny_phantom(99)
    source, truth = unseen.slab("T1w", 7, 3), unseen.slab("T2w", 7, 3, clean=True)
    with torch.no_grad():
        made = trainer.network(torch.from_numpy(source)[None])[0].numpy()
    assert np.abs(made - truth).mean() < 0.7 * np.abs(source - truth).mean()


def test_a_finished_run_is_published_one_way(finished_run: Callable[[str], Path], tmp_path: Path) -> None:
    recipe, config, expected = recipes.finished(finished_run("sa_unit"))
    weights = expected.state_dict()
    package = publish(
        recipe, config, weights, tmp_path / "t2w-to-t1w", card="t2w-to-t1w", data="tests", figures=[]
    )  # fmt: skip
    network = load_model(package, "cpu").network
    image = torch.rand(1, 1, 8, 16, 16)
    given = network.translate(image, {}, np.eye(4)).translated
    expected.contrasts = ("T2w",), ("T1w",)
    torch.testing.assert_close(given, expected.translate(image, {}, np.eye(4)).translated, atol=5e-3, rtol=5e-3)
    with pytest.raises(InputError, match="does not translate T1w to CT"):
        publish(recipe, config, weights, tmp_path / "no", card="t1w-to-ct", data="tests", figures=[])


def test_batches_are_the_same_at_a_step_and_pairs_are_pairs() -> None:
    config = ABLATION["SA-UNIT paired"]
    third = list(islice(batches(heads(), config), 3))[2]
    resumed = next(batches(heads(), config, start=2))
    assert all(torch.equal(third[n], resumed[n]) for n in third)
    apart = list(islice(batches(heads(), ABLATION["SA-UNIT"]), 20))
    assert all(float(b["paired"].sum()) == 0 for b in apart)
    assert 0 < sum(float(b["paired"].sum()) for b in islice(batches(heads(), ABLATION["SA-UNIT, some pairs"]), 20)) < 40


def test_unpaired_examples_come_from_different_heads() -> None:
    ours = replace(ABLATION["SA-UNIT"], schedule=replace(ABLATION["SA-UNIT"].schedule, strip=0.0, matched_slices=0))
    marked = [replace(h, scans={c: np.full_like(v, n) for c, v in h.scans.items()}) for n, h in enumerate(heads())]
    for batch in islice(batches(marked, ours), 10):
        assert set((batch["source"] > 0.5).flatten().tolist()) <= {False, True}
        numbers = {"source": batch["source"].amax(dim=(1, 2, 3)), "target": batch["target"].amax(dim=(1, 2, 3))}
        assert all(round(float(x)) % 2 == 0 or float(x) > 1.2 for x in numbers["source"])
        assert all(float(x) > 0.5 for x in numbers["target"]), "targets are of the odd heads"


def test_usual_brightness_is_of_the_other_head_and_anatomy_of_ones_own() -> None:
    config = ABLATION["SA-UNIT, usual brightness"]
    config = replace(config, schedule=replace(config.schedule, strip=0.5, matched_slices=0))
    for batch in islice(batches(heads(), config), 6):
        for row in range(len(batch["paired"])):
            classes, painted = batch["classes"][row], batch["target_by_class"][row]
            levels = [painted[painted.shape[0] // 2][classes == c].unique() for c in classes.unique().tolist()]
            assert all(len(level) == 1 for level in levels), "each class has one brightness"
    head = heads()[1]
    means = class_means(head, "T2w", False)
    thin = head.scans["T2w"][::3, ::3, ::3].astype(np.float32)
    present = np.unique(head.classes[::3, ::3, ::3])
    for index in present:
        assert means[index] == pytest.approx(thin[head.classes[::3, ::3, ::3] == index].mean(), abs=1e-4)


def test_the_usual_term_falls_to_its_last_share_and_the_discriminators_wake_after_it() -> None:
    config = a_config("sa_unit", UNIT, Terms(usual=1), False, steps=40, usual_first=10, usual_last=0.25)
    objective = trainer_of(config).objective.module
    assert [objective.usual_left(step) for step in (0, 5, 10, 39)] == pytest.approx([1.0, 0.625, 0.25, 0.25])


def test_least_squares_has_no_activation_on_its_scores() -> None:
    scores = [torch.tensor([[-2.0, 3.0]])]
    assert float(generator_loss(scores)) == pytest.approx((9 + 4) / 2)
    assert float(discriminator_loss(scores, scores)) == pytest.approx((9 + 4) / 2 + (4 + 9) / 2)


def test_scales_see_smaller_images_and_classes_have_their_own_discriminator() -> None:
    one, two = PatchScales(2, 3, 4, scales=2)(torch.rand(1, 3, 64, 64))
    assert one.shape[-1] > two.shape[-1]
    grouped = PatchScales(2, 5, 4, groups=5)
    image = torch.rand(1, 5, 32, 32)
    changed = image.clone()
    changed[:, 2] += 1
    difference = (grouped(changed)[0] - grouped(image)[0]).detach().abs().amax(dim=(0, 2, 3))
    others = float(difference[[0, 1, 3, 4]].max())
    assert float(difference[2]) > 100 * others, "each reading of spectral weights iterates once more, and no more"
