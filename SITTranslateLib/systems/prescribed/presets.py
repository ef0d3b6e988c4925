"""Tables of change with their sources: healthy ageing, Alzheimer's disease, multiple sclerosis, ventricles alone.

Averages of groups, not a prediction for a person. Where a source gives no number for a region, the number is chosen
and says so. Sources; numbers of those marked * were held against the paper's abstract:

    *Hedman et al., Hum Brain Mapp 2012;33:1987: whole brain, no loss from 18 to 35 years, -0.2 % a year after 35,
        -0.5 % a year at 60 and more than that after.
    Fraser et al., NeuroImage 2015;112:364: hippocampus, -0.38 % a year below 55, -0.98 from 55 to 70, -1.12 after.
    *Resnick et al., J Neurosci 2003;23:3295: ventricles +1.4 mL a year at 59 to 85 years, +1.2 in the very healthy;
        as per cent, of about 40 mL.
    *Fjell et al., J Neurosci 2009;29:15223: at 60 to 91 years, -0.5 % a year in temporal and prefrontal cortex; all
        subcortical structures and ventricles change within a year but the caudate and the fourth ventricle.
    Bethlehem et al. (brain charts), Nature 2022;604:525: ventricles grow faster and faster from midlife on.
    *Barnes et al., Neurobiol Aging 2009;30:1711: hippocampus, -4.66 % a year (95 % interval 3.92 to 5.40) in
        Alzheimer's disease, -1.41 (0.52 to 2.30) in controls.
    *Sluimer et al., Radiology 2008;248:590: whole brain, -1.9 % a year (standard deviation 0.9) in Alzheimer's disease,
        -0.5 in controls.
    De Stefano et al., Neurology 2010;74:1868: whole brain, about -0.7 % a year in multiple sclerosis.
    Eshaghi et al., Ann Neurol 2018;83:210: deep grey matter, -1.3 to -1.7 % a year in multiple sclerosis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SITTranslateLib.errors import InputError

ADULT, OLDEST = 18.0, 100.0
CHOSEN = "number chosen"


@dataclass(frozen=True)
class Rate:
    """Per cent a year of a region by age, linear between the ages and constant beyond; and where it comes from."""

    ages: tuple[float, ...]
    percent: tuple[float, ...]
    source: str

    def log_ratio(self, age: float, years: float) -> float:
        """Logarithm of the volume ratio over some years from an age on."""
        steps = max(1, round(abs(years) * 4))
        middles = age + years * (np.arange(steps) + 0.5) / steps
        percent = np.interp(middles, self.ages, self.percent)
        return float(np.log1p(percent / 100.0).sum() * years / steps)


def _by_age(at_60: float, source: str) -> Rate:
    """A rate that follows the whole brain's course: none to 35, two fifths just after, all of it from 60 on."""
    return Rate((35.0, 35.01, 60.0), (0.0, 0.4 * at_60, at_60), source)


def _constant(percent: float, source: str) -> Rate:
    return Rate((0.0,), (percent,), source)


