"""Magnetic and radiographic properties of the tissues of the head, with their sources.

Relaxation times are at 3 T in ms, proton density is relative to water, CT numbers are in HU. Standard deviations are
between people and scanners; draws are clipped at two of them.

Sources (referred to by key in :data:`TISSUES`):
    wansapura: Wansapura et al., J Magn Reson Imaging 1999;9:531 (brain at 3 T).
    stanisz: Stanisz et al., Magn Reson Med 2005;54:507 (brain, cord, optic nerve, muscle, blood at 3 T).
    wright: Wright et al., MAGMA 2008;21:121 (T1 at 3 T: white 838, grey 1607, putamen 1332, caudate 1395 ms).
    lin: Lin et al., J Comput Assist Tomogr 2001;25:62 (CSF at 3 T).
    debazelaire: de Bazelaire et al., Radiology 2004;230:652 (fat, muscle, marrow at 3 T).
    du: Du et al., Magn Reson Imaging 2010 and Techawiboonwong et al., Radiology 2008;248:824 (cortical bone).
    data: the CT values agreed for this project: air -1000, skin and soft tissue -100 to 60, CSF 5-15, grey 35-40,
        white 25-30, cancellous bone 300-700, cortical bone 900-1800 HU.
    chosen: set between neighbouring tissues, no measurement behind it; so is the uptake of contrast agent (blood all
        of it, leaky and perfused tissues a part, the brain behind its barrier none).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Mean and standard deviation of each property.

    Attributes:
        t1, t2, t2_star: relaxation times, ms.
        density: proton density, 1 for water.
        hounsfield: CT number, HU.
        texture: standard deviation of the smooth variation inside the tissue, share of its signal.
        source: keys of the module's list of sources.
        uptake: concentration of a contrast agent minutes after the injection, share of the blood's.
    """

    t1: tuple[float, float]
    t2: tuple[float, float]
    t2_star: tuple[float, float]
    density: tuple[float, float]
    hounsfield: tuple[float, float]
    texture: float
    source: str
    uptake: float = 0.0


TISSUES: dict[str, Tissue] = {
    "air": Tissue((1000, 0), (1, 0), (1, 0), (0.0, 0.0), (-1000, 0), 0.0, "data"),
    "csf": Tissue((4163, 263), (2000, 250), (1000, 150), (1.0, 0.0), (10, 3), 0.01, "lin, data; T2 chosen"),
    "wm": Tissue((840, 50), (75, 5), (45, 4), (0.70, 0.02), (28, 1.5), 0.02, "wansapura, stanisz, wright, data"),
    "cerebellar_wm": Tissue((860, 50), (76, 5), (46, 4), (0.71, 0.02), (28, 1.5), 0.02, "chosen near wm"),
    "gm": Tissue((1450, 110), (105, 7), (60, 5), (0.82, 0.02), (37, 1.5), 0.03, "wansapura, stanisz, wright, data"),
    "cerebellar_gm": Tissue((1400, 110), (100, 7), (58, 5), (0.81, 0.02), (37, 1.5), 0.03, "chosen near gm"),
    "thalamus": Tissue((1180, 70), (86, 5), (48, 4), (0.77, 0.02), (35, 1.5), 0.03, "chosen between wm and gm"),
    "caudate": Tissue((1395, 60), (92, 5), (52, 4), (0.80, 0.02), (37, 1.5), 0.02, "wright; T2 chosen"),
    "putamen": Tissue((1332, 68), (86, 5), (46, 4), (0.79, 0.02), (37, 1.5), 0.02, "wright; T2 chosen"),
    "pallidum": Tissue((1000, 70), (68, 5), (32, 3), (0.74, 0.02), (36, 1.5), 0.03, "chosen: iron shortens T2"),
    "hippocampus": Tissue((1450, 100), (105, 7), (58, 5), (0.83, 0.02), (36, 1.5), 0.03, "chosen near gm"),
    "brain_stem": Tissue((980, 70), (80, 5), (48, 4), (0.74, 0.02), (30, 1.5), 0.03, "chosen between wm and gm"),
    "lesion": Tissue((1350, 120), (150, 20), (80, 10), (0.84, 0.03), (20, 2.0), 0.03, "chosen between wm and csf"),
    "vessel": Tissue((1932, 85), (275, 50), (60, 10), (0.85, 0.05), (42, 4), 0.10, "stanisz; CT chosen", 1.0),
    "nerve_cord": Tissue((1040, 60), (78, 5), (48, 4), (0.74, 0.02), (32, 3), 0.03, "stanisz; CT chosen"),
    "eye": Tissue((3900, 300), (1000, 200), (500, 100), (0.99, 0.01), (8, 3), 0.01, "chosen near csf"),
    "soft": Tissue(
        (700, 150), (55, 8), (25, 4), (0.85, 0.05), (0, 15), 0.10, "debazelaire (fat with muscle), data", 0.08
    ),
    "muscle": Tissue((1412, 40), (45, 5), (28, 4), (0.79, 0.03), (55, 5), 0.08, "stanisz; CT chosen", 0.12),
    "mucosa": Tissue((1500, 150), (90, 15), (30, 5), (0.85, 0.04), (40, 8), 0.15, "chosen", 0.5),
    "skin": Tissue((600, 90), (50, 8), (22, 4), (0.75, 0.05), (-20, 20), 0.06, "chosen (skin with fat), data", 0.15),
    "bone_cortical": Tissue((223, 20), (0.6, 0.1), (0.4, 0.1), (0.20, 0.02), (1300, 120), 0.10, "du, data"),
    "bone_cancellous": Tissue((586, 73), (49, 5), (8, 2), (0.45, 0.06), (500, 70), 0.15, "debazelaire, data", 0.15),
}


def draw_tissues(rng: np.random.Generator | None) -> dict[str, Tissue]:
    """The tissues of one person on one day; ``None`` gives the means."""
    if rng is None:
        return TISSUES
    drawn = {}
    for name, tissue in TISSUES.items():
        drawn[name] = replace(
            tissue,
            t1=_drawn(tissue.t1, rng),
            t2=_drawn(tissue.t2, rng),
            t2_star=_drawn(tissue.t2_star, rng),
            density=_drawn(tissue.density, rng),
            hounsfield=_drawn(tissue.hounsfield, rng),
        )
    return drawn


def _drawn(property_of_tissue: tuple[float, float], rng: np.random.Generator) -> tuple[float, float]:
    mean, sd = property_of_tissue
    return mean + sd * float(np.clip(rng.standard_normal(), -2.0, 2.0)), 0.0
