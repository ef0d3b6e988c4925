"""Phantoms in all of ALDM's contrasts on its 2 mm grid: made once, cached on disk, read whole.

The same head, tissues and lesions in T1w, T1w after a gadolinium agent, T2w, FLAIR, PD and CT, each with a scanner of
its own. Whether lesions take the agent up is drawn for each head: no other contrast says so, in a patient as here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from SITTranslateLib.simulation import Subject, draw_scanner
from SITTranslateLib.simulation.rendering import clean_images, place
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.training.engine.phantoms import Phantom, Phantoms, cached, read_phantom, write_phantom
from SITTranslateLib.volume import Grid, Volume

CONTRASTS = ("T1w", "T1wGd", "T2w", "FLAIR", "PD", "CT")
#: Voxels (K, J, I) and their size: a whole brain with its skull, multiples of 8.
SHAPE, SPACING_MM = (88, 104, 88), 2.0
#: Share of heads whose lesions enhance, and how much of the blood's concentration they then reach.
ENHANCING, UPTAKE = 0.4, (0.2, 0.6)


@dataclass(frozen=True)
class ContrastPhantomSet(Phantoms):
    """Phantoms in all of :data:`CONTRASTS`.

    Attributes:
        shape: of the 2 mm grid ``(K, J, I)``.
        deform: draw another anatomy each time.
    """

    shape: tuple[int, int, int] = SHAPE
    deform: bool = True


def phantoms_of(pool: ContrastPhantomSet, labels: Path, cache: Path) -> list[Phantom]:
    """The phantoms of a set; label maps are read only if one has still to be simulated."""
    folder = cache / f"contrast-heads-{pool.key}"
    return cached(pool, folder, labels, cache, partial(_simulate, pool), partial(read_phantom, contrasts=CONTRASTS))


def _simulate(pool: ContrastPhantomSet, subject: Subject, index: int, path: Path) -> None:
    rng = np.random.default_rng([pool.seed, index])
    load = float(rng.uniform(*pool.lesion_load_ml)) if rng.random() < 0.5 else 0.0
    uptake = float(rng.uniform(*UPTAKE)) if rng.random() < ENHANCING else 0.0
    sequences = {name: name for name in CONTRASTS} | {"T1w": "T1w" if rng.random() < 0.7 else "T1w_spoiled"}
    grid = Grid.centred(subject.centre, pool.shape, SPACING_MM)
    head = place(subject, grid, rng, pool.deform, lesions=load > 0)
    tissues = draw_tissues(rng)
    tissues = tissues | {"lesion": replace(tissues["lesion"], uptake=uptake)}
    scans, clean = {}, {}
    for name in sequences.values():
        scanner = draw_scanner(pool.scanner, rng).for_contrast(name)
        (image,) = clean_images(head, name, tissues, scanner, (load,))
        clean[name] = Volume(image, grid.affine, name)
        scans[name] = scanner.acquire(clean[name], rng)
    about = {"name": subject.name, "lesions_ml": load, "uptake": uptake}
    write_phantom(scans, clean, head.labels, sequences, path, about)
