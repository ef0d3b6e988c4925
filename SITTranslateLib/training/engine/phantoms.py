"""Phantoms in several contrasts on one 1 mm grid: made once, cached on disk, read slice by slice.

Every head has, for T1w, T2w and CT, the scan as its scanner gives it and the clean image (no blur, bias or noise)
that a translation is trained towards, a tissue class for every voxel, and the mask of what skull stripping leaves.
Intensities are those of :mod:`SITTranslateLib.translate.normalisation`, for the whole head and for the stripped brain.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.simulation import Subject, brain_mask, simulate_contrasts
from SITTranslateLib.simulation.labels import TISSUE_OF_LABEL, LabelMap, lookup
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.translate.normalisation import HOUNSFIELD, percentile_range, to_network
from SITTranslateLib.volume import Grid, Volume

T = TypeVar("T")
#: Voxels (K, J, I) and their size: a whole brain with its skull, both multiples of 16.
SHAPE = (176, 208, 176)
SPACING_MM = 1.0
CONTRASTS = ("T1w", "T2w", "CT")
CLASSES = ("background", "CSF", "grey matter", "white matter", "other soft tissue", "bone")
_CLASS_OF_TISSUE = {
    "csf": 1, "gm": 2, "cerebellar_gm": 2, "thalamus": 2, "caudate": 2, "putamen": 2, "pallidum": 2,
    "hippocampus": 2, "wm": 3, "cerebellar_wm": 3, "brain_stem": 3, "lesion": 3, "air": 0,
    "bone_cortical": 5, "bone_cancellous": 5,
}  # fmt: skip
CLASS_OF_LABEL = lookup({n: _CLASS_OF_TISSUE.get(t, 4) for n, t in TISSUE_OF_LABEL.items()}, np.uint8)

#: How much a source's gain and transfer curve are varied, beside its scanner's: more scanners than there are heads.
#: And what is taken off: in real T1w scans cerebrospinal fluid may be as dark as air.
GAIN, GAMMA, OFFSET = (0.9, 1.1), (0.8, 1.25), (0.0, 0.08)


@dataclass(frozen=True)
class Phantoms:
    """Which phantoms: label maps, how many, how they vary.

    Attributes:
        maps: names of label maps, taken in turn.
        heads: how many are simulated.
        scanner: range that scanners are drawn from.
        lesion_load_ml: of half of the heads, uniform; the others have none.
        seed: of all of it.
        fold: of :data:`SITTranslateLib.training.engine.visits.FOLDS`: its real visits take the phantoms' place.
    """

    maps: tuple[str, ...] = ()
    heads: int = 36
    scanner: str = "training"
    lesion_load_ml: tuple[float, float] = (0.0, 15.0)
    seed: int = 1
    fold: str = ""

    def identity(self) -> dict[str, Any]:
        """Parameters of the phantoms: phantom ``n`` is the same in a smaller and a larger set."""
        return {name: value for name, value in asdict(self).items() if name not in ("heads", "fold")}

    @property
    def key(self) -> str:
        """A hash of :meth:`identity`, which names their folder."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class PhantomSet(Phantoms):
    """Phantoms in :data:`CONTRASTS` at 1 mm.

    Attributes:
        deform: draw another anatomy each time.
    """

    deform: bool = True


def cached(
    phantoms: Phantoms,
    folder: Path,
    labels: Path,
    cache: Path,
    simulate: Callable[[Subject, int, Path], None],
    read: Callable[[Path], T],
) -> list[T]:
    """The phantoms of a set, simulated when first asked for, then read from their folder.

    Args:
        folder: one folder in it for each phantom.
        labels: folder of label maps, read only if a phantom has still to be simulated.
        cache: where prepared label maps are kept.
        simulate: writes a phantom: its subject, index and folder.
        read: reads it again.
    """
    paths = [folder / f"{index:03d}" for index in range(phantoms.heads)]
    complete = all(path.is_dir() for path in paths)
    subjects = [] if complete else prepared_subjects(labels, phantoms.maps, cache / "subjects")
    heads = []
    with steps_with_progress("phantoms", 0, phantoms.heads) as advance:
        for index, path in enumerate(paths):
            if not path.is_dir():
                simulate(subjects[index % len(subjects)], index, path)
            heads.append(read(path))
            advance({})
    return heads


def phantoms_of(phantoms: PhantomSet, labels: Path, cache: Path) -> list[Phantom]:
    """The phantoms of a set; label maps are read only if one has still to be simulated."""
    return cached(phantoms, cache / f"heads-{phantoms.key}", labels, cache, partial(_simulate, phantoms), read_phantom)


