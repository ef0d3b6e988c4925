"""The volumes before and after as a structured report (TID 1500, Measurement Report), by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from SITTranslateLib import __version__
from SITTranslateLib.dicom.modules import MANUFACTURER, plain, said, series_number
from SITTranslateLib.dicom.segmentation import side_code, structure_code
from SITTranslateLib.dicom.source import SourceSeries

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from highdicom.sr import Comprehensive3DSR, VolumetricROIMeasurementsAndQualitativeEvaluations
    from pydicom.dataset import Dataset

    from SITTranslateLib.traceability.table import SegmentRow
    from SITTranslateLib.translation import Provenance

#: What the two groups of a segment are called (time point contexts).
BEFORE, AFTER = "source", "translated (synthetic)"


def measurement_report(
    rows: Sequence[SegmentRow],
    provenance: Provenance,
    source: SourceSeries,
    before: Segmentation,
    after: Segmentation,
    instances: Sequence[Dataset],
) -> Comprehensive3DSR:
    """A report with the volume of each segment in the source and in the translated scan; not yet written.

    Args:
        rows: of the segment table; those without a volume are left out.
        provenance: who made the translated scan.
        source: whose series number the new one is made of.
        before: segments on the source.
        after: segments on the translated scan.
        instances: everything that the report rests on.
    """
    import highdicom.sr as sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(prefix=None), name=MANUFACTURER, model_name=provenance.package[:64]
        ),
    )
    groups = []
    for row in rows:
        for segments, volume, moment in (
            (before, row.volume_before_mm3, BEFORE),
            (after, row.volume_after_mm3, AFTER),
        ):
            group = _group(row, segments, volume, moment)
            if group is not None:
                groups.append(group)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion
        if str(source.first.get("Modality", "")) == "CT"
        else codes.LN.MRIUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = sr.Comprehensive3DSR(
        evidence=[*source.slices, *instances, before, after],
        content=report,
        series_instance_uid=generate_uid(prefix=None),
        series_number=series_number(source, 4),
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        series_description=plain(["SYNTHETIC volumes", said(provenance)])[:64],
    )
    made.SyntheticData = "YES"
    return made


def _group(
    row: SegmentRow, segments: Segmentation, volume: float | None, moment: str
) -> VolumetricROIMeasurementsAndQualitativeEvaluations | None:
    """The volume of one segment at one of the two moments; None where there is no figure."""
    import highdicom.sr as sr
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    name = plain([row.name])[:64]
    number = next((one.SegmentNumber for one in segments.SegmentSequence if one.SegmentLabel == name), None)
    if volume is None or number is None:
        return None
    item = segments.SegmentSequence[int(number) - 1]
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=str(item.TrackingUID), identifier=name),
        referenced_segment=sr.ReferencedSegment.from_segmentation(segments, segment_number=int(number)),
        time_point_context=sr.TimePointContext(time_point=moment),
        finding_type=structure_code(row.name),
        finding_sites=[sr.FindingSite(structure_code(row.name), laterality=side_code(row.name))],
        algorithm_id=sr.AlgorithmIdentification(name=MANUFACTURER, version=__version__),
        measurements=[
            sr.Measurement(
                name=CodedConcept("118565006", "SCT", "Volume"),
                value=round(float(volume), 3),
                unit=codes.UCUM.CubicMillimeter,
            )
        ],
    )
