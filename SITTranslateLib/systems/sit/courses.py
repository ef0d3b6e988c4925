"""Courses of change over adult life: how many units of each basis velocity lie between two ages.

Rates of change depend on the age, and change adds up over time: the velocity from 60 to 80 years is that from 60 to 70
plus that from 70 to 80. So a request (age, years, severity) becomes one number a course, the integral of its rate, and
the velocity is the sum of these numbers times the network's basis velocities. Courses back in time have basis
velocities of their own: under the reversed flow the structures of one scan do not change by the reciprocal ratios.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from SITTranslateLib.errors import InputError

ADULT, OLDEST = 18.0, 100.0
#: Years of full disease that are asked for at most: the rates are those of a few years.
LONGEST_DISEASE = 10.0


@dataclass(frozen=True)
class Course:
    """One course.

    Attributes:
        name: of its basis velocity.
        ages, rates: rate at each age, linear between and constant beyond; 1 is the rate the basis velocity is for.
        disease: whether it belongs to the disease (all of it at severity 1) or to health (all of it at severity 0).
        back: whether it is followed back in time only, or forward only.
    """

    name: str
    ages: tuple[float, ...]
    rates: tuple[float, ...]
    disease: bool = False
    back: bool = False

    def decades(self, age: float, years: float) -> float:
        """Integral of the rate from an age over some years (negative: back), in decades of the full rate.

        0 where the years go the other way.
        """
        if (years < 0) != self.back:
            return 0.0
        knots = np.unique(
            np.clip(np.array([*self.ages, age, age + years]), min(age, age + years), max(age, age + years))
        )
        rates = np.interp(knots, self.ages, self.rates)
        return float(np.sign(years) * np.sum(0.5 * (rates[1:] + rates[:-1]) * np.diff(knots)) / 10.0)


def courses_of(raw: Mapping[str, str]) -> tuple[Course, ...]:
    """Courses by name from a card's parameters: ``"35:0 60:1"`` are ages and rates, after ``disease`` or ``back``.

    Raises:
        ValueError: they are not understood.
    """
    made = []
    for name, text in raw.items():
        words = text.split()
        flags = [word for word in words if word in ("disease", "back")]
        pairs = [tuple(float(number) for number in word.split(":")) for word in words[len(flags) :]]
        if not pairs or any(len(pair) != 2 for pair in pairs) or pairs != sorted(pairs):
            raise ValueError(f"the course '{name}' needs ages with their rates, in rising order")
        ages, rates = zip(*pairs, strict=True)
        made.append(Course(name, ages, rates, "disease" in flags, "back" in flags))
    return tuple(made)


def course_values(courses: Sequence[Course], request: Mapping[str, float]) -> list[float]:
    """Decades of each course that lie in a request of ``age``, ``years`` and ``severity`` (0 if not asked for).

    Raises:
        InputError: no years or age, an age that is no adult's, or more years of disease than are known.
    """
    if "years" not in request or "age" not in request:
        raise InputError("Say the age at the scan and how many years later, or (negative) earlier: age=60 years=10.")
    age, years, severity = request["age"], request["years"], request.get("severity", 0.0)
    for number in (age, age + years):
        if not ADULT <= number <= OLDEST:
            raise InputError(
                f"The rates are those of adults from {ADULT:g} to {OLDEST:g} years; age {age:g} and {years:+g} years "
                "lead beyond them."
            )
    if severity * abs(years) > LONGEST_DISEASE:
        raise InputError(
            "The rates of the disease are those of a few years: ask for at most "
            f"{LONGEST_DISEASE / severity:.3g} years at severity {severity:g}."
        )
    return [c.decades(age, years) * (severity if c.disease else 1.0 - severity) for c in courses]
