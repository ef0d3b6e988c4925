"""Does this scan suit this model? Findings in plain sentences, before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from SITTranslateLib.errors import InputError
from SITTranslateLib.packages import ModelCard
from SITTranslateLib.translate.anatomy import Anatomy
from SITTranslateLib.volume import Volume


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
    return []


def refusal(volume: Volume, findings: list[Finding]) -> InputError:
    """The error for findings of which at least one refuses."""
    reasons = "; ".join(f.sentence.rstrip(".") for f in findings if f.refuses)
    return InputError(f"'{volume.name}' does not suit this model: {reasons}; --force translates it all the same.")
