"""``sittranslate evaluate downstream``: segmenters of T2w trained on translations, tested on acquired T2w.

As in SASAN's tables: the labels are the T1w's, the images what a system makes of it, and nobody labels a T2w. Beside
it segmenters trained on the T1w itself and on the acquired T2w, which a translation should be above and near.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.metrics import dice
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.segmentation.maps import tissue_network
from SITTranslateLib.systems.plasticine.structure_map import tissue_probabilities
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.training.engine.visit_preparation import prepared
from SITTranslateLib.training.engine.visits import Visit, held_out_visits, training_visits
from SITTranslateLib.training.recipes.real_contrasts.systems import Entry, entries_of, fold_of, made_by
from SITTranslateLib.training.recipes.real_contrasts.table import Standardised, standardised_visit

SOURCE, TARGET = "T1w", "T2w"
TISSUES = ("CSF", "grey matter", "white matter")
_CLASS = np.array([0, 1, 2, 2, 3, 0, 0], np.int64)
"""Index into :data:`TISSUES`, from 1, by class of the segmentation."""
STEPS, SLICES, RATE, SEEDS = 200, 12, 3e-3, (0, 1)
FACTOR = 2
"""Voxels of a scan that are one of the segmenters', along each axis."""


@dataclass(frozen=True)
class Score:
    """Dice of each tissue in a visit's acquired T2w, by a segmenter trained on ``trained_on``."""

    trained_on: str
    seed: int
    visit: str
    dice: dict[str, float]


class LabelledVisit:
    """A stripped visit with the classes of its T1w, in the middle slices that translations are measured in."""

    def __init__(self, case: Standardised) -> None:
        self.case = case
        self._brain = coarser(case.brain.astype(np.float32)) > 0.5
        shares = tissue_probabilities(tissue_network(), coarser(case.images[SOURCE])[None, None])
        self._classes = torch.from_numpy(_CLASS)[shares[0].argmax(dim=0)] * self._brain

    def slices(self, image: Tensor | NDArray[np.float32]) -> Tensor:
        """Axial slices ``(S, 2, J, I)`` of a scan or translation at 1 mm, standardised in the brain, and classes."""
        small = coarser(image)
        inside = small[self._brain]
        small = torch.where(self._brain, (small - inside.mean()) / inside.std().clamp(min=1e-6), 0.0)
        chosen = self._brain.flatten(1).any(dim=1)
        return torch.stack((small[chosen], self._classes[chosen]), dim=1)


def coarser(image: Tensor | NDArray[np.float32]) -> Tensor:
    """Means of blocks of 2 x 2 x 2 voxels of ``(K, J, I)``, or of ``(1, 1, K, J, I)``."""
    shape = image.shape[-3:]
    return nn.functional.avg_pool3d(torch.as_tensor(image).reshape(1, 1, *shape), FACTOR)[0, 0]


def segmenter_of(slices: Tensor, seed: int) -> nn.Module:
    """A small 2D U-Net trained on slices, flipped and with other gains, offsets and noise."""
    torch.manual_seed(seed)
    network = UNet(2, 1, len(TISSUES) + 1, (16, 32, 64), (2, 2), num_res_units=1, norm="batch")
    loss = DiceCELoss(softmax=True, to_onehot_y=True)
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    for _ in range(STEPS):
        chosen = slices[torch.randint(len(slices), (SLICES,))]
        image, classes = (chosen.flip(3) if torch.rand(()) < 0.5 else chosen).split(1, dim=1)
        gain, offset = 0.2 * (torch.rand(2, SLICES, 1, 1, 1) - 0.5)
        adam.zero_grad()
        loss(network((1.0 + gain) * image + offset + 0.1 * torch.randn_like(image)), classes).backward()
        adam.step()
        rates.step()
    return network.eval()


def overlaps(found: Tensor, classes: Tensor) -> dict[str, float]:
    """Dice of each of :data:`TISSUES`."""
    return {name: dice((found == n).numpy(), (classes == n).numpy()) for n, name in enumerate(TISSUES, start=1)}


def scores_of(
    entries: Mapping[str, Entry], training: Mapping[str, LabelledVisit], tests: Mapping[str, LabelledVisit]
) -> Iterable[Score]:
    """Every segmenter on every test, both seeds."""
    people = training.values()
    sets = {f"acquired {c}": [one.slices(one.case.images[c]) for one in people] for c in (SOURCE, TARGET)}
    for name, entry in entries.items():
        network, asked = entry.recipe.towards(entry.network, SOURCE, TARGET)
        spacing = entry.recipe.spacing_mm
        sets[name] = [one.slices(made_by(network, asked, spacing, one.case, SOURCE, TARGET)) for one in people]
    for (name, slices), seed in product(sets.items(), SEEDS):
        segmenter = segmenter_of(torch.cat(slices), seed)
        for visit, test in tests.items():
            image, classes = test.slices(test.case.images[TARGET]).split(1, dim=1)
            with torch.inference_mode():
                yield Score(name, seed, visit, overlaps(segmenter(image).argmax(dim=1, keepdim=True), classes))


def as_markdown(scores: Sequence[Score]) -> str:
    """Mean Dice of each tissue over people and seeds, and the mean of all tissues by person and by seed."""
    text = f"| trained on | {' | '.join(TISSUES)} | mean | by person | by seed |\n{'|---' * 7}|"
    for name in dict.fromkeys(score.trained_on for score in scores):
        mine = [score for score in scores if score.trained_on == name]
        values = np.array([list(score.dice.values()) for score in mine])
        text += f"\n| {name} | {' | '.join(f'{v:.3f}' for v in values.mean(axis=0))} | {values.mean():.3f} |"
        for groups in ([score.visit for score in mine], [score.seed for score in mine]):
            means = (values[np.array(groups) == group].mean() for group in dict.fromkeys(groups))
            text += f" {', '.join(f'{mean:.3f}' for mean in means)} |"
    return text + "\n"


def evaluate(request: EvaluationRequest) -> None:
    """Write ``downstream.md`` and ``downstream.json`` and print the table.

    Raises:
        InputError: no scans or runs, or runs of several folds.
    """
    if request.scans is None or not request.runs:
        raise InputError("There is nothing to evaluate: give --scans, and --run NAME=FOLDER of finished runs.")
    scans, cache, entries = Path(request.scans), request.kept / "prepared", entries_of(request.runs)
    fold = fold_of(entries)

    def labelled(visits: Iterable[Visit]) -> dict[str, LabelledVisit]:
        both = [visit for visit in visits if {SOURCE, TARGET} <= set(visit.scans)]
        return {v.name: LabelledVisit(standardised_visit(prepared(v, scans, cache), stripped=True)) for v in both}

    scores = list(scores_of(entries, labelled(training_visits(fold)), labelled(held_out_visits(fold))))
    request.out.mkdir(parents=True, exist_ok=True)
    (request.out / "downstream.md").write_text(as_markdown(scores), encoding="utf-8")
    write_json(request.out / "downstream.json", [asdict(score) for score in scores])
    say(as_markdown(scores))
