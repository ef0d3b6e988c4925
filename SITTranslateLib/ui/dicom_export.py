"""Export of a result as DICOM, for scans that were loaded from Slicer's DICOM database. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError

if TYPE_CHECKING:
    from SITTranslateLib.translation import Translation


def dicom_file(node: Any) -> str:
    """A file of the series that a volume node was loaded from; empty for other nodes."""
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return str(database.fileForInstance(instances[0]) or "") if instances and database is not None else ""


def save_as_dicom(translation: Translation, node: Any, parent: Path) -> Path:
    """Write the translated series and its motion into a new folder; the folder.

    Args:
        translation: of the whole change, on the scan's grid.
        node: the scan's volume node.
        parent: where the new folder appears.

    Raises:
        InputError: no DICOM scan, a package is missing, or it cannot be written.
    """
    from SITTranslateLib.dicom import SourceSeries, write_dicom

    file = dicom_file(node)
    if not file:
        sentence = _("'{name}' was not loaded from DICOM, and a DICOM result carries on its patient.")
        raise InputError(sentence.format(name=node.GetName()))
    names = (f"{translation.provenance.package}{number}" for number in ("", *(f"-{n}" for n in range(2, 1000))))
    folder = next(place for place in (parent / name for name in names) if not place.exists())
    write_dicom(translation, SourceSeries.of(file, translation.source.grid), folder)
    return folder
