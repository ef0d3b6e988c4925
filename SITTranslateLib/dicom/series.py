"""The translated scan as a derived series, marked as synthetic in all suitable attributes.

One instance a slice, at the very positions of the source's slices. Values are whole multiples of a step, since CT and
MR images hold 16-bit numbers: 1 (a Hounsfield unit, or the source's own unit) where that is fine enough, else a power
of two; half of it is the largest error, and the derivation description says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from SITTranslateLib.dicom.modules import (
    coded,
    common_references,
    contributing_equipment,
    new_object,
    plain,
    reference,
    said,
    series_number,
)
from SITTranslateLib.dicom.source import SourceSeries
from SITTranslateLib.errors import InputError
from SITTranslateLib.volume import Grid, Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

    from SITTranslateLib.translation import Translation

#: Steps below which whole numbers would be too coarse for a scan.
FEWEST_STEPS = 500
#: How MR scans are acquired: true of the translated scan too if it has the same contrast, and false otherwise.
ACQUIRED = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName", "RepetitionTime",
    "EchoTime", "EchoTrainLength", "InversionTime", "TriggerTime", "FlipAngle", "MagneticFieldStrength",
    "ImagingFrequency", "ImagedNucleus", "EchoNumbers", "PixelBandwidth", "ProtocolName", "KVP",
)  # fmt: skip
#: Of the slices, whatever was done to them.
PLACED = ("PatientPosition", "SliceThickness", "SpacingBetweenSlices")
CT_STORAGE, MR_STORAGE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def translated_series(translation: Translation, source: SourceSeries, series_uid: str) -> list[Dataset]:
    """The instances of the translated scan, in the order of its slices; not yet written.

    Raises:
        InputError: values that 16 bits cannot hold.
    """
    volume, provenance = translation.translated, translation.provenance
    modality = modality_of(translation, source)
    step, stored = quantised(volume, modality)
    description = plain(["SYNTHETIC", said(provenance)])
    equipment = contributing_equipment(source, provenance)
    everything = common_references(source.slices)
    made: list[Dataset] = []
    for k in range(volume.shape[0]):
        one = new_object(
            source, CT_STORAGE if modality == "CT" else MR_STORAGE, modality, series_uid, series_number(source, 0),
            description, k + 1,
        )  # fmt: skip
        origin = source.slice(k)
        one.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if modality == "CT" else "OTHER", "SYNTHETIC"]
        one.DerivationDescription = _derivation(translation, step)
        one.DerivationCodeSequence = [coded(code) for code in _derivation_codes(translation)]
        one.SourceImageSequence = [reference(origin, _purpose(), source.frames[k] if source.frames else None)]
        one.ReferencedSeriesSequence = everything
        one.ContributingEquipmentSequence = equipment
        one.ImageComments = "Synthetic: translated by a model, not acquired from a person as shown. Not for diagnosis."
        _acquisition(one, origin, modality, same_contrast=not provenance.target)
        place(one, origin, volume.grid, k, copied=not source.multi_frame)
        _pixels(one, stored[k], step, volume, modality)
        made.append(one)
    return made


def modality_of(translation: Translation, source: SourceSeries) -> str:
    """``CT`` or ``MR``: what the translated scan is, by the model's target, else as the source."""
    target = translation.provenance.target
    if target:
        return "CT" if target.upper() == "CT" else "MR"
    return "CT" if str(source.first.get("Modality", "MR")) == "CT" else "MR"


def quantised(volume: Volume, modality: str) -> tuple[float, np.ndarray]:
    """The step between stored numbers, and the stored numbers ``(K, J, I)``, int16.

    Raises:
        InputError: values beyond what 16 bits hold.
    """
    low, high = float(volume.array.min()), float(volume.array.max())
    largest = max(abs(low), abs(high), 1e-30)
    step = 1.0
    if modality != "CT" and (high - low < FEWEST_STEPS or largest > 32767):
        step = 2.0 ** math.ceil(math.log2(largest / 32767))
    if largest / step > 32767.5:
        raise InputError(f"A CT of {largest:.3g} HU cannot be written as DICOM; its values are beyond 16 bits.")
    return step, np.clip(np.rint(volume.array / np.float32(step)), -32768, 32767).astype(np.int16)


