"""Suitability check of a scan for a model: findings in plain sentences, before the network runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.translate.contrast import Modality, guess, thresholds
from SITTranslateLib.translate.head import Anatomy
from SITTranslateLib.volume import Volume

#: Kinds whose pictures differ in little: fluid the brightest, or dark with grey matter brighter than white.
ALIKE = (("T2w", "ADC"), ("FLAIR", "DWI"), ("PD",), ("T1w",), ("CT",))
#: Extents of what is seen, mm: longer than any head; less than half a brain; less than a whole one.
LONGEST_HEAD_MM, SHORTEST_BRAIN_MM, WHOLE_BRAIN_MM = 330.0, 70.0, 100.0
SMALLEST_BRAIN_ML = 450.0
COARSEST_MM = 10.0
#: Most of the head that may have the very largest value, or lie below zero in MR; fewest grey values.
MOST_SATURATED, MOST_NEGATIVE, FEWEST_VALUES = 0.02, 0.05, 40


class Severity(StrEnum):
    """How much a finding matters: ``refuse`` stops the translation unless it is forced."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something about a scan that matters to a model, in one plain sentence."""

    severity: Severity
    code: str
    sentence: str

    @property
    def refuses(self) -> bool:
        return self.severity is Severity.REFUSE


def check_suitability(volume: Volume, anatomy: Anatomy, card: ModelCard, contrast: str = "") -> list[Finding]:
    """What speaks against translating this scan with this model, the gravest first.

    Args:
        volume: the scan, native units.
        anatomy: of the scan.
        card: of the model.
        contrast: what the user says that the scan is; one of the card's sources lifts every doubt about the contrast
            of an MR scan.
    """
    found = [
        *_modality(volume, anatomy, card, contrast),
        *_field_of_view(anatomy, card),
        *_resolution(volume, card),
        *_skull(anatomy, card),
        *_intensities(volume, anatomy, card),
    ]
    return sorted(found, key=lambda f: list(Severity).index(f.severity))


def likeliest_source(anatomy: Anatomy, card: ModelCard) -> str:
    """Which of the card's sources the scan most looks like."""
    seen = guess(anatomy) if card.further_sources else None
    if seen is None:
        return card.source
    shares = seen.probabilities
    return max(card.sources, key=lambda name: shares.get(name, 0.0))


def _modality(volume: Volume, anatomy: Anatomy, card: ModelCard, contrast: str) -> list[Finding]:
    seen = guess(anatomy)
    if seen is None:
        return [Finding(Severity.WARN, "modality", "There is too little brain in it to tell what kind of scan it is.")]
    if seen.offset_hu and "CT" in card.sources:
        text = f"Its values are HU plus {seen.offset_hu:g}; the model wants HU, so subtract {seen.offset_hu:g} first."
        return [Finding(Severity.REFUSE, "units", text)]
    names = " or ".join(card.sources)
    if seen.in_hu or card.sources == ("CT",):
        if seen.in_hu and "CT" in card.sources:
            return []
        kind = "a CT" if seen.in_hu else "no CT in HU"
        return [Finding(Severity.REFUSE, "modality", f"It looks like {kind}, and the model translates {names}.")]
    if contrast in card.sources:
        return []
    doubt = _doubt(seen, card)
    if doubt is None:
        return []
    if not set(by_tissue(volume, anatomy)) & set(card.sources):
        return [doubt]
    # A tumour changes how bright tissues are: two opinions against one leave a warning.
    return [_warning(seen, card)] if _surely_other(seen, card) else []


def by_tissue(volume: Volume, anatomy: Anatomy) -> tuple[str, ...]:
    """Contrasts that the brightness of the tissues allows; takes a second, so only where a scan would be stopped."""
    # Brings torch, which most checks do without.
    from SITTranslateLib.translate.tissue_contrast import contrasts_by_tissue

    tissues = contrasts_by_tissue(volume, anatomy)
    return () if tissues is None else tissues.contrasts


def _doubt(seen: Modality, card: ModelCard) -> Finding | None:
    """Findings of histogram and image against the card's contrasts."""
    names = " or ".join(card.sources)
    # Kinds that the guess does not know (T1w after contrast) are compared with the nearest one it knows.
    likely = [seen.probabilities[name] for name in card.sources if name in seen.probabilities]
    if not likely:
        return None
    wanted, limits = sum(likely), thresholds()
    by_histogram = sum(seen.by_histogram.get(name, 0.0) for name in card.sources)
    if wanted < limits.refused_below and by_histogram < limits.agreed_below:
        text = f"It looks like {_other(seen, card)}, and the model translates {names}."
        return Finding(Severity.REFUSE, "modality", text)
    if wanted < limits.warned_below or (seen.by_histogram and by_histogram < limits.doubted_below):
        return _warning(seen, card)
    if not seen.familiar:
        return Finding(Severity.WARN, "modality", "It looks like no scan of a head that is known; look at it twice.")
    return None


