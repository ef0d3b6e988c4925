"""Simulated heads in all of ALDM's contrasts on its 2 mm grid: made once, kept on disk, read whole.

The same head, tissues and lesions in T1w, T1w after a gadolinium agent, T2w, FLAIR, PD and CT, each with a scanner of
its own. Whether lesions take the agent up is drawn for each head: no other contrast says so, in a patient as here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from SITTranslateLib.simulation import Subject, draw_scanner
from SITTranslateLib.simulation.rendering import clean_images, place
from SITTranslateLib.simulation.tissue import draw_tissues
from SITTranslateLib.training.engine.label_maps import prepared_subjects
from SITTranslateLib.training.engine.phantoms import Head, read_head, write_head
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.volume import Grid, Volume

CONTRASTS = ("T1w", "T1wGd", "T2w", "FLAIR", "PD", "CT")
#: Voxels (K, J, I) and their size: a whole brain with its skull, multiples of 8.
SHAPE, SPACING_MM = (88, 104, 88), 2.0
#: Share of heads whose lesions enhance, and how much of the blood's concentration they then reach.
ENHANCING, UPTAKE = 0.4, (0.2, 0.6)


@dataclass(frozen=True)
class ContrastPool:
    """Which heads: label maps, how many, how they vary; as ``engine.phantoms.PhantomSet``."""

    maps: tuple[str, ...]
    heads: int = 36
    scanner: str = "training"
    lesion_load_ml: tuple[float, float] = (0.0, 15.0)
    shape: tuple[int, int, int] = SHAPE
    deform: bool = True
    seed: int = 1

    @property
    def key(self) -> str:
        """Of everything but how many: head ``n`` is the same in a smaller and a larger pool."""
        what = {name: value for name, value in asdict(self).items() if name != "heads"}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def heads_of(pool: ContrastPool, labels: Path, cache: Path) -> list[Head]:
    """The heads of a pool, simulated when first asked for, then read from ``cache``."""
    folder = cache / f"contrast-heads-{pool.key}"
    there = all((folder / f"{index:03d}").is_dir() for index in range(pool.heads))
    subjects = [] if there else prepared_subjects(labels, pool.maps, cache / "subjects")
    heads = []
    with steps_with_progress("heads in all contrasts", 0, pool.heads) as advance:
        for index in range(pool.heads):
            kept = folder / f"{index:03d}"
            if not kept.is_dir():
                _simulate(subjects, pool, index, kept)
            heads.append(read_head(kept, CONTRASTS))
            advance({})
    return heads


def _simulate(subjects: Sequence[Subject], pool: ContrastPool, index: int, kept: Path) -> None:
    subject = subjects[index % len(subjects)]
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
    write_head(scans, clean, head.labels, sequences, kept, about)
