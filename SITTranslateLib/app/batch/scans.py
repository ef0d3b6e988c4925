"""Scans to translate: the raw scans of a BIDS dataset, or all files in a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from SITTranslateLib.app.batch.names import ScanName, label
from SITTranslateLib.errors import InputError
from SITTranslateLib.files.sequences import frame_count

DESCRIPTION_FILE = "dataset_description.json"
#: Files that may be scans, longest ending first.
ENDINGS = (".nii.gz", ".nii", ".seq.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".hdr")
#: Files that hold images and are not read.
_UNREAD = (".gipl", ".vtk", ".vti", ".mrc", ".tif", ".tiff", ".h5", ".hdf5", ".mnc", ".mif", ".v")
#: Letters of a subject that is named after its path; longer ones are cut and numbered.
_LONGEST_SUBJECT = 80
#: What BIDS calls the modalities of cards where the two differ.
_BIDS_SUFFIX = {"PD": "PDw", "T1": "T1w", "T2": "T2w", "CT": "ct"}


@dataclass(frozen=True)
class Scan:
    """A scan to translate: where it is, its path within the dataset, its BIDS name, and which frame of it."""

    path: Path
    relative: str
    name: ScanName
    frame: int | None = None


def bids_suffix(modality: str) -> str:
    """The BIDS suffix of a modality as cards name it."""
    return _BIDS_SUFFIX.get(modality, label(modality))


def find_scans(
    place: Path,
    suffix: str,
    *,
    participants: Collection[str] = (),
    sessions: Collection[str] = (),
    all_frames: bool = False,
    leave_out: Path | None = None,
    passed_over: dict[str, str] | None = None,
) -> list[Scan]:
    """The scans of a BIDS dataset with a suffix, or of any folder those that can be read, in order of path.

    Args:
        place: a folder; with a ``dataset_description.json`` it is a BIDS dataset.
        suffix: of a BIDS dataset, which scans (``T1w``).
        participants, sessions: of a BIDS dataset, only these (with or without ``sub-``, ``ses-``).
        all_frames: one entry for each frame of 4D files and sequences.
        leave_out: a folder within it that is passed over, such as that of the results.
        passed_over: gets the reason of each file that looks like a scan and is not among them, by its path.

    Raises:
        InputError: no folder, nothing in it to translate, or a participant that is not there.
    """
    if not place.is_dir():
        raise InputError(f"There is no folder '{place.name}' at the place given; give a BIDS dataset or a folder.")
    is_bids = (place / DESCRIPTION_FILE).is_file()
    reasons: dict[str, str] = {} if passed_over is None else passed_over
    if is_bids:
        scans = _bids_scans(place, suffix, _labels(participants, "sub"), _labels(sessions, "ses"), reasons)
    elif participants or sessions:
        raise InputError(f"'{place.name}' is not a BIDS dataset, so its participants and sessions are not known.")
    else:
        scans = _folder_scans(place, suffix, reasons)
    if leave_out is not None:
        scans = [scan for scan in scans if not scan.path.resolve().is_relative_to(leave_out.resolve())]
    if not scans:
        what = f"no '{suffix}' scan of a person (sub-*)" if is_bids else "no scan (NIfTI, NRRD, MHA, DICOM)"
        raise InputError(f"'{place.name}' holds {what} to translate; check the folder, or --suffix.")
    return _frames_of(scans) if all_frames else scans


def _bids_scans(
    place: Path, suffix: str, subjects: set[str], sessions: set[str], passed_over: dict[str, str]
) -> list[Scan]:
    scans = []
    for path in _files_below(place, passed_over):
        ending = _ending(path)
        if not ending or not path.relative_to(place).parts[0].startswith("sub-"):
            continue
        name = ScanName.parse(path.name[: -len(ending)])
        if name is None:
            passed_over[path.relative_to(place).as_posix()] = "not a BIDS name"
        if name is None or name.suffix != suffix:
            continue
        if (subjects and name.entity("sub") not in subjects) or (sessions and name.entity("ses") not in sessions):
            continue
        scans.append(Scan(path, path.relative_to(place).as_posix(), name))
    absent = sorted(subjects - {scan.name.entity("sub") for scan in scans})
    if absent:
        raise InputError(f"'{place.name}' has no '{suffix}' scan of participant {', '.join(absent[:5])}.")
    return scans


def _folder_scans(place: Path, suffix: str, passed_over: dict[str, str]) -> list[Scan]:
    found: dict[Path, str] = {}
    for path in _files_below(place, passed_over):
        ending = _ending(path)
        relative = path.relative_to(place)
        if ending:
            found[path] = relative.as_posix()[: -len(ending)]
        elif path.parent not in found and _is_dicom(path):
            # A folder of DICOM files is one scan.
            found[path.parent] = relative.parent.as_posix() if relative.parent.parts else place.name
    counts = Counter(label(text) for text in found.values())
    scans = []
    for path, text in found.items():
        subject = label(text)
        if counts[subject] > 1 or not subject or len(subject) > _LONGEST_SUBJECT:
            subject = subject[:_LONGEST_SUBJECT] + sha256(text.encode()).hexdigest()[:6]
        scans.append(Scan(path, path.relative_to(place).as_posix(), ScanName((("sub", subject),), suffix)))
    return scans


def _files_below(place: Path, passed_over: dict[str, str]) -> Iterator[Path]:
    """Files of a folder and all below it in order, links to folders followed, each folder once."""
    seen: set[Path] = set()

    def below(folder: Path) -> Iterator[Path]:
        try:
            real = folder.resolve()
            entries = sorted(folder.iterdir())
        except (OSError, RuntimeError):
            passed_over[folder.relative_to(place).as_posix()] = "a folder that cannot be read"
            return
        if real in seen:
            passed_over[folder.relative_to(place).as_posix()] = "a link to a folder that is among them already"
            return
        seen.add(real)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from below(entry)
            elif entry.is_file():
                if entry.name.lower().endswith(_UNREAD):
                    passed_over[entry.relative_to(place).as_posix()] = "not a format that is read"
                yield entry
            elif entry.is_symlink() and _ending(entry):
                passed_over[entry.relative_to(place).as_posix()] = "a link that leads nowhere"

    yield from below(place)


def _frames_of(scans: list[Scan]) -> list[Scan]:
    """Each scan of several frames as often as it has frames."""
    listed = []
    for scan in scans:
        count = frame_count(scan.path)
        listed += [scan] if count < 2 else [replace(scan, frame=number) for number in range(count)]
    return listed


def _ending(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".seg.nrrd"):
        return ""
    return next((ending for ending in ENDINGS if name.endswith(ending) and len(name) > len(ending)), "")


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _labels(given: Collection[str], key: str) -> set[str]:
    labels = {text.removeprefix(f"{key}-") for text in given}
    bad = next((text for text in labels if not re.fullmatch(r"[A-Za-z0-9+]+", text)), None)
    if bad is not None:
        raise InputError(f"'{bad[:40]}' is not a BIDS label of letters and digits.")
    return labels
