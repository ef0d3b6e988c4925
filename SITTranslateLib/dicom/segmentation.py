"""Label maps as DICOM SEG, by highdicom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from SITTranslateLib import __version__
from SITTranslateLib.dicom.modules import MANUFACTURER, coded, plain, series_number
from SITTranslateLib.dicom.source import SourceSeries
from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Volume

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom.dataset import Dataset

#: Words in a segment's name, and pydicom's keyword of the SNOMED CT code of what it then is (PS3.16 CID 7140 and 7153);
#: the first that fits.
STRUCTURES: tuple[tuple[str, str], ...] = (
    (r"inf(erior)? lat(eral)? vent|(inferior|temporal) horn", "InferiorHornOfLateralVentricle"),
    (r"lateral ventricle", "LateralVentricle"),
    (r"(third|3rd) ventricle", "ThirdVentricle"),
    (r"(fourth|4th) ventricle", "FourthVentricle"),
    (r"hippocamp(us|i)", "Hippocampus"),
    (r"amygdala", "Amygdala"),
    (r"\bthalam(us|i)", "Thalamus"),
    (r"caudate", "CaudateNucleus"),
    (r"putam(en|ina)", "Putamen"),
    (r"pallid(um|us|a)\b", "GlobusPallidus"),
    (r"accumbens", "NucleusAccumbens"),
    (r"\bbrain ?stem", "BrainStem"),
    (r"cerebell(um|ar) white matter", "CerebellarWhiteMatter"),
    (r"cerebell(um|ar) (cortex|gr[ae]y matter)", "CerebellarCortex"),
    (r"cerebellum", "Cerebellum"),
    (r"\bcsf\b|cerebrospinal", "CerebrospinalFluid"),
    (r"\bcortex\b|cortical gr[ae]y matter", "CerebralCortex"),
    (r"gr[ae]y matter", "GrayMatter"),
    (r"cerebral white matter", "CerebralWhiteMatter"),
    (r"white matter(?!.*(lesion|intensit))", "WhiteMatter"),
    (r"\bbrain\b", "Brain"),
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
    for item, value in zip(made.SegmentSequence, present, strict=True):
        if (side := side_code(names.get(value, ""))) is not None:
            kind = item.SegmentedPropertyTypeCodeSequence[0]
            kind.SegmentedPropertyTypeModifierCodeSequence = [coded(side)]
    made.SyntheticData = "YES"
    return made


def structure_code(name: str) -> Any:
    """Code of a segment by its name, *anatomical structure* where the name is unknown."""
    from pydicom.sr.codedict import codes

    plain_name = _words(name)
    keyword = next((keyword for words, keyword in STRUCTURES if re.search(words, plain_name)), "AnatomicalStructure")
    return getattr(codes.SCT, keyword)


def side_code(name: str) -> Any:
    """Code of the side (CID 244) that a segment's name states, *left hippocampus*; None for a name without one."""
    from pydicom.sr.codedict import codes

    found = re.search(r"\b(left|right)\b", _words(name))
    return None if found is None else getattr(codes.SCT, found[1].capitalize())


def _words(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.lower())
