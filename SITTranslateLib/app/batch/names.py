"""Names of a BIDS dataset: entities of a scan, and the file names of its translation."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: One BIDS name without its ending: ``sub-01_ses-2_run-1_T1w``.
_NAME = re.compile(r"((?:[a-z]+-[A-Za-z0-9+]+_)*)([A-Za-z0-9]+)")
#: Part of a translation to what its file is called after the scan's own entities and the description.
_PARTS = {
    "jacobian": ("", "jacobian.nii.gz"),
    "intensity_change": ("", "change.nii.gz"),
    # An image is brought from source to translated by the sampling field, a point by the motion.
    "sampling": ("from-source_to-translated_mode-image_", "xfm.nrrd"),
    "motion": ("from-source_to-translated_mode-points_", "xfm.nrrd"),
    "velocity": ("", "velocity.nrrd"),
}


@dataclass(frozen=True)
class ScanName:
    """A BIDS name: entities in order (``("sub", "01")``, ...) and the suffix (``T1w``)."""

    entities: tuple[tuple[str, str], ...]
    suffix: str

    @classmethod
    def parse(cls, stem: str) -> ScanName | None:
        """The name in a file's stem, or None if it is no BIDS name with a subject."""
        match = _NAME.fullmatch(stem)
        if match is None:
            return None
        pairs = [part.split("-", 1) for part in match[1].split("_") if part]
        entities = tuple((key, value) for key, value in pairs)
        if not entities or entities[0][0] != "sub" or len({key for key, _ in entities}) < len(entities):
            return None
        return cls(entities, match[2])

    def entity(self, key: str) -> str:
        """The value of an entity, or nothing."""
        return dict(self.entities).get(key, "")

    @property
    def folder(self) -> str:
        """Where BIDS keeps such a file: ``sub-01/ses-2/anat``."""
        session = self.entity("ses")
        return "/".join([f"sub-{self.entity('sub')}", *([f"ses-{session}"] if session else []), "anat"])


@dataclass(frozen=True)
class ResultNames:
    """What the files of one translation are called, all in one folder."""

    source: ScanName
    description: str
    suffix: str

    @property
    def stem(self) -> str:
        """The translated scan's name without its ending; also what the result is known by."""
        return self._name("", self.suffix)

    def file(self, part: str) -> str:
        """The file of a part: ``translated``, ``jacobian``, ``motion``, ...; of others, their own name as suffix."""
        if part == "translated":
            return f"{self.stem}.nii.gz"
        before, ending = _PARTS.get(part, ("", f"{label(part, small=True)}.nii.gz"))
        return self._name(before, ending)

    def _name(self, before: str, last: str) -> str:
        kept = "".join(f"{key}-{value}_" for key, value in self.source.entities if key != "desc")
        earlier = self.source.entity("desc")
        description = f"{earlier}{self.description[:1].upper()}{self.description[1:]}" if earlier else self.description
        return f"{kept}{before}desc-{description}_{last}"


def path_from(path: Path, folder: Path) -> str:
    """A path as seen from a folder; the whole path where the two lie on different drives."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def label(text: str, *, small: bool = False) -> str:
    """A text as a BIDS label, letters and digits only: ``brain-ageing-t1w`` becomes ``BrainAgeingT1w``."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined[:1].lower() + joined[1:] if small else joined


def description_of(model: str, request: Mapping[str, float], frame: int | None = None) -> str:
    """What was done, as a BIDS description: ``brainAgeingT1wAgePlus10``."""
    parts = [label(model, small=True)]
    for name, value in request.items():
        if value:
            number = f"{abs(value):g}".replace(".", "p").replace("-", "m").replace("+", "")
            parts.append(f"{label(name)}{'Plus' if value > 0 else 'Minus'}{number}")
    return "".join(parts) + ("" if frame is None else frame_label(frame))


def frame_label(frame: int) -> str:
    """What a frame adds to a description."""
    return f"Frame{frame:04d}"
