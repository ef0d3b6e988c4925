"""ALDM's stages on tiny heads: each changes its own part, they go on from one another, and become a package."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import ALDM as NETWORK
from tiny_runs import aldm_config as a_config
from tiny_runs import aldm_trainer as trainer_of
from tiny_runs import heads as all_heads

from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import procedural_head
from SITTranslateLib.simulation.subject import plain_subject
from SITTranslateLib.systems.aldm.codec import REACH
from SITTranslateLib.systems.aldm.denoiser import ResidualDenoiser
from SITTranslateLib.systems.aldm.network import ALDMNetwork
from SITTranslateLib.training import recipes
from SITTranslateLib.training.engine.config import card_file
from SITTranslateLib.training.engine.phantoms import Phantom, read_phantom
from SITTranslateLib.training.engine.publishing import publish
from SITTranslateLib.training.recipes.aldm import objective as aldm_objectives
from SITTranslateLib.training.recipes.aldm.data import batch_of, inside
from SITTranslateLib.training.recipes.aldm.objective import gradient_loss, voxel_loss
from SITTranslateLib.training.recipes.aldm.phantoms import CONTRASTS, SHAPE, ContrastPhantomSet, _simulate
from SITTranslateLib.training.recipes.aldm.recipe import ALDMTrainer
from SITTranslateLib.training.recipes.aldm.tissue_mapping import fit_tissue_mapping
from SITTranslateLib.translate.model import load_model

#: The tissue mapping is fitted where the autoencoder ends; no step changes it.
PART = {"autoencoder": "codec.", "ms_spade": "generator.", "diffusion": "denoiser.", "detail": "detail."}


@pytest.fixture(scope="module")
def heads() -> list[Phantom]:
    return all_heads()[:3]


def weights(trainer: ALDMTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


@pytest.mark.parametrize("paint", [False, True])
def test_each_stage_changes_its_own_part_and_no_other(paint: bool, heads: list[Phantom]) -> None:
    config = a_config(steps=2, paint=paint)
    trainer = trainer_of(config)
    for _ in range(config.steps):
        trainer.enter_stage()
        before = weights(trainer)
        losses = trainer.run_step(next(trainer.batches(trainer.step)))
        changed = {name for name, value in weights(trainer).items() if not torch.equal(value, before[name])}
        assert changed and all(name.startswith(PART[trainer.stage]) for name in changed), trainer.stage
        assert all(v == v and v < 1e3 for v in losses.values()), losses
    assert trainer.stage == "detail"


def test_after_the_autoencoder_latents_have_unit_variance_and_a_codebook(heads: list[Phantom]) -> None:
    config = a_config(steps=4)
    trainer = trainer_of(config)
    assert isinstance(trainer.network, ALDMNetwork)
    for step in range(5):
        assert trainer.network.codec.settled == (step > 1)
        trainer.enter_stage()
        trainer.run_step(batch_of(heads, config, trainer.step))
    assert trainer.stage == "ms_spade"
    images = torch.from_numpy(heads[0].slab("T2w", 0, 16, clean=True))[None, None]
    spread = trainer.network.codec.encode(images).std(dim=(0, 2, 3, 4))
    assert bool((spread > 0.3).all()) and bool((spread < 3.0).all())


def test_after_the_generator_the_residuals_spread_is_what_it_misses() -> None:
    config = a_config(network={**NETWORK, "prediction": "residual"})
    trainer = trainer_of(config)
    for _ in range(5):
        if trainer.enter_stage() and trainer.stage == "diffusion":
            break
        trainer.run_step(next(trainer.batches(trainer.step)))
    denoiser = trainer.network.denoiser  # type: ignore[union-attr]
    assert isinstance(denoiser, ResidualDenoiser) and trainer.step == 4
    missed = torch.cat([trainer.objective.residual(b) for b in islice(trainer.batches(2), 2)]).square()
    # The batches of the stage are two.
    assert torch.allclose(denoiser.spread, missed.mean(dim=(0, 2, 3, 4), keepdim=True).sqrt(), rtol=1e-4)
    losses = trainer.run_step(next(trainer.batches(trainer.step)))
    assert 0.3 < losses["latent"] < 3.0, "in units of what a Gaussian residual leaves"


def test_who_is_stopped_between_two_stages_goes_on_from_the_end_of_the_first(
    heads: list[Phantom], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = a_config(steps=2)
    first = trainer_of(config)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(first, "end_stage", stopped)
    with pytest.raises(KeyboardInterrupt):
        first.train(tmp_path, save_every=100)
    again = trainer_of(config)
    again.resume(tmp_path)
    assert again.step == 2 and (tmp_path / "after-autoencoder.ckpt").is_file()


def test_the_mapping_is_fitted_and_the_preview_begins_as_the_mapped_scan(heads: list[Phantom]) -> None:
    config = a_config(steps=2, paint=True)
    trainer = trainer_of(config)
    tissues = trainer.tissues
    for _ in range(3):
        if trainer.step == 2:
            assert not trainer.network.painter.weight.any()  # type: ignore[union-attr]
            trainer.enter_stage()
            break
        trainer.run_step(batch_of(heads, config, trainer.step, tissues.shares))
    net = trainer.network.eval()
    assert isinstance(net, ALDMNetwork) and net.painter is not None and net.painter.weight.any()
    batch = batch_of(heads, config, 2, tissues.shares)
    assert batch.shares.shape == (1, 7, *batch.source.shape[2:]) and int(batch.shares.max()) > 200
    with torch.no_grad():
        view = net.view(batch.source, 1, batch.shares / 255.0)
        assert view.mapped is not None and torch.equal(net.preview(view, 1), view.mapped_latent)
        # What the codec loses of it is given back, so that untrained the image is the mapped scan.
        made = net.image_of(net.preview(view, 1), view, 1, net.lost(view))
    assert torch.allclose(made, view.mapped.clamp(0.0, 4.0), atol=1e-5)


def test_untrained_a_stage_loses_what_the_mapped_scan_lacks_and_nothing_to_the_codec(heads: list[Phantom]) -> None:
    config = a_config(steps=2, paint=True)
    trainer = trainer_of(config)
    tissues = trainer.tissues
    assert isinstance(trainer.network, ALDMNetwork)
    fit_tissue_mapping(trainer.network.painter, heads, NETWORK["contrasts"], tissues)  # type: ignore[arg-type]
    for stage, step in (("ms_spade", 2), ("diffusion", 4), ("detail", 6)):
        batch = batch_of(heads, config, step, tissues.shares)
        views = trainer.objective._views(batch)
        mapped = torch.cat([inside(view.mapped, batch.corner, 16) for view in views])  # type: ignore[arg-type]
        truth, weight = inside(batch.targets, batch.corner, 16), inside(batch.weight, batch.corner, 16)
        torch.manual_seed(0)
        found = float(trainer.objective(stage, batch).terms["voxel"].detach())
        assert found == pytest.approx(float(voxel_loss(mapped, truth, weight)), abs=1e-4), stage


def test_a_block_is_decoded_as_it_is_within_the_head(heads: list[Phantom], monkeypatch: pytest.MonkeyPatch) -> None:
    config = a_config()
    trainer, batch = trainer_of(config), batch_of(heads, config, 5)
    assert isinstance(trainer.network, ALDMNetwork)
    codec = trainer.network.codec.eval()
    latents = torch.randn(1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    (k, j, i), side = batch.corner, 16
    off = {}
    with torch.no_grad():
        whole = codec.decode(latents)[..., k : k + side, j : j + side, i : i + side]
        for about in (0, aldm_objectives.ABOUT, REACH):
            monkeypatch.setattr(aldm_objectives, "ABOUT", about)
            made, truth, weight = trainer.objective._decoded(latents, batch, "ms_spade")
            assert made.shape[2:] == truth.shape[2:] == weight.shape[2:] == whole.shape[2:]
            off[about] = float((made - whole).abs().mean() / whole.std())
    assert off[REACH] < 1e-5 and off[3] < 0.02 and off[0] > 4 * off[3]


def test_a_stage_may_look_at_the_brain_more(heads: list[Phantom]) -> None:
    made, truth = torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    # As far off within the brain as outside: how much it counts shows in the weighted mean.
    made[..., :2], weight = 1.0, torch.ones(1, 1, 4, 4, 4)
    weight[..., :2] = 2.0
    for brain, share in ((1.0, 2 / 3), (8.0, 16 / 17)):
        config = a_config(stages={"detail": {"steps": 1, "brain": brain}})
        found = trainer_of(config).objective._images("detail", made, truth, weight)
        assert float(found["voxel"]) == pytest.approx(share), brain
    # Of three steps along one axis the one that there is counts 1 of 16 + 1 + 1.
    assert float(found["gradient"]) == pytest.approx(1 / 18 / 3)


def test_squared_losses_ask_for_the_mean_and_absolute_ones_for_the_median() -> None:
    truths = torch.tensor([0.0, 0.0, 1.0]).reshape(3, 1, 1, 1, 1).expand(3, 1, 2, 2, 2)
    even = torch.ones_like(truths)
    tried = torch.linspace(0.0, 1.0, 31)
    for squared, best in ((True, 1 / 3), (False, 0.0)):
        losses = [float(voxel_loss(torch.full_like(truths, float(v)), truths, even, squared=squared)) for v in tried]
        assert float(tried[int(np.argmin(losses))]) == pytest.approx(best, abs=0.02)
    edge = torch.zeros(1, 1, 2, 2, 2)
    edge[..., 1] = 0.5
    for squared, size in ((True, 2.5), (False, 0.5)):
        assert float(gradient_loss(edge, torch.zeros_like(edge), squared=squared)) == pytest.approx(size / 3)


def test_it_learns(heads: list[Phantom]) -> None:
    config = a_config("any_regression", steps=60)
    trainer = trainer_of(config)
    losses = [trainer.run_step(batch_of(heads, config, n))["voxel"] for n in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_batches_belong_to_their_step_and_hold_one_head(heads: list[Phantom]) -> None:
    config = a_config()
    step = config.stages["autoencoder"].steps
    one, same, other = (batch_of(heads, config, n) for n in (step, step, step + 1))
    assert torch.equal(one.source, same.source) and not torch.equal(one.source, other.source)
    assert one.contrast not in one.indices and one.targets.shape == (2, 1, 16, 32, 32)
    assert all(c % 4 == 0 for c in one.corner)


def test_a_finished_run_becomes_a_package_with_the_cards_targets(
    finished_run: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe, config, network = recipes.finished(finished_run("aldm"))
    text = card_file("brain-contrasts").read_text(encoding="utf-8")
    for old, new in (
        ('targets = ["T2w", "FLAIR", "T1w", "PD", "T1wGd"]', 'targets = ["T2w", "T1w"]'),
        ('choices = ["T2w", "FLAIR", "T1w", "PD", "T1wGd"]', 'choices = ["T2w", "T1w"]'),
        ('further_sources = ["T2w", "FLAIR", "PD", "T1wGd"]', 'further_sources = ["T2w"]'),
        ("maximum = 4", "maximum = 1"),
        ('choices = ["as it looks", "T2w", "FLAIR", "T1w", "PD", "T1wGd"]', 'choices = ["as it looks", "T2w", "T1w"]'),
        ("maximum = 5", "maximum = 2"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "card.toml").write_text(text, encoding="utf-8")
    weights_, card = network.state_dict(), tmp_path / "card.toml"
    package = publish(recipe, config, weights_, tmp_path / "p", card=card, data="x", figures=[])
    loaded = load_model(package, "cpu").network
    assert isinstance(loaded, ALDMNetwork) and loaded.targets == ("T2w", "T1w") and len(loaded.contrasts) == 3


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"stages": {"warm-up": {"steps": 1}}}, "stages of 'aldm' are some of autoencoder"),
    ({"network": {"contrasts": ["T1w", "PET"]}}, "contrast 'PET' is not simulated"),
])  # fmt: skip
def test_a_config_without_sense_is_one_sentence(changes: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        a_config(**changes)


def test_a_simulated_head_has_every_contrast(tmp_path: Path) -> None:
    pool = ContrastPhantomSet(("procedural-1",), heads=1, shape=(24, 28, 24), lesion_load_ml=(0.0, 0.0), deform=False)
    _simulate(pool, plain_subject(procedural_head(seed=1, spacing=3.0)), 0, tmp_path / "000")
    head = read_phantom(tmp_path / "000", CONTRASTS)
    assert set(head.scans) == {"T1w", "T1wGd", "T2w", "FLAIR", "PD", "CT"} and head.classes.shape == (24, 28, 24)
    inside = head.mask > 0
    assert inside.any() and float(head.clean["T2w"][inside].astype("f4").std()) > 0.02
    assert pool.key != ContrastPhantomSet(("procedural-1",), shape=SHAPE).key
