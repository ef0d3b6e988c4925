"""Signal of each tissue in each contrast, from the signal equations.

Magnitudes are scaled so that a pure water voxel with full recovery and no decay gives 1; CT is in HU.
Equations: Bernstein, King, Zhou, "Handbook of MRI Pulse Sequences", 2004 (spoiled gradient echo 14.1, spin echo 14.3,
inversion recovery 14.2). A contrast agent adds its relaxivity times its concentration to the rate 1/T1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation.labels import TABLE_SIZE, TISSUE_OF_LABEL
from SITTranslateLib.simulation.tissue import Tissue

#: Gadobutrol in plasma at 3 T, per mM and ms: Rohrer et al., Invest Radiol 2005;40:715.
RELAXIVITY = 5.0e-3


@dataclass(frozen=True)
class Sequence:
    """Sequence parameters of a contrast.

    Attributes:
        kind: ``gradient_echo`` (spoiled, with inversion preparation if ``inversion`` > 0), ``spin_echo``,
            ``inversion_spin_echo`` or ``ct``.
        repetition, echo, inversion: TR, TE, TI in ms.
        flip: flip angle in degrees (gradient echo).
        agent: concentration of a gadolinium agent in the blood, mM; a tissue has its ``uptake`` of it.
        readouts, spacing: number of readouts after an inversion and the time between them in ms.
    """

    kind: str
    repetition: float = 0.0
    echo: float = 0.0
    inversion: float = 0.0
    flip: float = 90.0
    agent: float = 0.0
    readouts: int = 170
    spacing: float = 7.1

    def signal(self, tissue: Tissue) -> float:
        """Magnitude of the tissue, or its HU for CT."""
        t1, t2, t2_star, density = (v[0] for v in (tissue.t1, tissue.t2, tissue.t2_star, tissue.density))
        if self.kind == "ct":
            return tissue.hounsfield[0]
        if self.agent and tissue.uptake:
            t1 = 1.0 / (1.0 / t1 + RELAXIVITY * self.agent * tissue.uptake)
        recovery = np.exp(-self.repetition / t1)
        if self.kind == "gradient_echo" and self.inversion > 0:
            return float(density * self._prepared(t1) * np.exp(-self.echo / t2_star))
        if self.kind == "gradient_echo":
            angle = np.deg2rad(self.flip)
            ernst = np.sin(angle) * (1 - recovery) / (1 - np.cos(angle) * recovery)
            return float(density * ernst * np.exp(-self.echo / t2_star))
        if self.kind == "spin_echo":
            return float(density * (1 - recovery) * np.exp(-self.echo / t2))
        if self.kind == "inversion_spin_echo":
            longitudinal = 1.0 - 2.0 * np.exp(-self.inversion / t1) + recovery
            return float(abs(density * longitudinal) * np.exp(-self.echo / t2))
        raise InputError(f"The sequence kind {self.kind!r} is not known: use one of gradient_echo, spin_echo, ct.")

    def _prepared(self, t1: float) -> float:
        """Magnetisation read at the middle of an inversion-prepared train in steady state.

        Every step (inversion, recovery, one readout) maps the longitudinal magnetisation ``m`` to ``a m + b``;
        the steady state is the fixed point of their composition. The train of readouts matters: without it grey
        matter would be far too dark against white matter.
        """
        angle = np.deg2rad(self.flip)
        half = self.readouts // 2

        def recover(time: float) -> tuple[float, float]:
            decay = float(np.exp(-time / t1))
            return decay, 1.0 - decay

        def chain(first: tuple[float, float], then: tuple[float, float]) -> tuple[float, float]:
            return first[0] * then[0], first[1] * then[0] + then[1]

        decay, gain = recover(self.spacing)
        decay *= float(np.cos(angle))
        power = decay**half
        train = (power, gain * (1 - power) / (1 - decay))
        before = recover(self.inversion - half * self.spacing)
        after = recover(self.repetition - self.inversion - half * self.spacing)
        to_centre = chain(chain((-1.0, 0.0), before), train)
        cycle = chain(chain(to_centre, train), after)
        steady = cycle[1] / (1 - cycle[0])
        return float(np.sin(angle) * abs(to_centre[0] * steady + to_centre[1]))


SEQUENCES: dict[str, Sequence] = {
    "T1w": Sequence("gradient_echo", repetition=2300, echo=3.0, inversion=900, flip=9),
    "T1w_spoiled": Sequence("gradient_echo", repetition=18, echo=5.0, flip=24),
    "T2w": Sequence("spin_echo", repetition=5000, echo=95),
    "PD": Sequence("spin_echo", repetition=5000, echo=14),
    "FLAIR": Sequence("inversion_spin_echo", repetition=9000, echo=115, inversion=2500),
    "CT": Sequence("ct"),
}
#: After 0.1 mmol per kg; apart, since what is drawn at random from all contrasts is drawn without it.
ENHANCED: dict[str, Sequence] = {"T1wGd": replace(SEQUENCES["T1w"], agent=0.5)}


def sequence_named(contrast: str) -> Sequence:
    """The sequence of a contrast; unknown names are refused."""
    try:
        return (SEQUENCES | ENHANCED)[contrast]
    except KeyError:
        known = ", ".join([*SEQUENCES, *ENHANCED])
        raise InputError(f"The contrast {contrast!r} is not simulated: use one of {known}.") from None


def signal_table(contrast: str, tissues: Mapping[str, Tissue], sequence: Sequence | None = None) -> NDArray[np.float32]:
    """Signal indexed by label, ``(TABLE_SIZE,)``; unknown labels read as air. ``sequence`` replaces the contrast's."""
    sequence = sequence_named(contrast) if sequence is None else sequence
    table = np.full(TABLE_SIZE, sequence.signal(tissues["air"]), dtype=np.float32)
    for label, tissue in TISSUE_OF_LABEL.items():
        table[label] = sequence.signal(tissues[tissue])
    return table


def texture_table(tissues: Mapping[str, Tissue]) -> NDArray[np.float32]:
    """Share of the signal by which it varies inside each tissue, indexed by label."""
    table = np.zeros(TABLE_SIZE, dtype=np.float32)
    for label, tissue in TISSUE_OF_LABEL.items():
        table[label] = tissues[tissue].texture
    return table
