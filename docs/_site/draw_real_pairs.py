"""A patient that a network did not train on: scan, translation, truth, difference, with lesions outlined.

    python docs/_site/draw_real_pairs.py FOLD RUN SCANS CACHE OUT.png

The first visit that the fold leaves out; T1w to T2w and T2w to T1w, axial, the patient's right on the left.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from SITTranslateLib.evaluation.contrast_metrics import fitted
from SITTranslateLib.training.engine.visits import held_out_visits
from SITTranslateLib.training.recipes.real_contrasts import table

ROWS = (("T1w", "T2w"), ("T2w", "T1w"))


def main(fold: str, run: Path, scans: Path, cache: Path, out: Path) -> None:
    """Draw the picture."""
    visit = max(held_out_visits(fold), key=lambda v: bool(v.lesions) * len(v.name) + (v.name == "ms-cross-26"))
    case = table.Cases(scans, cache).of(visit)
    network = table.load_weights(run)
    loads = (case.lesions & case.brain).sum(axis=(1, 2))
    height = int(loads.argmax()) if loads.any() else case.brain.shape[0] // 2
    figure, panels = plt.subplots(len(ROWS), 4, figsize=(13.0, 7.8), facecolor="white")
    for row, (source, target) in zip(panels, ROWS, strict=True):
        made = table.answer_of(network, case.images[source], source, bfloat16=True).means[target]
        truth = case.scans[target]
        made = fitted(made, truth, case.brain)
        titles = (f"{source}", f"{target}, made of it", f"{target}, acquired", "made - acquired, SD of the brain")
        for panel, title, image in zip(row, titles, (case.scans[source], made, truth, made - truth), strict=True):
            shown = np.where(case.brain[height], image[height], np.nan)[15:195, ::-1]
            difference = title.startswith("made")
            drawn = panel.imshow(
                shown, cmap="RdBu_r" if difference else "gray", origin="lower",
                vmin=-3.0, vmax=3.0,
            )  # fmt: skip
            panel.contour(case.lesions[height][15:195, ::-1], [0.5], colors="#ffb000", linewidths=0.8)
            panel.set_title(title, fontsize=11)
            panel.text(2, 90, "R", color="black", fontsize=11)
            panel.text(170, 90, "L", color="black", fontsize=11)
            panel.plot([10, 60], [4, 4], color="black", lw=2)
            panel.text(10, 8, "50 mm", fontsize=9)
            panel.axis("off")
            figure.colorbar(drawn, ax=panel, fraction=0.035, pad=0.01)
    figure.tight_layout()
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    main(sys.argv[1], *(Path(argument) for argument in sys.argv[2:6]))
