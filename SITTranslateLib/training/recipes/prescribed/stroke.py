"""Package and tables of ``stroke-severity`` from masks of acute strokes (``sittranslate evaluate stroke``).

The folder holds masks in MNI space and ``participants.tsv`` (columns ``file``, ``age``, ``nihss``), as SOOP
(https://doi.org/10.18112/openneuro.ds004889, CC0) gives them. Written are the package, the associations of the masks
beside those of as many strokes that the package draws, and how well a held-out mask is grown from one of its points.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, stats

from SITTranslateLib.errors import InputError
from SITTranslateLib.evaluation.metrics import dice
from SITTranslateLib.evaluation.table import write_json
from SITTranslateLib.files import read_labels
from SITTranslateLib.packages import write_package
from SITTranslateLib.packages.making import read_card_text
from SITTranslateLib.systems.prescribed import stroke_sites
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.systems.prescribed.stroke import FLUIDS, MIDDLE_AGE, PERCENTILES, StrokeNetwork
from SITTranslateLib.systems.prescribed.stroke_sites import (
    LANDMARKS_MM,
    SEVERITIES,
    VOLUMES_ML,
    StrokeSites,
    alignment,
    draw_stroke,
    grown,
    structure_middles,
)
from SITTranslateLib.systems.prescribed.tissue_levels import WHITE, share_of
from SITTranslateLib.training.engine.config import card_file
from SITTranslateLib.training.engine.progress import say
from SITTranslateLib.training.engine.recipe import EvaluationRequest
from SITTranslateLib.translate.structures import find_structures
from SITTranslateLib.volume import Grid, Volume

CARD = "stroke-severity"
#: Maps of sites, and the grid that they are learned on: 6 mm over the masks' field in MNI space.
MAPS = 12
GRID = Grid((23, 32, 27), np.array([[6.0, 0, 0, -78], [0, 6.0, 0, -111], [0, 0, 6.0, -51], [0, 0, 0, 1.0]]))
#: Smoothing of a map, voxels.
SMOOTH = 0.5
#: How far patients count for a frequency: standard deviations of log(1 + NIHSS) and log mL.
NEAR_SEVERITY, NEAR_VOLUME = 0.7, 0.8
FOLDS = 4
INFRATENTORIAL = ("left cerebellum", "right cerebellum", "brain stem")


@dataclass(frozen=True, eq=False)
class Patient:
    """One mask.

    Attributes:
        points: its voxels, MNI mm ``(N, 3)``, and ``millilitres`` their volume.
    """

    severity: float
    age: float
    points: NDArray[np.float32]
    millilitres: float

    @property
    def left(self) -> bool:
        """Whether more of it lies on the left."""
        return float(np.median(self.points[:, 0])) < 0.0

    def on(self, grid: Grid, *, folded: bool = False) -> NDArray[np.float32]:
        """Its share of each voxel of a coarser grid along +R, +A, +S; ``folded``: mirrored to the left."""
        points = self.points * np.array([-1.0 if folded and not self.left else 1.0, 1.0, 1.0])
        places = np.rint(grid.to_indices(points)).astype(int)
        places = places[np.all((places >= 0) & (places < grid.shape[::-1]), axis=1)]
        flat = np.ravel_multi_index(tuple(places[:, ::-1].T), grid.shape)
        voxels = np.bincount(flat, minlength=int(np.prod(grid.shape))).reshape(grid.shape)
        share = voxels * (1000.0 * self.millilitres / len(points) / grid.voxel_volume)
        return np.asarray(share, dtype=np.float32).clip(0.0, 1.0)


@dataclass(frozen=True)
class Association:
    """A least-squares fit by intercept, log(1 + NIHSS) and decades of age from 65.

    Attributes:
        coefficients: of these three, and ``intervals`` of 95 %.
        sd: of what is left, and ``spread`` its percentiles at :data:`PERCENTILES`.
    """

    name: str
    coefficients: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    r_squared: float
    sd: float
    count: int
    spread: tuple[float, ...]


def read_patients(folder: Path) -> list[Patient]:
    """The masks of a folder.

    Raises:
        InputError: no table, or masks that are missing.
    """
    table = folder / "participants.tsv"
    if not table.is_file():
        raise InputError(f"'{folder.name}' holds no participants.tsv with the columns file, age and nihss.")
    patients = []
    with table.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            try:
                severity, age, file = float(row["nihss"]), float(row["age"]), folder / row["file"]
            except (KeyError, ValueError, TypeError):
                continue
            array, affine = read_labels(file)
            points = Grid(array.shape, affine).to_world(np.argwhere(array > 0)[:, ::-1].astype(float))
            volume = len(points) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
            if len(points):
                patients.append(Patient(severity, age, points.astype(np.float32), volume))
    if len(patients) < 10 * FOLDS:
        raise InputError(
            f"'{folder.name}' holds {len(patients)} masks with age and NIHSS; at least {10 * FOLDS} are needed."
        )
    return patients


def associated(name: str, values: ArrayLike, severities: Sequence[float], ages: Sequence[float]) -> Association:
    """The fit of some value by severity and age."""
    y = np.asarray(values, dtype=np.float64)
    design = np.stack([np.ones(len(y)), np.log1p(severities), (np.asarray(ages) - MIDDLE_AGE) / 10.0], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    fit = inverse @ design.T @ y
    rest, free = y - design @ fit, len(y) - 3
    sd = float(np.sqrt(rest @ rest / free))
    half = float(stats.t.ppf(0.975, free)) * sd * np.sqrt(np.diag(inverse))
    total = float(((y - y.mean()) ** 2).sum())
    intervals = tuple((float(c - h), float(c + h)) for c, h in zip(fit, half, strict=True))
    percentiles = tuple(map(float, np.percentile(rest, PERCENTILES)))
    return Association(
        name, tuple(map(float, fit)), intervals, 1.0 - float(rest @ rest) / total, sd, len(y), percentiles
    )


def learned_sites(patients: Sequence[Patient]) -> StrokeSites:
    """Maps of sites and their frequencies: non-negative factors of the masks, all on the left."""
    from sklearn.decomposition import NMF

    masks = np.stack([patient.on(GRID, folded=True).ravel() for patient in patients])
    held = np.flatnonzero(masks.any(axis=0))
    # A large stroke counts for more than a small one, by the root of its volume.
    scaled = masks[:, held] / np.sqrt(masks.sum(axis=1, keepdims=True))
    model = NMF(MAPS, init="nndsvda", max_iter=200, tol=1e-3, random_state=0)
    loadings = model.fit_transform(scaled)
    maps = np.zeros((MAPS, masks.shape[1]))
    maps[:, held] = model.components_
    maps = np.stack([ndimage.gaussian_filter(m, SMOOTH) for m in maps.reshape(MAPS, *GRID.shape)])
    loadings = loadings * maps.sum(axis=(1, 2, 3))
    loadings /= loadings.sum(axis=1, keepdims=True)
    maps = np.round(255.0 * maps / maps.max(axis=(1, 2, 3), keepdims=True))
    severity = np.log1p([patient.severity for patient in patients])
    volume = np.log([patient.millilitres for patient in patients])
    left = np.array([patient.left for patient in patients], dtype=float)
    frequency = np.zeros((len(SEVERITIES), len(VOLUMES_ML), MAPS), np.float32)
    on_left = np.zeros(frequency.shape[:2], np.float32)
    for i, nihss in enumerate(SEVERITIES):
        for j, millilitres in enumerate(VOLUMES_ML):
            weight = np.exp(
                -0.5 * ((severity - np.log1p(nihss)) / NEAR_SEVERITY) ** 2
                - 0.5 * ((volume - np.log(millilitres)) / NEAR_VOLUME) ** 2
            )
            # A few patients' worth of all patients, where there are hardly any.
            weight = weight + 2.0 / len(patients)
            frequency[i, j], on_left[i, j] = weight @ loadings / weight.sum(), weight @ left / weight.sum()
    densities = maps / maps.sum(axis=(1, 2, 3), keepdims=True)
    return StrokeSites(densities.astype(np.float32), GRID.affine, frequency, on_left)


def network_of(sites: StrokeSites, volume: Association) -> StrokeNetwork:
    """The package's network of maps and the fit of the logarithm of mL."""
    names = dict(zip(("intercept", "severity", "decade"), (round(c, 4) for c in volume.coefficients), strict=True))
    spread = [round(value, 4) for value in volume.spread]
    network = StrokeNetwork(len(sites.maps), list(sites.maps.shape[1:]), names, spread)
    whole = np.round(255.0 * sites.maps / sites.maps.max(axis=(1, 2, 3), keepdims=True)).astype(np.uint8)
    network.load_state_dict(
        {
            "maps": torch.from_numpy(whole),
            "affine": torch.from_numpy(sites.affine).float(),
            "frequency": torch.from_numpy(sites.frequency),
            "left": torch.from_numpy(sites.left),
        }
    )
    return network


