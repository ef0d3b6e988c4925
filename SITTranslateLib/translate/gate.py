"""Does this scan suit this model? Findings in plain sentences, before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.translate.anatomy import Anatomy
from SITTranslateLib.translate.modality import guess
from SITTranslateLib.volume import Volume

#: Probability of the model's own modality below which a scan is refused. Measured on 43 real MR scans: none of 25
#: T1w was refused (the least likely had 0.15), 10 of 10 T2w, PD and ADC were, and 1 of 8 FLAIR and DWI; the rest warn.
REFUSED_BELOW = 0.06
#: Extents of what is seen, mm: longer than any head; less than half a brain; less than a whole one.
LONGEST_HEAD_MM, SHORTEST_BRAIN_MM, WHOLE_BRAIN_MM = 330.0, 70.0, 100.0
SMALLEST_BRAIN_ML = 450.0
COARSEST_MM = 10.0


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


def examine(volume: Volume, anatomy: Anatomy, card: ModelCard) -> list[Finding]:
    """What speaks against translating this scan with this model, the gravest first."""
    found = [
        *_modality(anatomy, card),
        *_field_of_view(anatomy, card),
        *_resolution(volume, card),
        *_skull(anatomy, card),
    ]
    return sorted(found, key=lambda f: list(Severity).index(f.severity))


def _modality(anatomy: Anatomy, card: ModelCard) -> list[Finding]:
    seen = guess(anatomy)
    if seen is None:
        return [Finding(Severity.WARN, "modality", "There is too little brain in it to tell what kind of scan it is.")]
    if seen.name == "CT" and seen.offset_hu and "CT" in card.sources:
        text = f"Its values are HU plus {seen.offset_hu:g}; the model wants HU, so subtract {seen.offset_hu:g} first."
        return [Finding(Severity.REFUSE, "units", text)]
    names = " or ".join(card.sources)
    if seen.name not in card.sources and (seen.name == "CT" or card.sources == ("CT",)):
        kind = "a CT" if seen.name == "CT" else "no CT in HU"
        return [Finding(Severity.REFUSE, "modality", f"It looks like {kind}, and the model translates {names}.")]
    # Kinds that the guess does not know (T1w after contrast, DWI) are compared with the nearest one it knows.
    likely = [seen.probabilities[name] for name in card.sources if name in seen.probabilities]
    if not likely or seen.name in card.sources:
        return []
    wanted = max(likely)
    if wanted < REFUSED_BELOW:
        text = f"It looks like {seen.name}, and the model translates {names}."
        return [Finding(Severity.REFUSE, "modality", text)]
    text = f"It may be {seen.name} rather than {names} ({100 * wanted:.0f} % likely); look at the result twice."
    return [Finding(Severity.WARN, "modality", text)]


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


def refusal(volume: Volume, findings: list[Finding]) -> InputError:
    """The error for findings of which at least one refuses."""
    reasons = "; ".join(f.sentence.rstrip(".") for f in findings if f.refuses)
    return InputError(f"'{volume.name}' does not suit this model: {reasons}; --force translates it all the same.")
