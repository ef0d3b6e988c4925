"""Table of a model between real contrasts: every patient by a network trained on none of the patient's scans.

Rows are the source itself, a line with either sign, one intensity curve fitted on the network's training patients, on
other patients of the same scanner, on the very pair (an oracle), and the network; and the network on the pair as the
headers place it. A curve of real scans comes from real scans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.baselines import TransferCurve, fit_transfer_curve
from SITTranslateLib.evaluation.contrast_metrics import (
    Array,
    ContrastScores,
    Mask,
    area,
    jitter,
    middle_of,
    scores,
    shell_of,
    truth_of,
)
from SITTranslateLib.segmentation.parcellation import parcellated
from SITTranslateLib.segmentation.structures import STRUCTURES
from SITTranslateLib.segmentation.tissues import SPACING_MM
from SITTranslateLib.systems.regression.multi_contrast import LEVEL, SPREAD, MultiContrastNetwork
from SITTranslateLib.training.engine.visit_preparation import PreparedVisit, prepared
from SITTranslateLib.training.engine.visits import (
    CONTRASTS,
    FOLDS,
    VISITS,
    Visit,
    held_out_visits,
    training_visits,
)
from SITTranslateLib.training.recipes.real_contrasts.recipe import RECIPE
from SITTranslateLib.translate.head import resample_itk
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.normalisation import percentile_range
from SITTranslateLib.translate.preparation import antialiased
from SITTranslateLib.volume import Grid, Volume

IDENTITY, LINE, CURVE, SAME_SCANNER, ORACLE, NETWORK, NOT_ALIGNED = METHODS = (
    "identity",
    "linear, free sign",
    "curve, other patients",
    "curve, same scanner",
    "curve, same pair (oracle)",
    "network",
    "network, pair not aligned",
)
PARTS = {
    "white matter": ("cerebral white matter", "white-matter lesion"),
    "cortex": ("cerebral cortex",),
    "deep grey matter": ("thalamus", "caudate", "putamen", "pallidum"),
    "ventricles": ("lateral ventricle", "inferior lateral ventricle", "third ventricle"),
}
"""Structures whose volumes are compared, together."""
MEASURED_IN = ("T1w", "T2w")
"""Targets whose structures are measured: those that are offered."""


@dataclass(frozen=True)
class Row:
    """One translation of one visit by one method.

    ``truth_auc`` and ``source_auc`` are of the acquired scans; ``volumes`` has the differences of :data:`PARTS` from
    the acquired target, per cent.
    """

    visit: str
    subject: str
    scanner: str
    source: str
    target: str
    method: str
    scores: ContrastScores
    truth_auc: float
    source_auc: float
    truth_jitter: float
    volumes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Standardised:
    """A visit's scans as the network sees them, ``(K, J, I)``, and where they count."""

    scans: dict[str, Array]
    images: dict[str, torch.Tensor]
    brain: Mask
    lesions: Mask
    affine: NDArray[np.float64]


def standardised_visit(visit: PreparedVisit, stripped: bool, aligned: bool = True) -> Standardised:
    """The scans in network units and standardised; with ``aligned`` false, as the headers place them."""
    plain = MultiContrastNetwork(CONTRASTS, widths=(2, 2))
    images, scans = {}, {}
    for contrast, array in (visit.scans if aligned else visit.unaligned).items():
        scaled = percentile_range(array).normalise(array)
        if stripped:
            scaled = np.where(visit.brain, scaled, 0.0).astype(np.float32)
        images[contrast] = torch.from_numpy(np.ascontiguousarray(scaled))[None, None]
        scans[contrast] = plain.standardised(images[contrast])[0, 0].numpy()
    return Standardised(scans, images, middle_of(visit.brain), visit.lesions, visit.affine)


def curve_of(visits: Iterable[Standardised], source: str, target: str) -> TransferCurve:
    """One intensity curve over the brains of some visits, standardised units; see :func:`translated_by`."""
    pairs = [
        (LEVEL + SPREAD * v.scans[source][v.brain], v.scans[target][v.brain])
        for v in visits
        if source in v.scans and target in v.scans
    ]
    return fit_transfer_curve(pairs)


