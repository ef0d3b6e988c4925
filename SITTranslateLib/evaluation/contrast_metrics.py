"""Metrics of a translated MR contrast against the acquired one, after a linear fit, since MR units are arbitrary.

All take arrays ``(K, J, I)`` on one grid and masks of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from SITTranslateLib.evaluation.metrics import psnr

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

RANGE_PERCENTILE = 99.5
"""Of the truth inside the mask, air being 0: the range of values of SSIM and PSNR."""
WINDOW = 7
"""Edge of SSIM's uniform window, voxels, as scikit-image has it."""
SHELL = (2, 6)
"""Distance of the shell that a lesion is compared with, voxels."""
MIDDLE_SLICES = 72
"""Axial slices about the middle of the brain that count: the lowest and highest are cut off in routine scans."""
SMALLEST_LESIONS = 50
"""Voxels of lesions, and of their shell, below which lesions are not measured."""


@dataclass(frozen=True)
class ContrastScores:
    """Metrics of a translation after the best fit of gain and offset.

    Attributes:
        ssim, psnr: inside the mask, dB.
        sharpness: mean gradient over the truth's.
        auc: how well lesion voxels stand out as bright from the shell around them; NaN without lesions.
        lesion_contrast: difference between lesions and shell in % of the truth's; NaN without lesions.
        jitter: standard deviation of the second difference of the slices' means, in standard deviations of the brain.
    """

    ssim: float
    psnr: float
    sharpness: float
    auc: float
    lesion_contrast: float
    jitter: float


def middle_of(brain: Mask, slices: int = MIDDLE_SLICES) -> Mask:
    """The mask's middle axial slices alone."""
    where = np.flatnonzero(brain.any(axis=(1, 2)))
    if where.size == 0:
        return brain
    first = max(0, int(where[0] + where[-1] + 1 - slices) // 2)
    kept = np.zeros_like(brain)
    kept[first : first + slices] = brain[first : first + slices]
    return kept


def fitted(image: Array, truth: Array, mask: Mask, free_sign: bool = False) -> Array:
    """The image with the gain and offset that fit the truth best; no negative gain unless ``free_sign``."""
    x, y = image[mask].astype(np.float64), truth[mask].astype(np.float64)
    variance = float(x.var())
    gain = float(np.mean((x - x.mean()) * (y - y.mean()))) / variance if variance > 1e-12 else 0.0
    if not free_sign:
        gain = max(gain, 0.0)
    return np.asarray(gain * image + (y.mean() - gain * x.mean()), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Truth:
    """An acquired scan to compare with, and what is measured of it once.

    Attributes:
        image: in units in which air is 0.
        brain: where translations count.
        lesions, shell: lesions and what they are compared with; None where there are none or too few.
    """

    image: Array
    brain: Mask
    lesions: Mask | None = None
    shell: Mask | None = None

    @property
    def span(self) -> float:
        return float(np.percentile(self.image[self.brain], RANGE_PERCENTILE))


def truth_of(image: Array, brain: Mask, lesions: Mask | None = None, shell: Mask | None = None) -> Truth:
    """The acquired scan; ``shell`` is found where it is not given, lesions too small to measure are left out."""
    if lesions is not None:
        lesions = lesions & brain
        shell = shell_of(lesions, brain) if shell is None else shell
        if min(np.count_nonzero(lesions), np.count_nonzero(shell)) < SMALLEST_LESIONS:
            lesions = shell = None
    return Truth(image, brain, lesions, shell)


def scores(image: Array, truth: Truth, free_sign: bool = False) -> ContrastScores:
    """All measures of one translation.

    Args:
        image: in any units.
        truth: what it should be.
        free_sign: whether the fit may turn the image's sign.
    """
    brain = truth.brain
    made = fitted(image, truth.image, brain, free_sign)
    auc = contrast = float("nan")
    if truth.lesions is not None and truth.shell is not None:
        auc = area(made[truth.lesions], made[truth.shell])
        of_truth = _difference(truth.image, truth.lesions, truth.shell)
        contrast = 100.0 * _difference(made, truth.lesions, truth.shell) / of_truth if of_truth else float("nan")
    return ContrastScores(
        ssim=windowed_ssim(made, truth.image, brain, truth.span),
        psnr=psnr(made, truth.image, brain, truth.span),
        sharpness=_gradient(made, brain) / max(_gradient(truth.image, brain), 1e-12),
        auc=auc,
        lesion_contrast=contrast,
        jitter=jitter(made, brain),
    )


def windowed_ssim(image: Array, truth: Array, mask: Mask, span: float) -> float:
    """Structural similarity in 3D with a uniform window of 7 voxels, averaged over the mask.

    Outside the mask both are taken to be alike, so that what was made of the air around a stripped brain is no error.
    """
    image = np.where(mask, image, truth)
    where = [np.flatnonzero(mask.any(axis=tuple(o for o in range(3) if o != axis))) for axis in range(3)]
    box = tuple(slice(max(0, w[0] - WINDOW), w[-1] + WINDOW + 1) for w in where)
    x, y = image[box].astype(np.float32) / np.float32(span), truth[box].astype(np.float32) / np.float32(span)

    def mean(values: Array) -> Array:
        return np.asarray(ndimage.uniform_filter(values, WINDOW))

    mx, my = mean(x), mean(y)
    # Unbiased, as scikit-image and Wang et al. have it.
    unbiased = WINDOW**3 / (WINDOW**3 - 1.0)
    vx, vy, vxy = (
        unbiased * (mean(a * b) - ma * mb) for a, b, ma, mb in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my))
    )
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(similar[mask[box]].mean())


def shell_of(lesions: Mask, brain: Mask) -> Mask:
    """The brain 2 to 6 voxels around lesions."""
    away = ndimage.distance_transform_edt(~lesions)
    return np.asarray((away >= SHELL[0]) & (away <= SHELL[1]) & brain)


def area(inside: NDArray[np.float32], around: NDArray[np.float32]) -> float:
    """Area under the ROC curve of some voxels (bright) against others; 0.5 means that they cannot be distinguished."""
    return float(stats.mannwhitneyu(inside, around).statistic / (inside.size * around.size))


def _difference(image: Array, lesions: Mask, shell: Mask) -> float:
    return float(image[lesions].mean() - image[shell].mean())


def jitter(image: Array, brain: Mask) -> float:
    """Standard deviation of the second difference of axial slices' means, over that of the brain.

    Each difference is taken over the voxels that three neighbouring slices share, so that anatomy hardly counts.
    """
    spread = float(image[brain].std())
    if spread <= 0:
        return 0.0
    found = []
    for z in range(1, image.shape[0] - 1):
        shared = brain[z - 1] & brain[z] & brain[z + 1]
        if np.count_nonzero(shared) > 1000:
            found.append(float(2 * image[z][shared].mean() - image[z - 1][shared].mean() - image[z + 1][shared].mean()))
    return float(np.std(found)) / spread if len(found) > 2 else 0.0


def _gradient(image: Array, mask: Mask) -> float:
    inner = mask[1:-1, 1:-1, 1:-1]
    total = np.zeros(inner.shape, np.float32)
    for axis in range(3):
        ahead = [slice(1, -1)] * 3
        behind = [slice(1, -1)] * 3
        ahead[axis], behind[axis] = slice(2, None), slice(None, -2)
        total += np.square(0.5 * (image[tuple(ahead)] - image[tuple(behind)]))
    return float(np.sqrt(total[inner]).mean())
