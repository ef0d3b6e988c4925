"""Label maps as DICOM SEG, by highdicom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from SITTranslateLib import __version__
from SITTranslateLib.dicom.modules import MANUFACTURER, plain, series_number
from SITTranslateLib.dicom.source import SourceSeries
from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Volume

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom.dataset import Dataset

#: Words in a segment's name, and the SNOMED CT code of what it then is (from PS3.16 CID 7153); the first that fits.
STRUCTURES: tuple[tuple[str, str, str], ...] = (
    (r"lateral.ventricle", "66720007", "Lateral Ventricle"),
    (r"hippocampus", "5366008", "Hippocampus"),
    (r"thalamus", "42695009", "Thalamus"),
    (r"\bcsf\b|cerebrospinal", "65216001", "Cerebrospinal Fluid"),
    (r"gr[ae]y.matter|\bcortex\b|cortical", "389081007", "Gray Matter"),
    (r"white.matter", "389080008", "White Matter"),
    (r"\bbrain\b", "12738006", "Brain"),
)


def segmentation_object(
    labels: Volume, names: dict[int, str], images: Sequence[Dataset], source: SourceSeries, number: int, title: str
) -> Segmentation:
    """A label map on the grid of a series as one object; not yet written.

    Args:
        labels: whole numbers on the source's grid; 0 is background.
        names: of the labels.
        images: the instances that the segments lie on, slice by slice (of the source, or the translated scan).
        source: whose series number the new one is made of.
        number: which series of the result it is.
        title: of the series.

    Raises:
        InputError: no label, or a label map on another grid.
    """
    import highdicom
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    if not labels.grid.matches(source.grid):
        raise InputError("The label map does not lie on the scan's own grid; resample it before it goes to DICOM.")
    present = [int(value) for value in np.unique(np.rint(labels.array)) if value > 0]
    if not present:
        raise InputError("The label map holds no label; there is nothing to write as DICOM SEG.")
    dense = np.zeros(labels.shape, dtype=np.uint16 if len(present) > 255 else np.uint8)
    for index, value in enumerate(present, start=1):
        dense[np.rint(labels.array) == value] = index
    if len(images) == 1 and source.frames:
        # highdicom takes the planes in the order of the instance's frames.
        dense = dense[np.argsort(source.frames)]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=MANUFACTURER, family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    descriptions = [
        SegmentDescription(
            segment_number=index,
            segment_label=plain([names.get(value, f"Label {value}")])[:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=structure_code(names.get(value, "")),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=generate_uid(prefix=None),
            tracking_id=plain([names.get(value, f"Label {value}")])[:64],
        )
        for index, value in enumerate(present, start=1)
    ]
    made = Segmentation(
        source_images=list(images),
        pixel_array=dense,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(prefix=None),
        series_number=series_number(source, number),
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="1",
        content_label="SEGMENTS",
        series_description=title[:64],
    )
    made.SyntheticData = "YES"
    return made


def structure_code(name: str) -> Any:
    """Code of a segment by its name, *anatomical structure* where the name is unknown."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    for words, value, meaning in STRUCTURES:
        if re.search(words, name.lower().replace("_", " ")):
            return Code(value, "SCT", meaning)
    return codes.SCT.AnatomicalStructure
