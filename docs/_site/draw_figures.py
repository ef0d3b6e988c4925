"""The figures of the documentation that are computed: python docs/_site/draw_figures.py (needs matplotlib, nilearn)."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

import SITTranslateLib as sit
from SITTranslateLib import fields
from SITTranslateLib.app.demo_brain import load_brain
from SITTranslateLib.scene import colours
from SITTranslateLib.scene.ranges import volume_percent

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
INK, SOFT = "#1b1f24", "#59636e"
MOVED, READ = "#b35806", "#542788"
#: As in the module, the report and the page.
HOW_FAR, VOLUME, INTENSITY = (
    ListedColormap(colours.rgba(name)[:, :3]) for name in (colours.HOW_FAR, colours.VOLUME, colours.INTENSITY)
)
plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 11, "text.color": INK, "axes.titlesize": 12})


def how_sit_works() -> None:
    """The parts of one translation, side by side, with the formula of each."""
    brain, _ = load_brain()
    result = sit.translate(brain, model="brain-ageing-t1w", age=20, lesions=10, device="cpu")
    assert result.motion is not None and result.jacobian is not None and result.intensity_change is not None
    k = int(np.rint(brain.grid.to_indices(np.array([0.0, 0.0, 18.0]))[2]))
    rows, columns = slice(12, -14), slice(14, -14)

    def cut(array: np.ndarray) -> np.ndarray:
        # As radiologists look: the person's right on the left.
        return array[k][rows, columns][:, ::-1]

    grey = {"cmap": "gray", "origin": "lower", "vmin": 0, "vmax": float(np.percentile(brain.array, 99.7))}
    figure, grid = plt.subplots(2, 3, figsize=(10, 9), layout="constrained")
    axes = [*grid[0], *grid[1]]
    axes[0].imshow(cut(brain.array), **grey)
    _caption(axes[0], "source", "the scan")
    axes[1].imshow(cut(brain.array), **grey, alpha=0.55)
    motion, step = cut(result.motion.array), 7
    j, i = np.mgrid[: motion.shape[0] : step, : motion.shape[1] : step]
    arrows = motion[::step, ::step]
    length = np.linalg.norm(arrows, axis=-1)
    seen = (length > 0.3) & (cut(brain.array)[::step, ::step] > 0)
    drawn = axes[1].quiver(
        i[seen], j[seen], -3 * arrows[seen][:, 0], 3 * arrows[seen][:, 1], length[seen], cmap=HOW_FAR, clim=(0, 4),
        angles="xy", scale_units="xy", scale=1, width=0.006,
    )  # fmt: skip
    figure.colorbar(drawn, ax=axes[1], orientation="horizontal", shrink=0.8, label="mm (arrows 3 times as long)")
    _caption(axes[1], "how the anatomy moved", "w = exp(v) - id")
    shown = axes[2].imshow(
        np.ma.masked_where(cut(brain.array) <= 0, volume_percent(cut(result.jacobian.array))),
        cmap=VOLUME, vmin=-60, vmax=60, origin="lower",
    )  # fmt: skip
    figure.colorbar(
        shown, ax=axes[2], orientation="horizontal", shrink=0.8, extend="both", label="volume, %: shrank, expanded"
    )
    _caption(axes[2], "expanded or shrank", "J = det D(x + w(x))")
    change = cut(result.intensity_change.array)
    reach = float(np.percentile(np.abs(change), 99.8))
    shown = axes[3].imshow(
        np.ma.masked_where(cut(brain.array) <= 0, change), cmap=INTENSITY, vmin=-reach, vmax=reach, origin="lower"
    )
    figure.colorbar(shown, ax=axes[3], orientation="horizontal", shrink=0.8, label="scan's own units: darker, brighter")
    _caption(axes[3], "how the intensity changed", "d")
    axes[4].imshow(cut(result.translated.array), **grey)
    _caption(axes[4], "translated (synthetic)", "(source + d)(y + u(y))")
    axes[5].axis("off")
    for height, colour, text in (
        (0.80, INK, "the network gives"),
        (0.71, SOFT, "a velocity v and a change d"),
        (0.55, INK, "everything else is arithmetic"),
        (0.46, SOFT, "w = exp(v) - id"),
        (0.37, SOFT, "u = exp(-v) - id"),
        (0.28, SOFT, "translated(y) = (source + d)(y + u(y))"),
    ):
        axes[5].text(0.02, height, text, color=colour, fontsize=12, transform=axes[5].transAxes)
    for place, letter, side in ((0.03, "R", "left"), (0.97, "L", "right")):
        axes[0].text(place, 0.5, letter, color="white", transform=axes[0].transAxes, ha=side, va="center")
    figure.savefig(PICTURES / "how-sit-works.png", dpi=110, facecolor="white", bbox_inches="tight")


def sign_of_the_jacobian() -> None:
    """A disc that grows: the motion, the sampling field, and which of the two Jacobians is shown."""
    grid = sit.Grid.centred(np.zeros(3), (9, 81, 81), 1.0)
    k, j, i = np.indices(grid.shape)
    place = grid.to_world(np.stack((i, j, k), axis=-1))
    radius = np.linalg.norm(place[..., :2], axis=-1, keepdims=True)
    outwards = place * np.array([1, 1, 0]) * 0.35 * np.exp(-((radius / 18.0) ** 4))
    velocity = sit.VectorField(outwards.astype(np.float32), grid.affine)
    motion, sampling = fields.exponential(velocity), fields.exponential(velocity, -1.0)
    jacobian = fields.jacobian(motion).array[4]
    disc = 12.0
    edge = disc + float(motion.array[4, 40, 40 + int(disc), 0])
    figure, axes = plt.subplots(1, 3, figsize=(13, 5.0), layout="constrained")
    wanted = (slice(4, 78, 6), slice(4, 78, 6))
    where = place[4][..., :2]
    for axis, field, colour, name, about in (
        (axes[0], motion, MOVED, "motion w", "starts at a point of the source,\nends where it went: outwards"),
        (
            axes[1],
            sampling,
            READ,
            "sampling field u",
            "starts at a voxel of the result,\nends where it is read: inwards",
        ),
    ):
        start, vector = where[wanted], field.array[4][wanted][..., :2]
        axis.quiver(*np.moveaxis(start, -1, 0), *np.moveaxis(vector, -1, 0), color=colour, angles="xy",
                    scale_units="xy", scale=1, width=0.006)  # fmt: skip
        axis.set_title(name, color=colour, fontweight="bold")
        axis.set_xlabel(about)
    shown = axes[2].imshow(
        volume_percent(jacobian), cmap=VOLUME, vmin=-100, vmax=100, origin="lower", extent=(-40, 40, -40, 40)
    )
    figure.colorbar(shown, ax=axes[2], shrink=0.8, label="volume, %: shrank, expanded")
    axes[2].set_title("what is shown: J of the motion", fontweight="bold")
    middle = float(jacobian[40, 40])
    axes[2].set_xlabel(
        f"in the middle J = {middle:.2f}: it expanded\n(that of the sampling field would be {1 / middle:.2f})"
    )
    for axis in axes:
        axis.add_patch(plt.Circle((0, 0), disc, fill=False, linestyle="--", color=SOFT, linewidth=1.6))
        axis.add_patch(plt.Circle((0, 0), edge, fill=False, color=INK, linewidth=1.8))
        axis.set(xlim=(-32, 32), ylim=(-32, 32), xticks=[], yticks=[], aspect="equal")
    figure.suptitle("A disc that grows: dashed in the source, solid in the translation", fontsize=12, color=SOFT)
    figure.savefig(PICTURES / "sign-of-the-jacobian.png", dpi=100, facecolor="white")


def _caption(axis: Axes, title: str, formula: str) -> None:
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"{title}\n{formula}")
    for side in axis.spines.values():
        side.set_visible(False)


if __name__ == "__main__":
    sign_of_the_jacobian()
    how_sit_works()
