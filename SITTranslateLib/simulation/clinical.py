"""Clinical scans: every contrast, differing timings, thick slices, artefacts, with skull or without.

What the gate learns kinds of scans from. The head is a label map placed and deformed at 2 mm; signals come from the
signal equations, and everything that a scanner can do to them is drawn wider than for training a translator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SITTranslateLib.simulation.contrast import Sequence
from SITTranslateLib.simulation.labels import TABLE_SIZE, TISSUE_OF_LABEL, LabelMap
from SITTranslateLib.simulation.rendering import place
from SITTranslateLib.simulation.scanner import Scanner
from SITTranslateLib.simulation.subject import brain_mask, plain_subject
from SITTranslateLib.simulation.tissue import Tissue, draw_tissues
from SITTranslateLib.volume import Grid, Volume

Array = NDArray[np.float32]

#: Kinds of scans to distinguish.
KINDS = ("T1w", "T2w", "FLAIR", "PD", "DWI", "ADC", "CT")
#: Field of view (K, J, I) and voxels of a placed head: brain, face and the upper neck.
SHAPE, SPACING_MM = (104, 114, 94), 2.0
#: Apparent diffusion coefficients, 1e-6 mm2/s; Le Bihan et al., J Magn Reson Imaging 2001;13:534; others chosen.
DIFFUSIVITY = {
    "air": 0.0, "csf": 3000.0, "eye": 2900.0, "wm": 720.0, "cerebellar_wm": 720.0, "brain_stem": 740.0,
    "muscle": 1500.0, "soft": 300.0, "skin": 300.0, "bone_cortical": 0.0, "bone_cancellous": 200.0, "lesion": 1200.0,
}  # fmt: skip
OTHER_DIFFUSIVITY = 850.0
#: A label that no map has, for what grows or died in the brain: between lesion and fluid.
_GROWTH = TABLE_SIZE - 1


@dataclass(frozen=True, eq=False)
class ClinicalHead:
    """A head at 2 mm, and its masks by two methods of skull stripping."""

    labels: LabelMap
    texture: Array
    stripped: tuple[NDArray[np.bool_], NDArray[np.bool_]]


def clinical_head(labels: LabelMap, rng: np.random.Generator) -> ClinicalHead:
    """Another anatomy made of a label map."""
    subject = plain_subject(labels)
    centre = subject.centre + np.array([0.0, 0.0, -18.0])
    placed = place(subject, Grid.centred(centre, SHAPE, SPACING_MM), rng, True, lesions=False)
    return ClinicalHead(placed.labels, placed.texture, (brain_mask(placed.labels, 0.0), brain_mask(placed.labels, 2.5)))


def clinical_scan(head: ClinicalHead, kind: str, rng: np.random.Generator, *, strip: bool | None = None) -> Volume:
    """One scan of a head; without its skull if ``strip``, half of the time if that is None."""
    tissues = draw_tissues(rng)
    labels, growth = head.labels.array, _growth(head, rng) if rng.random() < 0.25 else None
    table = _signals(kind, tissues, rng)
    signal = table[labels]
    if growth is not None:
        signal = np.where(growth, table[_GROWTH], signal)
    signal = signal * (1 + np.float32(0.03) * head.texture) if kind != "CT" else signal + 1.5 * head.texture
    scanner = _scanner(kind, rng)
    if kind not in ("CT", "ADC"):
        signal = scanner.transfer(signal, float(table[2]))
    elif kind == "ADC":
        scanner = replace(scanner, bias=0.0, gain=800.0)
    array = scanner.acquire(Volume(signal.astype(np.float32), head.labels.affine), rng).array
    if kind != "CT":
        array = _spoilt(array, rng)
    strip = bool(rng.random() < 0.5) if strip is None else strip
    if strip or kind == "ADC":
        left = head.stripped[int(rng.integers(2))]
        array = np.where(left, array, np.float32(0.0 if kind != "CT" or rng.random() < 0.5 else -1000.0))
    if kind == "CT":
        array = _units_of_ct(array, rng)
    return _as_stored(Volume(np.ascontiguousarray(array, np.float32), head.labels.affine, kind), rng)


def _sequence(kind: str, rng: np.random.Generator, csf_t1: float) -> Sequence:
    """Timings of one protocol."""
    draw = rng.uniform
    if kind == "T1w":
        way = int(rng.integers(4))
        if way == 0:
            return Sequence("gradient_echo", draw(1900, 2600), draw(2, 4.5), draw(800, 1100), flip=draw(7, 12))
        if way == 1:
            return Sequence("gradient_echo", draw(8, 35), draw(2.5, 7), flip=draw(15, 35))
        if way == 2:
            return Sequence("spin_echo", draw(400, 750), draw(8, 16))
        return Sequence("inversion_spin_echo", draw(1800, 2600), draw(8, 25), draw(720, 950))
    if kind == "T2w":
        return Sequence("spin_echo", draw(3000, 8000), draw(75, 130))
    if kind == "PD":
        return Sequence("spin_echo", draw(2200, 6000), draw(9, 30))
    if kind == "FLAIR":
        repetition = draw(6500, 11000)
        # The inversion time that darkens fluid, nearly.
        null = csf_t1 * (np.log(2.0) - np.log1p(np.exp(-repetition / csf_t1)))
        return Sequence("inversion_spin_echo", repetition, draw(85, 145), float(null) * draw(0.95, 1.03))
    return Sequence("spin_echo", draw(3500, 8000), draw(55, 100))


def _signals(kind: str, tissues: Mapping[str, Tissue], rng: np.random.Generator) -> Array:
    """Signal by label."""
    named = {}
    sequence = _sequence(kind, rng, tissues["csf"].t1[0])
    weighting = rng.uniform(700, 1300)
    for name, tissue in tissues.items():
        diffusivity = DIFFUSIVITY.get(name, OTHER_DIFFUSIVITY)
        if kind == "CT":
            named[name] = tissue.hounsfield[0]
        elif kind == "ADC":
            named[name] = diffusivity
        else:
            signal = sequence.signal(tissue)
            named[name] = signal * np.exp(-weighting * diffusivity * 1e-6) if kind == "DWI" else signal
    table = np.full(TABLE_SIZE, named["air"], dtype=np.float32)
    for label, tissue_name in TISSUE_OF_LABEL.items():
        table[label] = named[tissue_name]
    table[_GROWTH] = named["lesion"] + rng.uniform(0.0, 0.8) * (named["csf"] - named["lesion"])
    return table


def _growth(head: ClinicalHead, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A ball of 8 to 25 mm somewhere in the brain."""
    brain = np.argwhere(head.stripped[0])
    middle, radius = brain[int(rng.integers(len(brain)))], rng.uniform(8, 25) / SPACING_MM
    k, j, i = np.ogrid[tuple(slice(0, n) for n in head.stripped[0].shape)]
    near = (k - middle[0]) ** 2 + (j - middle[1]) ** 2 + (i - middle[2]) ** 2 < radius**2
    return near & head.stripped[0]