@dataclass(frozen=True, eq=False)
class Template:
    """The ICBM152 average: its structures on a grid of 2 mm."""

    shares: Shares
    tissue: NDArray[np.bool_]
    to_mni: NDArray[np.float64]

    @classmethod
    def load(cls) -> Template:
        """Raises InputError where nilearn, which brings the average, is not installed."""
        try:
            from nilearn import datasets
        except ImportError as error:
            raise InputError("The table needs nilearn: install it with pip install 'sittranslate[demo]'.") from error
        image = datasets.load_mni152_template(resolution=1)
        array = np.ascontiguousarray(image.get_fdata(dtype=np.float32).T)
        shares = find_structures(Volume(array, np.asarray(image.affine), "ICBM152"))
        return cls(shares, (shares.brain - share_of(shares, FLUIDS)) > 0.5, alignment(shares))

    def shares_in(self, mask: NDArray[np.floating]) -> tuple[float, float]:
        """Share of a stroke in white matter, and below the tentorium."""
        total = max(float(mask.sum()), 1e-6)
        white, below = (share_of(self.shares, parts) for parts in (WHITE, INFRATENTORIAL))
        return float(np.vdot(mask, white)) / total, float(np.vdot(mask, below)) / total


def landmarks(template: Shares) -> dict[str, tuple[float, ...]]:
    """What :data:`LANDMARKS_MM` tables, from the structures of the ICBM152 average, mm to one place."""
    middles = structure_middles(template)
    found = {}
    for part in LANDMARKS_MM:
        sides = [
            middles[f"{side} {part}"] if f"{side} {part}" in middles else middles[part] for side in ("left", "right")
        ]
        middle = 0.5 * (sides[0] + sides[1] * np.array([-1.0, 1.0, 1.0]))
        found[part] = tuple(round(float(value), 1) for value in middle)
    return found


