"""Scanner effects on a noise-free image: transfer curve, resolution, receive bias, noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Volume

FWHM_PER_SIGMA = 2.3548


@dataclass(frozen=True)
class Scanner:
    """Settings of one acquisition.

    Attributes:
        gamma: exponent of the transfer curve on the signal relative to its reference (MR only).
        gain: native units of the reference signal.
        bias: half the peak-to-peak range of the receive bias, share of the signal (0.2: from 0.8 to 1.2).
        noise: standard deviation of the complex noise, share of ``gain`` (Rician magnitude).
        blur_mm: in-plane resolution (FWHM) added to the voxel size.
        slice_mm: resolution along ``slice_axis`` (FWHM); 0 for isotropic.
        slice_axis: 0, 1 or 2 for (K, J, I).
        bias_seed: of the bias pattern; the same for scans from the same coil and position.
        hounsfield: a CT: HU, additive Gaussian noise.
    """

    gamma: float = 1.0
    gain: float = 1000.0
    bias: float = 0.0
    noise: float = 0.0
    blur_mm: float = 0.0
    slice_mm: float = 0.0
    slice_axis: int = 0
    bias_seed: int = 0
    hounsfield: bool = False

    def for_contrast(self, contrast: str) -> Scanner:
        """The same resolution for a CT (HU, no bias, Gaussian noise of at most about 20 HU), unchanged for MR."""
        if contrast != "CT":
            return replace(self, hounsfield=False)
        return replace(self, hounsfield=True, gamma=1.0, gain=1000.0, bias=0.0, noise=min(0.4 * self.noise, 0.02))

    def transfer(self, signal: NDArray[np.float32], reference: float) -> NDArray[np.float32]:
        """Native units of a signal: ``gain (signal / reference) ** gamma``."""
        relative = np.maximum(signal, 0.0) / np.float32(reference)
        if self.gamma != 1.0:
            relative = relative ** np.float32(self.gamma)
        return np.asarray(np.float32(self.gain) * relative, dtype=np.float32)

    def acquire(self, volume: Volume, rng: np.random.Generator | int | None) -> Volume:
        """Blur, bias and Rician noise (Gaussian for CT), native units; ``rng`` None leaves the noise out."""
        array = volume.array
        fwhm = [self.blur_mm] * 3
        fwhm[self.slice_axis] = max(self.blur_mm, self.slice_mm)
        sigma = [f / FWHM_PER_SIGMA / s for f, s in zip(fwhm, reversed(volume.spacing), strict=True)]
        if max(sigma) > 0:
            array = ndimage.gaussian_filter(array, sigma, mode="nearest", truncate=3.0)
        if self.bias > 0:
            array = array * bias_field(volume.shape, self.bias, self.bias_seed)
        if self.noise > 0 and rng is not None:
            generator = np.random.default_rng(rng)
            sd = np.float32(self.noise * self.gain)
            if self.hounsfield:
                noisy = array + sd * generator.standard_normal(volume.shape, dtype=np.float32)
                return volume.with_array(noisy)
            real = array + sd * generator.standard_normal(volume.shape, dtype=np.float32)
            imaginary = sd * generator.standard_normal(volume.shape, dtype=np.float32)
            array = np.hypot(real, imaginary)
        return volume.with_array(array)


def bias_field(shape: tuple[int, int, int], amplitude: float, seed: int) -> NDArray[np.float32]:
    """A smooth multiplicative field within ``1 +- amplitude``: random cosines of at most 1.5 periods, mean 1."""
    rng = np.random.default_rng(seed)
    basis = [np.cos(np.pi * np.outer(np.arange(4), (np.arange(n) + 0.5) / n)).astype(np.float32) for n in shape]
    order = np.add.outer(np.add.outer(np.arange(4), np.arange(4)), np.arange(4))
    weights = rng.standard_normal((4, 4, 4)) / (1.0 + order) ** 2 * (order <= 4)
    weights[0, 0, 0] = 0.0
    smooth = np.einsum("abc,ak,bj,ci->kji", weights.astype(np.float32), *basis, optimize=True)
    return np.asarray(1.0 + np.float32(amplitude / max(float(np.abs(smooth).max()), 1e-6)) * smooth, dtype=np.float32)


@dataclass(frozen=True)
class ScannerRange:
    """Ranges that scanners are drawn from, uniformly; gain logarithmically."""

    gamma: tuple[tuple[float, float], ...]
    gain: tuple[float, float]
    bias: tuple[float, float]
    noise: tuple[float, float]
    blur_mm: tuple[float, float]
    slice_mm: tuple[float, float] = (0.0, 0.0)

    def draw(self, rng: np.random.Generator) -> Scanner:
        """One scanner; ``gamma`` may lie in any of its intervals."""
        interval = self.gamma[int(rng.integers(len(self.gamma)))]
        return Scanner(
            gamma=float(rng.uniform(*interval)),
            gain=float(np.exp(rng.uniform(*np.log(self.gain)))),
            bias=float(rng.uniform(*self.bias)),
            noise=float(rng.uniform(*self.noise)),
            blur_mm=float(rng.uniform(*self.blur_mm)),
            slice_mm=float(rng.uniform(*self.slice_mm)),
            slice_axis=int(rng.integers(3)),
            bias_seed=int(rng.integers(2**31)),
        )


SCANNERS: dict[str, ScannerRange] = {
    "training": ScannerRange(((0.85, 1.2),), (300, 3000), (0.0, 0.2), (0.0, 0.03), (0.0, 2.0)),
    "unseen": ScannerRange(((0.6, 0.75), (1.35, 1.6)), (50, 8000), (0.25, 0.4), (0.035, 0.06), (2.5, 3.5), (3.0, 5.0)),
}
"""``unseen`` lies outside ``training`` in gamma, bias, noise and resolution at once."""


def draw_scanner(name: str, rng: np.random.Generator) -> Scanner:
    """A scanner from one of the named ranges."""
    try:
        return SCANNERS[name].draw(rng)
    except KeyError:
        raise InputError(f"The scanner range {name!r} is not known: use one of {', '.join(SCANNERS)}.") from None
