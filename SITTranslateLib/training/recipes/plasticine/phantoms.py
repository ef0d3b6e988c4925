"""Phantoms for Plasticine on the 2 mm grid: simulated contrasts, tissue fractions and ageing.

Made once, kept on disk, read whole: a training step takes a head, and its follow-up after any number of years is the
same head moved by its own ageing velocity.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.segmentation import CLASS_OF_LABEL, CLASSES
from SITTranslateLib.simulation import Subject, brain_mask, draw_scanner
from SITTranslateLib.simulation.rendering import class_shares, clean_images, place
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.training.engine.grid import SHAPE, SPACING_MM
from SITTranslateLib.training.engine.phantoms import Phantom, Phantoms, cached, clean_units, network_units
from SITTranslateLib.training.engine.real_heads import real_heads
from SITTranslateLib.volume import Grid, VectorField, Volume

#: Of every pool that does not ask for others.
CONTRASTS = ("T1w", "T2w")


@dataclass(frozen=True)
class AgeingPhantomSet(Phantoms):
    """Phantoms that age.

    Attributes:
        shape: of the 2 mm grid ``(K, J, I)``, multiples of 4.
        contrasts: T1w, T2w and, after them, CT if asked for: phantom ``n`` has the same MR scans with and without.
    """

    heads: int = 48
    shape: tuple[int, int, int] = SHAPE
    contrasts: tuple[str, ...] = CONTRASTS

    def identity(self) -> dict[str, Any]:
        # Sets were kept before there was a choice of contrasts.
        return {n: v for n, v in super().identity().items() if n != "contrasts" or self.contrasts != CONTRASTS}


@dataclass(frozen=True, eq=False)
class AgeingPhantom:
    """One head, arrays ``(K, J, I)`` on the 2 mm grid.

    Attributes:
        scans, clean: by contrast, in network units for the whole head (CT: of ``HOUNSFIELD``).
        stripped: by contrast, the linear map ``(gain, shift)`` from whole-head units to those of the stripped brain.
        shares: of each tissue class ``(classes, K, J, I)``, 0 to 255.
        labels: FreeSurfer's and SynthSeg's numbers.
        mask: what skull stripping leaves.
        velocity: of ageing, mm per decade, RAS, of the motion, on its own 4 mm grid.
    """

    name: str
    scans: dict[str, NDArray[np.float16]]
    clean: dict[str, NDArray[np.float16]]
    stripped: dict[str, tuple[float, float]]
    shares: NDArray[np.uint8]
    labels: NDArray[np.int16]
    mask: NDArray[np.uint8]
    velocity: VectorField
    affine: NDArray[np.float64]

    @property
    def grid(self) -> Grid:
        return Grid(self.labels.shape, self.affine)  # type: ignore[arg-type]

    def image(self, contrast: str, *, clean: bool = False, strip: bool = False) -> NDArray[np.float32]:
        """A scan in network units; of the brain alone, in the units of a stripped brain, if ``strip``."""
        values = (self.clean if clean else self.scans)[contrast].astype(np.float32)
        if not strip:
            return values
        gain, shift = self.stripped[contrast]
        return np.where(self.mask > 0, gain * values + shift, np.float32(0.0))

    def tissue_shares(self, *, strip: bool = False) -> NDArray[np.float32]:
        """Shares of the classes, 0 to 1; what stripping takes away is outside."""
        shares = self.shares.astype(np.float32) / 255.0
        if strip:
            shares *= self.mask > 0
            shares[0] += self.mask == 0
        return shares

    def sampling(self, years: float) -> VectorField:
        """Sampling field of the head ``years`` later, mm."""
        velocity = VectorField(self.velocity.array * np.float32(years / 10.0), self.velocity.affine)
        return fields.resample_field(fields.exponential(velocity, -1.0), self.grid)


def phantoms_of(pool: AgeingPhantomSet, labels: Path, cache: Path) -> list[AgeingPhantom]:
    """The phantoms of a set; label maps are read only if one has still to be simulated. With a fold, its visits."""
    if pool.fold:
        return [_still(head) for head in real_heads(pool.fold, labels, cache, pool.contrasts, coarse=True)]
    return cached(pool, cache / f"ageing-heads-{pool.key}", labels, cache, partial(_simulate, pool), read_phantom)


def _still(head: Phantom) -> AgeingPhantom:
    """A real visit: tissues are to be found in its scans, and nobody knows how it ages."""
    shape = head.classes.shape
    labels, shares = np.zeros(shape, np.int16), np.zeros((len(CLASSES), *shape), np.uint8)
    velocity = VectorField(np.zeros((2, 2, 2, 3), np.float32), head.affine)
    parts = (head.scans, head.clean, head.stripped, shares, labels, head.mask, velocity, head.affine)
    return AgeingPhantom(head.name, *parts)


def read_phantom(folder: Path) -> AgeingPhantom:
    """A head from its folder."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    with np.load(folder / "head.npz") as stored:
        arrays = dict(stored)
    return AgeingPhantom(
        name=about["name"],
        scans={c: arrays[c] for c in about["stripped"]},
        clean={c: arrays[f"{c}_clean"] for c in about["stripped"]},
        stripped={c: (float(g), float(s)) for c, (g, s) in about["stripped"].items()},
        shares=arrays["shares"],
        labels=arrays["labels"],
        mask=arrays["mask"],
        velocity=VectorField(arrays["velocity"], np.array(about["velocity_affine"])),
        affine=np.array(about["affine"]),
    )


def _simulate(pool: AgeingPhantomSet, subject: Subject, index: int, folder: Path) -> None:
    rng = np.random.default_rng([pool.seed, index])
    load = float(rng.uniform(*pool.lesion_load_ml)) if rng.random() < 0.5 else 0.0
    t1w = "T1w" if rng.random() < 0.7 else "T1w_spoiled"
    grid = Grid.centred(subject.centre, pool.shape, SPACING_MM)
    head = place(subject, grid, rng, deform=True, lesions=load > 0)
    tissues = draw_tissues(rng)
    mask = brain_mask(head.labels)
    arrays: dict[str, NDArray] = {}
    stripped = {}
    for contrast in pool.contrasts:
        sequence = t1w if contrast == "T1w" else contrast
        scanner = draw_scanner(pool.scanner, rng).for_contrast(sequence)
        (clean,) = clean_images(head, sequence, tissues, scanner, (load,))
        scan = scanner.acquire(Volume(clean, grid.affine), rng).array
        units, stripped[contrast] = network_units(scan, mask, contrast)
        arrays[contrast] = units.astype(np.float16)
        arrays[f"{contrast}_clean"] = clean_units(clean, scan, contrast).astype(np.float16)
    arrays["shares"] = np.rint(255.0 * class_shares(head, CLASS_OF_LABEL, len(CLASSES))).astype(np.uint8)
    arrays["labels"] = head.labels.array
    arrays["mask"] = mask.astype(np.uint8)
    arrays["velocity"] = head.deformation.velocity.array
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.savez(part / "head.npz", allow_pickle=False, **arrays)
    about = {
        "name": subject.name,
        "stripped": stripped,
        "affine": grid.affine.tolist(),
        "velocity_affine": head.deformation.affine.tolist(),
        "lesions_ml": load,
    }
    (part / "about.json").write_text(json.dumps(about), encoding="utf-8")
    part.replace(folder)