_WHOLE = "Hedman 2012 by age"
HEALTHY_AGEING: dict[str, Rate] = {
    "lateral ventricle": _by_age(3.0, "Resnick 2003 after 60, by age as Hedman 2012"),
    "third ventricle": _by_age(2.0, f"Fjell 2009: grows; {CHOSEN}"),
    "fourth ventricle": _constant(0.0, "Fjell 2009: no change"),
    "hippocampus": Rate((35.0, 35.01, 52.0, 58.0, 67.0, 73.0), (0.0, -0.38, -0.38, -0.98, -0.98, -1.12), "Fraser 2015"),
    "amygdala": _by_age(-0.8, f"Fjell 2009: shrinks; {CHOSEN}"),
    "thalamus": _by_age(-0.5, f"Fjell 2009: shrinks; {CHOSEN} as {_WHOLE}"),
    "caudate": _by_age(-0.4, f"Fjell 2009: no change, Raz 2005: shrinks; {CHOSEN}"),
    "putamen": _by_age(-0.5, f"Fjell 2009: shrinks; {CHOSEN} as {_WHOLE}"),
    "pallidum": _by_age(-0.5, f"Fjell 2009: shrinks; {CHOSEN} as {_WHOLE}"),
    "cortex": _by_age(-0.5, f"Fjell 2009 and {_WHOLE}"),
    "white matter": _by_age(-0.5, _WHOLE),
    "cerebellum": _by_age(-0.3, f"{CHOSEN}"),
}
ALZHEIMER: dict[str, Rate] = {
    "lateral ventricle": _constant(8.0, CHOSEN),
    "third ventricle": _constant(4.0, CHOSEN),
    "fourth ventricle": _constant(0.0, CHOSEN),
    "hippocampus": _constant(-4.66, "Barnes 2009"),
    "amygdala": _constant(-4.66, f"{CHOSEN} as hippocampus"),
    "thalamus": _constant(-1.5, CHOSEN),
    "caudate": _constant(-1.2, CHOSEN),
    "putamen": _constant(-1.2, CHOSEN),
    "pallidum": _constant(-1.0, CHOSEN),
    "cortex": _constant(-2.2, f"Sluimer 2008 for the whole brain; {CHOSEN}"),
    "white matter": _constant(-1.9, "Sluimer 2008 for the whole brain"),
    "cerebellum": _constant(-0.5, CHOSEN),
}
MULTIPLE_SCLEROSIS: dict[str, Rate] = {
    "lateral ventricle": _constant(3.5, CHOSEN),
    "third ventricle": _constant(3.5, CHOSEN),
    "fourth ventricle": _constant(0.0, CHOSEN),
    "hippocampus": _constant(-1.0, CHOSEN),
    "amygdala": _constant(-0.7, CHOSEN),
    "thalamus": _constant(-1.4, "Eshaghi 2018 for deep grey matter"),
    "caudate": _constant(-1.4, "Eshaghi 2018 for deep grey matter"),
    "putamen": _constant(-1.4, "Eshaghi 2018 for deep grey matter"),
    "pallidum": _constant(-1.4, "Eshaghi 2018 for deep grey matter"),
    "cortex": _constant(-0.7, "De Stefano 2010 for the whole brain"),
    "white matter": _constant(-0.7, "De Stefano 2010 for the whole brain"),
    "cerebellum": _constant(-0.7, "De Stefano 2010 for the whole brain"),
}
VENTRICLES: dict[str, Rate] = {
    "lateral ventricle": _constant(5.0, CHOSEN),
    "third ventricle": _constant(5.0, CHOSEN),
}
PRESETS: dict[str, dict[str, Rate]] = {
    "healthy-ageing": HEALTHY_AGEING,
    "alzheimer": ALZHEIMER,
    "ms": MULTIPLE_SCLEROSIS,
    "ventricles": VENTRICLES,
}
#: Presets whose rates depend on the age at the scan.
BY_AGE = ("healthy-ageing",)


#: Standard deviation of the yearly rate between persons, per cent a year: numbers chosen.
_SPREAD = {
    "lateral ventricle": 3.0,
    "third ventricle": 3.0,
    "fourth ventricle": 2.0,
    "hippocampus": 1.0,
    "amygdala": 1.0,
}
_SPREAD_OF_OTHERS = 0.5


def spread_of(region: str) -> float:
    """How much the yearly rate of a region differs between persons of one group, standard deviation in per cent."""
    return _SPREAD.get(region, _SPREAD_OF_OTHERS)


def preset_changes(preset: str, age: float | None, years: float) -> dict[str, float]:
    """Per cent of change by region over some years.

    Args:
        preset: one of :data:`PRESETS`.
        age: at the scan, years; needed by the presets that depend on it.
        years: later, or (negative) earlier.

    Raises:
        InputError: no such preset, no age where one is needed, or an age before or after that of adults.
    """
    if preset not in PRESETS:
        raise InputError(f"There is no preset '{preset[:40]}'; there are {', '.join(PRESETS)}.")
    if age is None and preset in BY_AGE:
        raise InputError(f"The rates of the preset '{preset}' depend on the age at the scan; give age, in years.")
    for number in () if age is None else (age, age + years):
        if not ADULT <= number <= OLDEST:
            raise InputError(
                f"The rates are those of adults from {ADULT:g} to {OLDEST:g} years; age {age:g} and {years:+g} years "
                "lead beyond them."
            )
    table = PRESETS[preset]
    start = 0.0 if age is None else age
    return {region: 100.0 * float(np.expm1(rate.log_ratio(start, years))) for region, rate in table.items()}


def cited_range(region: str, years: float, age: float | None = None) -> tuple[tuple[float, float] | None, str]:
    """Smallest and largest change in per cent that cited mean rates of healthy adults give a region, and their source.

    Args:
        region: a region of :data:`HEALTHY_AGEING`.
        years: later, or (negative) earlier.
        age: at the scan; without it, the range over all adult ages.

    Returns:
        None and an empty source where no source gives a number, or the ages lie beyond those of adults.
    """
    rate = HEALTHY_AGEING.get(region)
    if rate is None or CHOSEN in rate.source:
        return None, ""
    ages = np.arange(ADULT, OLDEST + 0.5) if age is None else np.array([age])
    ages = ages[(ages >= ADULT) & (ages <= OLDEST) & (ages + years >= ADULT) & (ages + years <= OLDEST)]
    if not len(ages):
        return None, ""
    percent = [100.0 * float(np.expm1(rate.log_ratio(float(start), years))) for start in ages]
    return (round(min(percent), 2), round(max(percent), 2)), rate.source
