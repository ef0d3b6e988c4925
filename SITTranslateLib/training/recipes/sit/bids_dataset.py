"""A user's own scans as training data, for the unpaired host: a BIDS dataset, a table of files or torchio's subjects.

Nobody knows how these people will look later, so there is no follow-up: a batch holds a scan, a change to ask for,
and a scan of somebody else with that person's own values, which the discriminator learns from.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume
from SITTranslateLib.training.engine.grid import SPACING_MM, training_grid
from SITTranslateLib.training.engine.progress import steps_with_progress
from SITTranslateLib.training.recipes.sit.config import Scans
from SITTranslateLib.translate.head import locate_head, resample_itk
from SITTranslateLib.translate.normalisation import foreground_threshold, percentile_range
from SITTranslateLib.translate.preparation import antialiased, around
from SITTranslateLib.translate.provenance import hash_of
from SITTranslateLib.volume import Volume

#: Tables of people: of a BIDS dataset, and of any folder (a column ``file``).
PARTICIPANTS, TABLE = "participants.tsv", "scans.tsv"
#: How many different changes are requested of a scan.
REQUESTS = 16


@dataclass(frozen=True)
class KnownScan:
    """A scan and its person's values, in the attributes' own units and order; ``read`` where it is more than a file."""

    file: Path
    values: tuple[float, ...]
    read: Callable[[], Volume] | None = None


def known_scans(place: Path, attributes: Sequence[str], suffix: str) -> list[KnownScan]:
    """The scans of a BIDS dataset with ``participants.tsv``, or those that ``scans.tsv`` of a folder names.

    People without a number for every attribute are left out.

    Raises:
        InputError: neither table, a column that is not there, or fewer than two people.
    """
    table = next((place / name for name in (PARTICIPANTS, TABLE) if (place / name).is_file()), None)
    if table is None:
        raise InputError(f"'{place.name}' holds neither {PARTICIPANTS} (BIDS) nor {TABLE} with a column 'file'.")
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    first = "participant_id" if table.name == PARTICIPANTS else "file"
    missing = [name for name in (first, *attributes) if not rows or name not in rows[0]]
    if missing:
        raise InputError(f"'{table.name}' has no column '{missing[0]}', which the training asks for.")
    scans = []
    for row in rows:
        values = tuple(_number(row[name]) for name in attributes)
        if all(math.isfinite(value) for value in values):
            files = [place / row[first]] if first == "file" else sorted(place.glob(f"{row[first]}/**/*_{suffix}.nii*"))
            scans += [KnownScan(file, values) for file in files]
    if len(scans) < 2:
        raise InputError(f"'{place.name}' has {len(scans)} scans with known {' and '.join(attributes)}; two are least.")
    return scans


class ScanDataset(Dataset[dict[str, Tensor]]):
    """Scans on the training grid, prepared once and kept; item ``n`` asks for the change that ``n`` decides.

    Args:
        scans: with their people's values.
        settings: of the config.
        scales: of the network's attributes.
        folder: where prepared scans are kept.
    """

    def __init__(self, scans: list[KnownScan], settings: Scans, scales: Sequence[float], folder: Path) -> None:
        self.scans, self.settings, self.scales = scans, settings, np.array(scales, np.float32)
        self.values = np.array([scan.values for scan in scans], np.float32)
        self.folder = folder / "own-scans"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files: list[Path] = []
        with steps_with_progress("scans", 0, len(scans)) as advance:
            for scan in scans:
                self.files.append(self._prepared(scan))
                advance({})

    def __len__(self) -> int:
        return len(self.scans) * REQUESTS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = index % len(self.scans)
        rng = np.random.default_rng([self.settings.seed, index])
        # Towards somebody else's values, so that the requested change is within what the discriminator has seen.
        other = int(rng.integers(len(self.scans) - 1))
        change = self.values[other + (other >= number)] - self.values[number]
        change = np.clip(change, -np.array(self.settings.largest_change), self.settings.largest_change).astype(
            np.float32
        )
        with np.load(self.files[number]) as stored:
            source, mask = (torch.from_numpy(stored[name].astype(np.float32))[None] for name in ("source", "mask"))
        requested = (change != 0).astype(np.float32)
        return {
            "source": source,
            "mask": mask,
            "code": torch.from_numpy(np.concatenate((change / self.scales, requested))),
            "values": torch.from_numpy(self.values[number] / self.scales),
        }

    def _prepared(self, scan: KnownScan) -> Path:
        shape = training_grid(np.zeros(3)).shape
        volume = None if scan.read is None else scan.read()
        if volume is None:
            stat = scan.file.stat() if scan.file.is_file() else None
            about = [str(scan.file.resolve()), stat and (stat.st_size, stat.st_mtime_ns), shape]
        else:
            about = [hash_of(volume), shape]
        file = self.folder / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}.npz"
        if not file.exists():
            source, mask = on_training_grid(volume or read_volume(scan.file))
            part = file.with_suffix(f".{np.random.default_rng().integers(1 << 30)}.part.npz")
            np.savez(part, allow_pickle=False, source=source.astype(np.float16), mask=mask.astype(np.uint8))
            part.replace(file)
        return file


def on_training_grid(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """A scan as the pipeline prepares it, ``(K, J, I)`` in network units, and the mask of what is not air."""
    grid = training_grid(locate_head(volume).centre)
    smooth = antialiased(around(volume, grid, SPACING_MM), SPACING_MM)
    array = resample_itk(smooth, grid, float(volume.array.min())).array
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(array > foreground_threshold(array), iterations=2))
    return percentile_range(array).normalise(array), np.asarray(filled)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