def _scanner(kind: str, rng: np.random.Generator) -> Scanner:
    thick = rng.random() < 0.4
    return Scanner(
        gamma=float(rng.uniform(0.75, 1.35)),
        gain=float(np.exp(rng.uniform(np.log(60), np.log(5000)))) if kind != "CT" else 1000.0,
        bias=float(rng.uniform(0.0, 0.45)) if kind != "CT" else 0.0,
        noise=float(rng.uniform(0.0, 0.06)) if kind != "CT" else float(rng.uniform(0.0, 0.02)),
        blur_mm=float(rng.uniform(0.0, 3.0)),
        slice_mm=float(rng.uniform(3.0, 6.0)) if thick else 0.0,
        slice_axis=int(rng.integers(3)),
        bias_seed=int(rng.integers(2**31)),
        hounsfield=kind == "CT",
    )


def _spoilt(array: Array, rng: np.random.Generator) -> Array:
    """Ghosts, motion during the scan, or a spike, as they arise in k-space; seldom."""
    what = rng.random()
    if what > 0.3:
        return array
    axis = int(rng.integers(3))
    space = np.fft.fft(array, axis=axis)
    lines = np.arange(array.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    if what < 0.12:
        period = int(rng.integers(2, 5))
        space = space * np.where(lines % period == 0, 1.0 + rng.uniform(0.1, 0.5), 1.0)
        return np.abs(np.fft.ifft(space, axis=axis)).astype(np.float32)
    if what < 0.24:
        moved = ndimage.shift(array, rng.uniform(-2.5, 2.5, 3), order=1, mode="nearest")
        late = np.abs(np.fft.fftfreq(array.shape[axis])).reshape(lines.shape) > rng.uniform(0.08, 0.3)
        space = np.where(late, np.fft.fft(moved, axis=axis), space)
        return np.abs(np.fft.ifft(space, axis=axis)).astype(np.float32)
    wave = np.cos(2 * np.pi * lines * rng.uniform(0.05, 0.4))
    height = np.float32(rng.uniform(0.02, 0.1) * np.percentile(array, 98))
    return np.maximum(array + height * wave, 0).astype(np.float32)


def _units_of_ct(array: Array, rng: np.random.Generator) -> Array:
    """HU, HU with an offset, or a window, as it leaves a picture archive."""
    way = int(rng.integers(4))
    if way == 0:
        return array
    if way == 1:
        return np.maximum(array + np.float32(1024.0), 0)
    width, middle = rng.uniform(70, 250), rng.uniform(30, 45)
    return np.asarray(255.0 * np.clip((array - middle) / width + 0.5, 0, 1), dtype=np.float32)


def _as_stored(volume: Volume, rng: np.random.Generator) -> Volume:
    """Voxels as thick as slices are, slices left out below or above, another zero."""
    array, affine = volume.array, volume.affine.copy()
    if rng.random() < 0.25:
        first = int(rng.integers(0, 22))
        array, affine[:3, 3] = array[first:], affine[:3, 3] + affine[:3, 2] * first
    if rng.random() < 0.35:
        axis, count = int(rng.integers(3)), int(rng.integers(2, 4))
        kept = array.shape[axis] // count * count
        sums = np.add.reduceat(np.take(array, range(kept), axis), np.arange(0, kept, count), axis)
        array = np.asarray(sums / np.float32(count), dtype=np.float32)
        column = 2 - axis
        affine[:3, 3] += affine[:3, column] * (count - 1) / 2.0
        affine[:3, column] *= count
    if rng.random() < 0.1 and float(array.min()) >= 0:
        array = array + np.float32(rng.uniform(0.02, 0.1) * array.max())
    return Volume(np.ascontiguousarray(array, np.float32), affine, volume.name)