def _warning(seen: Modality, card: ModelCard) -> Finding:
    """Doubt about the contrast; the lower of both opinions is the figure, so that one sentence does not deny itself."""
    shares = [sum(p.get(name, 0.0) for name in card.sources) for p in (seen.probabilities, seen.by_histogram) if p]
    names = " or ".join(card.sources)
    text = f"It may be {_other(seen, card)} rather than {names}, which is {100 * min(shares):.0f} % likely; look twice."
    return Finding(Severity.WARN, "modality", text)


def _surely_other(seen: Modality, card: ModelCard) -> bool:
    """Whether the histogram, or both opinions, favour a group of contrasts that none of the model's sources resembles.

    CT does not count: it is known by its units, and stripped FLAIRs look like it.
    """
    others = [alike for alike in ALIKE if not set(alike) & set(card.sources) and "CT" not in alike]
    opinions = (seen.by_histogram, seen.probabilities)
    return any(sum(p.get(name, 0.0) for name in alike) > 0.5 for alike in others for p in opinions)


def _other(seen: Modality, card: ModelCard) -> str:
    """The likeliest kind that the model does not translate; those that differ in little are named together."""
    groups = [[name for name in alike if name not in card.sources] for alike in ALIKE]
    likely = max(groups, key=lambda names: sum(seen.probabilities.get(name, 0.0) for name in names))
    return " or ".join(likely)


def _field_of_view(anatomy: Anatomy, card: ModelCard) -> list[Finding]:
    shortest, longest = min(anatomy.extent_mm), max(anatomy.extent_mm)
    if longest > LONGEST_HEAD_MM:
        text = f"It shows something {longest:.0f} mm long, more than a head; crop it to the head first."
        return [Finding(Severity.REFUSE, "field of view", text)]
    if shortest < SHORTEST_BRAIN_MM or anatomy.object_ml < SMALLEST_BRAIN_ML:
        size = " x ".join(f"{s:.0f}" for s in anatomy.extent_mm)
        text = f"It shows only {size} mm of a head ({anatomy.object_ml:.0f} mL), and the model needs a whole brain."
        return [Finding(Severity.REFUSE, "field of view", text)]
    if shortest < WHOLE_BRAIN_MM:
        text = f"It covers only {shortest:.0f} mm of the head along one axis; parts of the brain may be missing."
        return [Finding(Severity.WARN, "field of view", text)]
    return []


def _resolution(volume: Volume, card: ModelCard) -> list[Finding]:
    coarsest = max(volume.spacing)
    if coarsest > COARSEST_MM:
        text = f"Its voxels are {coarsest:.1f} mm along one axis, too coarse to see what the model looks at."
        return [Finding(Severity.REFUSE, "resolution", text)]
    if coarsest > 3.0 * card.grid.spacing_mm:
        text = f"Its voxels are {coarsest:.1f} mm along one axis; the model looks at {card.grid.spacing_mm:g} mm."
        return [Finding(Severity.WARN, "resolution", text)]
    return []


def _skull(anatomy: Anatomy, card: ModelCard) -> list[Finding]:
    if card.grid.skull == "without" and anatomy.skull:
        text = "The skull is still there, and the model was trained on stripped brains."
        return [Finding(Severity.WARN, "skull", text)]
    if card.grid.skull == "with" and not anatomy.skull:
        return [Finding(Severity.WARN, "skull", "The skull was taken off, and the model was trained on whole heads.")]
    return []


def _intensities(volume: Volume, anatomy: Anatomy, card: ModelCard) -> list[Finding]:
    """Values that no scanner gives: cut off at the top, in few steps, or below zero where they are magnitudes."""
    floor = float(np.percentile(anatomy.coarse.array[anatomy.mask], 5))
    step = max(1, round((volume.array.size / 400_000) ** (1 / 3)))
    some = volume.array[::step, ::step, ::step]
    head = some[some > floor]
    if head.size < 1000:
        return []
    found = []
    saturated = float(np.mean(head == volume.array.max()))
    if saturated > MOST_SATURATED:
        found.append(f"{100 * saturated:.0f} % of the head has the largest value there is: the scan was cut off")
    values = np.unique(head).size
    if values < FEWEST_VALUES:
        found.append(f"The head has only {values} grey values: the scan was made coarse")
    negative = float(np.mean(anatomy.coarse.array[anatomy.mask] < 0))
    if negative > MOST_NEGATIVE and "CT" not in card.sources:
        found.append(f"{100 * negative:.0f} % of the head lies below zero: it may be a difference or normalised")
    return [Finding(Severity.WARN, "intensities", f"{text}; look at the result twice.") for text in found]


def refusal(volume: Volume, findings: list[Finding]) -> InputError:
    """The error for findings of which at least one refuses."""
    reasons = "; ".join(f.sentence.rstrip(".") for f in findings if f.refuses)
    return InputError(f"'{volume.name}' does not suit this model: {reasons}; --force translates it all the same.")