@dataclass(frozen=True, eq=False)
class Phantom:
    """One head, its volumes mapped from disk ``(K, J, I)``.

    Attributes:
        scans, clean: by contrast, in network units for the whole head (float16).
        classes: index into :data:`CLASSES`.
        mask: what skull stripping leaves.
        stripped: by contrast, the linear map ``(gain, shift)`` from whole-head units to those of the stripped brain.
        affine: 4x4, IJK to RAS mm.
    """

    name: str
    scans: dict[str, NDArray[np.float16]]
    clean: dict[str, NDArray[np.float16]]
    classes: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    stripped: dict[str, tuple[float, float]]
    affine: NDArray[np.float64]

    def slab(
        self, contrast: str, first: int, count: int, *, clean: bool = False, strip: bool = False
    ) -> NDArray[np.float32]:
        """``count`` slices from ``first``, the border repeated; in the units of the stripped brain if ``strip``."""
        where = self._slices(first, count)
        values = (self.clean if clean else self.scans)[contrast][where].astype(np.float32)
        if not strip:
            return values
        gain, shift = self.stripped[contrast]
        return np.where(self.mask[where] > 0, gain * values + shift, np.float32(0.0))

    def classes_of(self, first: int, count: int, *, strip: bool = False) -> NDArray[np.uint8]:
        """The classes of ``count`` slices from ``first``, the border repeated; the brain's alone if ``strip``."""
        where = self._slices(first, count)
        return np.where(self.mask[where] > 0, self.classes[where], 0) if strip else self.classes[where]

    def _slices(self, first: int, count: int) -> NDArray[np.intp]:
        return np.clip(np.arange(first, first + count), 0, self.classes.shape[0] - 1)


def network_units(
    array: NDArray[np.float32], mask: NDArray[np.bool_], contrast: str
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """A volume in network units, and the map from these to the units of the stripped brain."""
    if contrast == "CT":
        return to_network(array, HOUNSFIELD), (1.0, 0.0)
    whole, brain = percentile_range(array), percentile_range(np.where(mask, array, 0))
    return whole.normalise(array), (whole.width / brain.width, (whole.low - brain.low) / brain.width)


def clean_units(clean: NDArray[np.float32], scan: NDArray[np.float32], contrast: str) -> NDArray[np.float32]:
    """A clean image in the network units of the scan that was made of it."""
    return to_network(clean, HOUNSFIELD) if contrast == "CT" else percentile_range(scan).normalise(clean)


def read_phantom(place: Path, contrasts: Sequence[str] = CONTRASTS) -> Phantom:
    """A head from its folder, volumes mapped and not read."""
    about = json.loads((place / "about.json").read_text(encoding="utf-8"))

    def volume(name: str) -> NDArray:
        return np.load(place / f"{name}.npy", mmap_mode="r")

    return Phantom(
        about["name"],
        {c: volume(c) for c in contrasts},
        {c: volume(f"{c}_clean") for c in contrasts},
        volume("classes"),
        volume("mask"),
        {c: (float(g), float(s)) for c, (g, s) in about["stripped"].items()},
        np.array(about["affine"]),
    )


def _simulate(pool: PhantomSet, subject: Subject, index: int, place: Path) -> None:
    rng = np.random.default_rng([pool.seed, index])
    load = float(rng.uniform(*pool.lesion_load_ml)) if rng.random() < 0.5 else 0.0
    t1w = "T1w" if rng.random() < 0.7 else "T1w_spoiled"
    sequences = {"T1w": t1w, "T2w": "T2w", "CT": "CT"}
    made = simulate_contrasts(
        subject,
        list(sequences.values()),
        rng,
        grid=Grid.centred(subject.centre, SHAPE, SPACING_MM),
        scanners=pool.scanner,
        lesion_load=load,
        deform=pool.deform,
    )
    write_phantom(made.scans, made.clean, made.labels, sequences, place, {"name": subject.name, "lesions_ml": load})


def write_phantom(
    scans: Mapping[str, Volume],
    clean: Mapping[str, Volume],
    labels: LabelMap,
    sequences: Mapping[str, str],
    place: Path,
    about: Mapping[str, object],
) -> None:
    """A head's folder, made in one go; ``sequences``: contrast to the name that its volumes have here."""
    mask = brain_mask(labels)
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    stripped = {}
    for contrast, sequence in sequences.items():
        scan, image = scans[sequence].array, clean[sequence].array
        units, stripped[contrast] = network_units(scan, mask, contrast)
        np.save(part / f"{contrast}.npy", units.astype(np.float16))
        np.save(part / f"{contrast}_clean.npy", clean_units(image, scan, contrast).astype(np.float16))
    np.save(part / "classes.npy", CLASS_OF_LABEL[labels.array])
    np.save(part / "mask.npy", mask.astype(np.uint8))
    whole = {**about, "stripped": stripped, "affine": labels.affine.tolist()}
    (part / "about.json").write_text(json.dumps(whole), encoding="utf-8")
    part.replace(place)


def other_scanner(values: NDArray[np.float32], contrast: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A scan as some other scanner would give it: gain, transfer curve and offset."""
    if contrast == "CT":
        return values
    gain, gamma = rng.uniform(*GAIN), np.exp(rng.uniform(*np.log(GAMMA)))
    return np.asarray(gain * np.clip(values - rng.uniform(*OFFSET), 0, 4) ** gamma, dtype=np.float32)