@dataclass(frozen=True)
class _Stroke:
    """What is compared of a mask and of a drawn stroke: mL, mL in white matter, on the left, below the tentorium,
    pieces of 0.1 mL and more, and the share of the largest piece."""

    millilitres: float
    white_ml: float
    left: bool
    below: bool
    pieces: int
    largest: float


def _described(mask: NDArray[np.floating], millilitres: float, left: bool, template: Template) -> _Stroke:
    white, below = template.shares_in(mask)
    labels, _ = ndimage.label(mask > 0.5, np.ones((3, 3, 3), bool))
    sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1] * template.shares.grid.voxel_volume / 1000.0
    largest = float(sizes[0] / sizes.sum()) if len(sizes) else 1.0
    return _Stroke(millilitres, white * millilitres, left, below > 0.5, int((sizes >= 0.1).sum()), largest)


def _drawn(patients: Sequence[Patient], network: StrokeNetwork, template: Template) -> list[_Stroke]:
    """A stroke for each patient: of its severity and age, percentile and site drawn."""
    rng, sites, grid = np.random.default_rng(0), network.sites, template.shares.grid
    room = 0.99 * stroke_sites.MOST_OF_TISSUE * template.tissue.sum() * grid.voxel_volume / 1000.0
    found = []
    for patient in patients:
        volume = min(room, network.millilitres(patient.severity, patient.age, rng.uniform(2.5, 97.5)))
        mask = draw_stroke(sites, template.to_mni, template.tissue, grid, volume, patient.severity, rng)
        middle = grid.to_world(np.argwhere(mask).mean(axis=0)[::-1])
        found.append(_described(mask.astype(np.float32), volume, middle[0] < 0.0, template))
    return found


def _held_out(patients: Sequence[Patient], template: Template) -> NDArray[np.float64]:
    """Dice of each mask and what is grown from its deepest point to its volume, by maps that did not see it: with the
    maps, and as a ball of tissue ``(N, 2)``."""
    rng = np.random.default_rng(0)
    # At 4 mm: the maps know no more, and it takes an eighth of the time.
    tissue = template.tissue[::2, ::2, ::2]
    grid = Grid(tissue.shape, template.shares.grid.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))  # type: ignore[arg-type]
    fold = rng.permutation(len(patients)) % FOLDS
    found = np.full((len(patients), 2), np.nan)
    for number in range(FOLDS):
        sites = learned_sites([p for p, f in zip(patients, fold, strict=True) if f != number])
        for index in np.flatnonzero(fold == number).tolist():
            patient = patients[index]
            truth = (patient.on(grid) > 0.5) & tissue
            if not truth.any():
                continue
            deep = ndimage.distance_transform_edt(truth)
            first, side = (
                np.array(np.unravel_index(int(deep.argmax()), grid.shape)),
                "left" if patient.left else "right",
            )
            weights = stroke_sites.between(sites.frequency, patient.severity, patient.millilitres)
            for column, weight in enumerate((stroke_sites.MAPS_WEIGHT, 0.0)):
                mask = grown(
                    sites, template.to_mni, tissue, grid, int(truth.sum()), first, side, weights,
                    maps_weight=weight,
                )  # fmt: skip
                found[index, column] = dice(mask, truth)
    return found[np.isfinite(found).all(axis=1)]