def place(one: Dataset, origin: Dataset, grid: Grid, k: int, *, copied: bool) -> None:
    """Rows, columns and the place of slice k: the source's own text where there is one, so that nothing is rounded."""
    from pydicom.valuerep import DSfloat

    for keyword in PLACED:
        if keyword in origin:
            one[keyword] = origin[keyword]
    one.Rows, one.Columns = grid.shape[1], grid.shape[2]
    if copied and all(keyword in origin for keyword in ("ImagePositionPatient", "ImageOrientationPatient")):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            one[keyword] = origin[keyword]
        return
    lps = np.diag([-1.0, -1.0, 1.0])
    spacing = np.array(grid.spacing)
    directions = lps @ grid.axes / spacing

    def numbers(values: np.ndarray) -> list[DSfloat]:
        return [DSfloat(float(value), auto_format=True) for value in values]

    one.ImagePositionPatient = numbers(lps @ grid.to_world(np.array([0.0, 0.0, float(k)])))
    one.ImageOrientationPatient = numbers(directions[:, :2].T.ravel())
    one.PixelSpacing = numbers(spacing[[1, 0]])
    one.SliceThickness = one.SpacingBetweenSlices = DSfloat(float(spacing[2]), auto_format=True)


def _acquisition(one: Dataset, origin: Dataset, modality: str, *, same_contrast: bool) -> None:
    if same_contrast:
        for keyword in ACQUIRED:
            if keyword in origin:
                one[keyword] = origin[keyword]
    required: dict[str, object] = {"AcquisitionNumber": ""}
    if modality == "CT":
        required["KVP"] = ""
    else:
        # RM: what the standard calls a sequence that is none of those it names.
        required |= {"ScanningSequence": "RM", "SequenceVariant": "NONE", "ScanOptions": "", "MRAcquisitionType": ""}
        required |= {"RepetitionTime": "", "EchoTime": "", "EchoTrainLength": ""}
    for keyword, value in required.items():
        if keyword not in one:
            setattr(one, keyword, value)


def _pixels(one: Dataset, stored: np.ndarray, step: float, volume: Volume, modality: str) -> None:
    from pydicom.valuerep import DSfloat

    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.BurnedInAnnotation, one.LossyImageCompression = "NO", "00"
    if modality == "CT" or step != 1.0:
        one.RescaleIntercept, one.RescaleSlope = "0", DSfloat(step, auto_format=True)
        one.RescaleType = "HU" if modality == "CT" else "US"
    low, high = (40.0 - 200.0, 40.0 + 200.0) if modality == "CT" else np.percentile(volume.array, (1.0, 99.8))
    one.WindowCenter = DSfloat(round(float(low + high) / 2, 3), auto_format=True)
    one.WindowWidth = DSfloat(round(max(float(high - low), 1.0), 3), auto_format=True)
    one.add_new("PixelData", "OW", np.ascontiguousarray(stored).astype("<i2").tobytes())


def _derivation(translation: Translation, step: float) -> str:
    provenance = translation.provenance
    parts = [f"Synthetic image by {said(provenance)} (SITTranslate, {provenance.system}, seed {provenance.seed})."]
    if translation.sampling is not None:
        parts.append(f"The anatomy was moved; its field is the model's or estimated: {translation.field_origin.value}.")
    parts.append(f"Values rounded to {step:g}.")
    return plain(parts)[:1024]


def _derivation_codes(translation: Translation) -> list[Code]:
    from pydicom.sr.codedict import codes

    found = [codes.DCM.ArtificialIntelligence]
    if translation.sampling is not None:
        found.append(codes.DCM.SpatialResampling)
    if translation.intensity_change is not None:
        found.append(codes.DCM.PixelByPixelAddition)
    return found


def _purpose() -> Code:
    from pydicom.sr.codedict import codes

    return codes.DCM.SourceImageForImageProcessingOperation
