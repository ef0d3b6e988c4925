"""A tiny run of every recipe, made of formulas: no data, some steps, seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from blob_training import AXES, a_config, blob_batches
from lightning.fabric import Fabric
from tiny_ageing_phantoms import tiny_ageing_phantom
from tiny_phantoms import tiny_phantom
from tiny_visits import person

from SITTranslateLib.simulation import brain_mask, procedural_head
from SITTranslateLib.simulation.labels import LabelMap
from SITTranslateLib.training.engine.phantoms import Phantom, PhantomSet
from SITTranslateLib.training.engine.random_heads import head_of
from SITTranslateLib.training.engine.trainer import Trainer
from SITTranslateLib.training.recipes.aldm import config as aldm
from SITTranslateLib.training.recipes.aldm.recipe import ALDMTrainer
from SITTranslateLib.training.recipes.aldm.tissue_mapping import FoundTissues
from SITTranslateLib.training.recipes.cross_contrast import config as cross
from SITTranslateLib.training.recipes.cross_contrast.data import batches as slices
from SITTranslateLib.training.recipes.cross_contrast.recipe import CrossContrastTrainer
from SITTranslateLib.training.recipes.plasticine import config as plasticine
from SITTranslateLib.training.recipes.plasticine.data import Batches
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingPhantom, AgeingPhantomSet
from SITTranslateLib.training.recipes.plasticine.recipe import PlasticineTrainer
from SITTranslateLib.training.recipes.real_contrasts import samples
from SITTranslateLib.training.recipes.real_contrasts.config import RealContrastsConfig
from SITTranslateLib.training.recipes.real_contrasts.recipe import RealContrastsTrainer
from SITTranslateLib.training.recipes.segmentation import parcellation_data, tissue_data
from SITTranslateLib.training.recipes.segmentation.config import ParcellationConfig, StructureConfig
from SITTranslateLib.training.recipes.segmentation.recipe import SegmentationTrainer
from SITTranslateLib.training.recipes.segmentation.tissue_data import DeformedHead
from SITTranslateLib.training.recipes.sit.recipe import SITTrainer

UNIT = {"encoders": ["T1w", "T2w"], "generators": ["T1w", "T2w"], "base": 4, "width": 8, "blocks": 1}
SASAN = {"directions": ["T1w>T2w", "T2w>T1w"], "attention_widths": [4, 6, 8], "widths": [4, 6, 8], "hidden": 4}
ALL_UNIT = cross.Terms(voxel=1, self_reconstruction=1, cycle=1, kl=0.01, kl_cycle=0.01, adversarial=1)
ALL_SASAN = cross.Terms(
    voxel=1, cycle=1, adversarial=1, identity=1, segmentation=1, segmentation_fake=1, consistency=1,
    orthogonality=1, class_adversarial=1, latent_adversarial=1, pseudo=1,
)  # fmt: skip
ALDM = {
    "contrasts": ["T1w", "T2w", "CT"], "latent": 3, "codes": 8, "codec": [4, 6], "spade": [6], "hidden": 4,
    "widths": [6, 8], "detail": [4, 6],
}  # fmt: skip
PLASTICINE = {
    "source": "T1w", "target": "T2w", "structure_widths": [4, 6], "steps": 2, "samples": 2,
    "renderer_widths": [6, 8], "squeeze": 4, "deformation_widths": [6, 8], "smoothing_mm": 2.0,
}  # fmt: skip
DEFORMATION = plasticine.Terms(
    structure=10, correlation=0.1, information=0.1, motion=0.1, membrane=1, bending=1, alignment=0.1
)


def fabric(precision: Any = "32-true") -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision=precision)


@cache
def heads() -> list[Phantom]:
    return [tiny_phantom(seed) for seed in range(4)]


@cache
def ageing_heads() -> list[AgeingPhantom]:
    return [tiny_ageing_phantom(seed) for seed in range(3)]


@cache
def labelled_heads() -> list[DeformedHead]:
    # Voxels of 2 mm are taken for 1 mm: a small head.
    head = procedural_head(seed=1, spacing=2.0)
    return [DeformedHead(head.array, brain_mask(head))]


def sit_trainer(config: Any, precision: str = "32-true") -> SITTrainer:
    return SITTrainer(config, fabric(precision), blob_batches, AXES)


def cross_config(
    system: str, network: dict, terms: cross.Terms, paired: bool = True, **schedule: object
) -> cross.CrossContrastConfig:
    fast: dict[str, Any] = {"steps": 4, "batch": 2, "critic_width": 4, "average": 0.5, "block": 16} | schedule
    return cross.CrossContrastConfig(
        "tiny", system, "T1w", "T2w", paired, network, PhantomSet(("01",)), terms, cross.Schedule(**fast)
    )


def cross_trainer(config: cross.CrossContrastConfig) -> CrossContrastTrainer:
    return CrossContrastTrainer(config, fabric(), partial(slices, heads(), config))


def aldm_config(system: str = "aldm", steps: int = 2, *, paint: bool = False, **changes: object) -> aldm.ALDMConfig:
    network = ALDM | {"paint": paint} if system == "aldm" else {"contrasts": ALDM["contrasts"], "widths": [4, 6]}
    stages = {name: {"steps": steps, "targets": 2, "block": 16} for name in aldm.STAGES[system]}
    raw = {"name": "tiny", "system": system, "network": network, "heads": {"maps": ["01"]}, "stages": stages,
           "terms": {"adversarial": 0.1}, "schedule": {"average": 0.5, "decoded_diffusion": paint}}  # fmt: skip
    return aldm.ALDMConfig.from_dict({**raw, **changes})


@cache
def found_tissues() -> FoundTissues:
    return FoundTissues(heads()[:3])


def aldm_trainer(config: aldm.ALDMConfig) -> ALDMTrainer:
    return ALDMTrainer(config, fabric(), heads()[:3], found_tissues())


def plasticine_config(*stages: plasticine.Stage, **network: object) -> plasticine.PlasticineConfig:
    return plasticine.PlasticineConfig(
        "tiny", {**PLASTICINE, **network}, AgeingPhantomSet(("01",)), stages, average=0.5
    )


def plasticine_trainer(
    config: plasticine.PlasticineConfig, some: list[AgeingPhantom] | None = None, **weights: Any
) -> PlasticineTrainer:
    return PlasticineTrainer(config, fabric(), lambda net: Batches(some or ageing_heads(), config, net), **weights)


def paper_config() -> plasticine.PlasticineConfig:
    stages = (plasticine.Stage("renderer", 2), plasticine.Stage("deformation", 2, together=1.0, terms=DEFORMATION))
    network = {"source": "T1w", "target": "T2w", "renderer_widths": [6, 8], "deformation_widths": [6, 8], "steps": 2}
    return replace(plasticine_config(*stages), network=network, system="plasticine_paper")


def structure_config(**changes: Any) -> StructureConfig:
    tiny = StructureConfig("tiny", ("procedural-1",), heads=1, widths=(4, 8), steps=6, settled=4, block_mm=32, seed=3)
    return replace(tiny, **changes)


def parcellation_config(**changes: Any) -> ParcellationConfig:
    tiny = ParcellationConfig("tiny", ("procedural-1",), (4, 8), steps=6, settled=4, shape=(32, 32, 32), start="")
    return replace(tiny, **changes)


def segmentation_trainer(config: Any) -> SegmentationTrainer:
    if config.system == "structure":
        return SegmentationTrainer(config, fabric(), partial(tissue_data.batches, labelled_heads(), config))
    head = head_of(LabelMap(labelled_heads()[0].labels, np.eye(4)))
    return SegmentationTrainer(config, fabric(), partial(parcellation_data.batches, [head], config))


def real_contrasts_config(**changes: Any) -> RealContrastsConfig:
    tiny = RealContrastsConfig(steps=2, lesion_steps=2, batch=2, size=32, widths=(4, 8), bfloat16=False)
    return replace(tiny, **changes)


@cache
def training_visits() -> list[samples.TrainingVisit]:
    return [samples.training_visit(person(), stripped=True)]


def real_contrasts_trainer(config: RealContrastsConfig) -> RealContrastsTrainer:
    return RealContrastsTrainer(config, fabric(), partial(samples.batches, training_visits(), [1.0], config))


@dataclass(frozen=True)
class TinyRun:
    """A config, and how its trainer is made."""

    config: Any
    make: Callable[[Any], Trainer]

    def trainer(self) -> Trainer:
        return self.make(self.config)


def tiny_runs() -> dict[str, TinyRun]:
    """A run of every recipe and of every system in it; together they have every kind of stage and discriminator."""
    aged = plasticine_config(
        plasticine.Stage("renderer", 2), plasticine.Stage("deformation", 3, terms=DEFORMATION)
    )  # fmt: skip
    return {
        "sit": TinyRun(a_config(6, follow_up=1.0, motion=1.0), sit_trainer),
        "sit, unpaired host": TinyRun(a_config(6, adversarial=1.0, attribute=1.0, cycle=1.0), sit_trainer),
        "sa_unit": TinyRun(
            cross_config("sa_unit", UNIT | {"spectral": ["encoder", "generator"]}, ALL_UNIT, noise=1.0), cross_trainer
        ),
        "sasan": TinyRun(cross_config("sasan", SASAN, replace(ALL_SASAN, voxel=0), False), cross_trainer),
        "regression": TinyRun(
            cross_config("regression", {"source": "T1w", "target": "T2w", "widths": [4, 6]}, cross.Terms(voxel=1)),
            cross_trainer,
        ),
        "plasticine": TinyRun(aged, plasticine_trainer),
        "plasticine_paper": TinyRun(paper_config(), plasticine_trainer),
        "aldm": TinyRun(aldm_config(paint=True), aldm_trainer),
        "any_regression": TinyRun(aldm_config("any_regression", 4), aldm_trainer),
        "structure": TinyRun(structure_config(), segmentation_trainer),
        "parcellation": TinyRun(parcellation_config(), segmentation_trainer),
        "multi_contrast": TinyRun(real_contrasts_config(), real_contrasts_trainer),
    }