def _rows(title: str, patients: Sequence[Patient], strokes: Sequence[_Stroke]) -> list[Association]:
    severities, ages = [p.severity for p in patients], [p.age for p in patients]
    return [
        associated(f"{title}: log mL", np.log([s.millilitres for s in strokes]), severities, ages),
        associated(f"{title}: log (1 + mL in white matter)", np.log1p([s.white_ml for s in strokes]), severities, ages),
    ]


def as_markdown(
    associations: Sequence[Association], groups: dict[str, Sequence[_Stroke]], held_out: NDArray[np.float64]
) -> str:
    """The tables."""
    lines = [
        "| by severity and age | intercept | log(1 + NIHSS) | decade from 65 | R^2 | sd | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in associations:
        numbers = [
            f"{c:+.2f} ({a:+.2f} to {b:+.2f})" for c, (a, b) in zip(row.coefficients, row.intervals, strict=True)
        ]
        lines.append(f"| {row.name} | {' | '.join(numbers)} | {row.r_squared:.2f} | {row.sd:.2f} | {row.count} |")
    lines += [
        "",
        "| | mL, quartiles | in white matter | left | below the tentorium | pieces, median | largest piece, median |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, strokes in groups.items():
        volumes = np.percentile([s.millilitres for s in strokes], (25, 50, 75))
        white = sum(s.white_ml for s in strokes) / sum(s.millilitres for s in strokes)
        lines.append(
            f"| {name} | {' / '.join(f'{v:.1f}' for v in volumes)} | {100 * white:.0f} % | "
            f"{100 * np.mean([s.left for s in strokes]):.0f} % | {100 * np.mean([s.below for s in strokes]):.0f} % | "
            f"{np.median([s.pieces for s in strokes]):.0f} | {100 * np.median([s.largest for s in strokes]):.0f} % |"
        )
    difference = held_out[:, 0] - held_out[:, 1]
    error = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    lines += [
        "",
        f"Held-out masks ({len(held_out)}, {FOLDS} folds) grown from their deepest point to their volume: Dice "
        f"{held_out[:, 0].mean():.3f} by the maps, {held_out[:, 1].mean():.3f} as a ball of tissue; difference "
        f"{difference.mean():+.3f} (95 % {difference.mean() - error:+.3f} to {difference.mean() + error:+.3f}).",
    ]
    return "\n".join(lines) + "\n"


def evaluate(request: EvaluationRequest) -> None:
    """Make the package and its tables.

    Raises:
        InputError: no folder of masks.
    """
    if request.scans is None:
        raise InputError("There is nothing to evaluate: give --scans, a folder of stroke masks with participants.tsv.")
    patients = read_patients(request.scans)
    template = Template.load()
    strokes = [_described(p.on(template.shares.grid), p.millilitres, p.left, template) for p in patients]
    associations = _rows("masks", patients, strokes)
    network = network_of(learned_sites(patients), associations[0])
    request.out.mkdir(parents=True, exist_ok=True)
    shape = list(network.state_dict()["maps"].shape[1:])
    card = read_card_text(
        card_file(CARD),
        "stroke",
        {"maps": MAPS, "shape": shape, "volume": network.volume, "spread": list(network.spread)},
    )
    write_package(request.out / CARD, card, network.state_dict())
    drawn = _drawn(patients, network, template)
    associations += _rows("drawn", patients, drawn)
    held_out = _held_out(patients, template)
    text = as_markdown(associations, {"masks": strokes, "drawn": drawn}, held_out)
    (request.out / "stroke.md").write_text(text, encoding="utf-8")
    write_json(request.out / "landmarks.json", landmarks(template.shares))
    write_json(request.out / "stroke.json", [asdict(row) for row in associations])
    say(text)
