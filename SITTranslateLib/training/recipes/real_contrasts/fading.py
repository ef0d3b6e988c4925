"""How often clusters that look like lesions fade: in acquired scans, where they may, and in translations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from SITTranslateLib.training.recipes.real_contrasts.table import Answer, Standardised
from SITTranslateLib.translate.lesion_contrast import lesion_clusters
from SITTranslateLib.volume import Volume


@dataclass(frozen=True)
class Fading:
    """Clusters of one direction of one visit.

    Attributes:
        scanner, source, target: of the translation.
        on_lesions: for each cluster, whether its middle lies on a drawn lesion or within 2 mm of one.
        acquired, made: for each cluster, the share of its contrast that the acquired target and the network's keep.
    """

    scanner: str
    source: str
    target: str
    on_lesions: tuple[bool, ...]
    acquired: tuple[float, ...]
    made: tuple[float, ...]
    faded_acquired: int
    faded_made: int


def fading_of(scanner: str, case: Standardised, source: str, target: str, answer: Answer) -> Fading:
    """The clusters of a scan, in the acquired target and in the network's."""
    scan, truth = (Volume(case.images[c][0, 0].numpy(), case.affine, c) for c in (source, target))
    acquired = lesion_clusters(scan, truth, (source, target))
    made = lesion_clusters(scan, truth.with_array(answer.means[target]), (source, target))
    near = ndimage.binary_dilation(case.lesions, iterations=2)
    indices = [np.rint(scan.grid.to_indices(np.array([c.middle]))[0]).astype(int)[::-1] for c in acquired]
    return Fading(
        scanner,
        source,
        target,
        tuple(bool(near[tuple(index)]) for index in indices),
        tuple(c.after / c.before for c in acquired),
        tuple(c.after / c.before for c in made),
        sum(c.faded for c in acquired),
        sum(c.faded for c in made),
    )


def as_markdown(found: Sequence[Fading]) -> str:
    """One row a scanner and direction."""
    lines = [
        "| scanner | direction | clusters | on drawn lesions | contrast kept, median: acquired | network "
        "| faded: acquired | network |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((f.scanner, f.source, f.target) for f in found):
        mine = [f for f in found if (f.scanner, f.source, f.target) == key]
        count = sum(len(f.acquired) for f in mine)
        if count == 0:
            continue
        kept = [100.0 * float(np.median([v for f in mine for v in getattr(f, part)])) for part in ("acquired", "made")]
        lines.append(
            f"| {key[0]} | {key[1]} to {key[2]} | {count} | {sum(sum(f.on_lesions) for f in mine)} | {kept[0]:.0f} % "
            f"| {kept[1]:.0f} % | {sum(f.faded_acquired for f in mine)} | {sum(f.faded_made for f in mine)} |"
        )
    return "\n".join(lines) + "\n"


def write(found: Sequence[Fading], out: Path) -> None:
    """``fading.md`` below a folder."""
    (out / "fading.md").write_text(as_markdown(found), encoding="utf-8")
