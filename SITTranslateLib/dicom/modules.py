"""Modules common to all objects of a result: patient and study of the source, equipment, references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from SITTranslateLib import __version__
from SITTranslateLib.dicom.source import SourceSeries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

    from SITTranslateLib.translation import Provenance

MANUFACTURER = "SITTranslate"
#: Attributes of Patient, Clinical Trial, General Study and Patient Study, carried as they are (PS3.3 C.7.1, C.7.2).
CARRIED = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC",
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs",
    "OtherPatientIDsSequence", "EthnicGroup", "PatientComments", "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence",
    "ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "StudyDescription", "ProcedureCodeSequence", "ReferencedStudySequence",
    "PatientAge", "PatientSize", "PatientWeight", "AdmittingDiagnosesDescription",
)  # fmt: skip
#: Those of them that must be there, empty if not in the source (type 2).
REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip


def new_object(
    source: SourceSeries, sop_class: str, modality: str, series_uid: str, number: int, description: str, instance: int
) -> Dataset:
    """A dataset with SOP Common, Patient, Study, Series, Frame of Reference and Equipment filled in.

    Args:
        source: whose patient, study and frame of reference are carried.
        sop_class: UID of the SOP class.
        modality: DICOM's word for the series.
        series_uid: UID of the new series.
        number: of the new series.
        description: of the new series, at most 64 characters.
        instance: number of the instance in its series.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    made, now = Dataset(), datetime.now()
    for keyword in CARRIED:
        if keyword in source.first:
            made[keyword] = source.first[keyword]
    for keyword in REQUIRED:
        if keyword not in made:
            setattr(made, keyword, "")
    made.SOPClassUID, made.SOPInstanceUID = UID(sop_class), generate_uid(prefix=None)
    made.SyntheticData = "YES"
    made.InstanceCreationDate, made.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.ContentDate, made.ContentTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = modality, series_uid, number
    made.SeriesDate, made.SeriesTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.SeriesDescription, made.InstanceNumber = description[:64], instance
    made.FrameOfReferenceUID = frame_of_reference(source)
    made.BodyPartExamined = source.first.get("BodyPartExamined", "")
    if not made.BodyPartExamined:
        # Type 2C: asked for unless the body part is known to have no sides.
        made.Laterality = source.first.get("Laterality", "")
    made.PositionReferenceIndicator = source.first.get("PositionReferenceIndicator", "")
    made.Manufacturer = made.ManufacturerModelName = MANUFACTURER
    made.DeviceSerialNumber, made.SoftwareVersions = "1", __version__
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def frame_of_reference(source: SourceSeries) -> str:
    """The source's frame of reference, which the result keeps: it lies on the scan's own grid."""
    from pydicom.uid import generate_uid

    uid = source.first.get("FrameOfReferenceUID", "")
    # The same for every object of a result, where the source names none.
    return str(uid) or generate_uid(prefix=None, entropy_srcs=[str(source.first.SeriesInstanceUID), "frame"])


def coded(code: Code) -> Dataset:
    """An item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        code.value, code.scheme_designator, code.meaning[:64],
    )  # fmt: skip
    return item


def reference(instance: Dataset, purpose: Code | None = None, frame: int | None = None) -> Dataset:
    """An item that refers to an instance, or to a frame of it (from 0)."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.SOPClassUID, instance.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame + 1
    if purpose is not None:
        item.PurposeOfReferenceCodeSequence = [coded(purpose)]
    return item


def common_references(instances: Iterable[Dataset]) -> list[Dataset]:
    """Items of the Referenced Series Sequence: every instance below its series."""
    from pydicom.dataset import Dataset

    by_series: dict[str, list[Dataset]] = {}
    for instance in instances:
        by_series.setdefault(str(instance.SeriesInstanceUID), []).append(reference(instance))
    items = []
    for uid, references in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, references
        items.append(item)
    return items


def contributing_equipment(source: SourceSeries, provenance: Provenance) -> list[Dataset]:
    """The scanner that acquired the source, and the model that made the result."""
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    scanner = Dataset()
    scanner.PurposeOfReferenceCodeSequence = [coded(codes.DCM.AcquisitionEquipment)]
    scanner.Manufacturer = source.first.get("Manufacturer", "") or "unknown"
    for keyword in ("ManufacturerModelName", "DeviceSerialNumber", "InstitutionName", "StationName"):
        if source.first.get(keyword):
            scanner[keyword] = source.first[keyword]
    maker = Dataset()
    maker.PurposeOfReferenceCodeSequence = [coded(codes.DCM.SynthesizingEquipment)]
    maker.Manufacturer, maker.ManufacturerModelName = MANUFACTURER, provenance.package[:64]
    maker.SoftwareVersions = [__version__, f"{provenance.package} {provenance.version}"[:64]]
    maker.ContributionDescription = f"{provenance.system}, weights sha256 {provenance.sha256}"[:1024]
    maker.ContributionDateTime = datetime.now().strftime("%Y%m%d%H%M%S")
    return [scanner, maker]


def series_number(source: SourceSeries, number: int) -> int:
    """A number for the n-th series of a result that is made of the source's own."""
    return 100 * min(int(source.first.get("SeriesNumber", 0) or 0), 1_000_000) + 70 + number


def said(provenance: Provenance) -> str:
    """Model and request in a few words."""
    request = " ".join(f"{name}={words}" for name, words in provenance.in_words().items())
    return " ".join(part for part in (provenance.package, request) if part)


def plain(texts: Sequence[str]) -> str:
    """Texts joined for an attribute of the default repertoire."""
    return " ".join(texts).encode("ascii", "replace").decode()