def translated_by(curve: TransferCurve, scan: Array) -> Array:
    """A curve on a standardised scan."""
    return curve(np.asarray(LEVEL + SPREAD * scan, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class Answer:
    """Prediction of a network for one scan: means and scales by target, standardised."""

    means: dict[str, Array]
    scales: dict[str, Array]


def answer_of(network: MultiContrastNetwork, image: torch.Tensor, source: str, bfloat16: bool = False) -> Answer:
    """The network's answer on a scan ``(1, 1, K, J, I)`` in network units."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        means, scales = network.everything(image, source)
    return Answer(
        {c: means[n].numpy() for n, c in enumerate(CONTRASTS)}, {c: scales[n].numpy() for n, c in enumerate(CONTRASTS)}
    )


def load_weights(run: Path) -> MultiContrastNetwork:
    """The network of a package, of a finished run, or, while it runs, of its last checkpoint's average.

    Raises:
        InputError: nothing there.
    """
    if (run / "model.json").is_file():
        network = load_model(run, "cpu").network
        if not isinstance(network, MultiContrastNetwork):
            raise InputError(f"The package '{run.name}' is of another system.")
        return network
    return RECIPE.finished(run, step=0)[1]


class Cases:
    """Standardised visits, read once and kept: about 150 MB each."""

    def __init__(self, data: Path, cache: Path) -> None:
        self._data, self._cache = data, cache
        self._kept: dict[str, Standardised] = {}

    def of(self, visit: Visit) -> Standardised:
        if visit.name not in self._kept:
            self._kept[visit.name] = standardised_visit(prepared(visit, self._data, self._cache), visit.stripped)
        return self._kept[visit.name]

    def not_aligned(self, visit: Visit) -> Standardised:
        """The pairs as the headers place them; not kept."""
        return standardised_visit(prepared(visit, self._data, self._cache), visit.stripped, aligned=False)


def rows_of_fold(
    fold: str,
    network: MultiContrastNetwork,
    cases: Cases,
    *,
    bfloat16: bool = False,
    named: bool = True,
    use: Callable[[Visit, Standardised, str, Answer], None] | None = None,
) -> list[Row]:
    """All rows of the subjects that a fold leaves out.

    Args:
        fold: of :data:`FOLDS`.
        network: trained without them.
        cases: that visits are taken from.
        bfloat16: of the network's convolutions.
        named: whether the network gets the scan's contrast.
        use: called with each answer, for calibration and pictures.
    """
    others = [cases.of(visit) for visit in training_visits(fold)]
    rows: list[Row] = []
    for visit in held_out_visits(fold):
        case, plain = cases.of(visit), cases.not_aligned(visit)
        alike = [cases.of(v) for v in VISITS if v.scanner == visit.scanner and v.subject != visit.subject]
        shell = shell_of(case.lesions & case.brain, case.brain) if case.lesions.any() else None
        sizes = {c: part_volumes(case.images[c][0, 0].numpy(), case.affine) for c in case.scans if c in MEASURED_IN}
        for source in case.scans:
            answer = answer_of(network, case.images[source], source if named else "", bfloat16)
            # FLAIR stays where it is, the others are moved to it.
            moved = source != "FLAIR"
            unmoved = answer_of(network, plain.images[source], source, bfloat16) if moved else answer
            if use is not None:
                use(visit, case, source, answer)
            for target in case.scans:
                if target == source:
                    continue
                images = baselines_of(case, others, alike, source, target)
                images[NETWORK] = answer.means[target]
                found = rows_of_images(visit, case, shell, source, target, images)
                if target in sizes:
                    made = part_volumes(LEVEL + SPREAD * answer.means[target], case.affine)
                    change = {name: 100.0 * (made[name] / max(sizes[target][name], 0.1) - 1.0) for name in PARTS}
                    found[-1] = replace(found[-1], volumes=change)
                rows += found
                rows += rows_of_images(visit, plain, None, source, target, {NOT_ALIGNED: unmoved.means[target]})
    return rows


def baselines_of(
    case: Standardised, others: Sequence[Standardised], alike: Sequence[Standardised], source: str, target: str
) -> dict[str, Array]:
    """The source, and curves of some people, of others of the scanner, and of the very pair, by method."""
    given = case.scans[source]
    images = {IDENTITY: given, LINE: given}
    for method, fitted_on in ((CURVE, others), (SAME_SCANNER, alike), (ORACLE, [case])):
        if any(source in one.scans and target in one.scans for one in fitted_on):
            images[method] = translated_by(curve_of(fitted_on, source, target), given)
    return images


def part_volumes(image: Array, affine: NDArray[np.float64]) -> dict[str, float]:
    """Volumes of :data:`PARTS` in a scan of 1 mm ``(K, J, I)``, mL, by the parcellation at 2 mm."""
    volume = Volume(image, affine, "scan")
    centre = volume.grid.to_world((np.array(image.shape[::-1]) - 1) / 2.0)
    coarse = Grid.centred(centre, (88, 104, 88), SPACING_MM)
    small = resample_itk(antialiased(volume, SPACING_MM), coarse, float(image.min()))
    classes = parcellated(small.array).classes
    index = {structure.key: number for number, structure in enumerate(STRUCTURES, start=1)}
    share = SPACING_MM**3 / 1000.0
    return {name: share * float(sum(classes[index[key]].sum() for key in keys)) for name, keys in PARTS.items()}


def rows_of_images(
    visit: Visit, case: Standardised, shell: Mask | None, source: str, target: str, images: Mapping[str, Array]
) -> list[Row]:
    """The rows of some images of one direction, by method."""
    lesions = None if shell is None else case.lesions
    truth = truth_of(case.images[target][0, 0].numpy(), case.brain, lesions, shell)
    aucs = [float("nan"), float("nan")]
    if truth.lesions is not None and truth.shell is not None:
        aucs = [area(image[truth.lesions], image[truth.shell]) for image in (truth.image, case.scans[source])]
    steady = jitter(truth.image, truth.brain)
    return [
        Row(
            visit.name, visit.subject, visit.scanner, source, target, method,
            scores(image, truth, free_sign=method == LINE), aucs[0], aucs[1], steady,
        )
        for method, image in images.items()
    ]  # fmt: skip


def folds_of(runs: Mapping[str, Path]) -> dict[str, Path]:
    """The runs that are named for the fold they leave out.

    Raises:
        InputError: a fold that leaves nobody out, or no run at all.
    """
    if not runs:
        raise InputError("There is nothing to evaluate: give --run FOLD=FOLDER (or NAME=FOLDER) of a finished run.")
    folds = {name: folder for name, folder in runs.items() if name in FOLDS}
    for fold in folds:
        if not FOLDS[fold]:
            known = ", ".join(name for name, out in FOLDS.items() if out)
            raise InputError(f"'{fold[:40]}' is no fold that leaves somebody out; there are {known}.")
    return folds
