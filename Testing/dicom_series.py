"""A small DICOM series of a head, oblique, as a scanner would write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SHAPE = (10, 24, 20)
SPACING = (1.25, 1.5, 3.0)


def write(folder: Path, modality: str = "MR") -> Path:
    """Files with names whose order is not that of the slices."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2)
    head = np.where(radius < 0.85, 600.0 + 200.0 * (radius > 0.6) - 450.0 * (radius < 0.3), 0.0)
    values = (head + random.integers(0, 12, SHAPE)).astype(np.int16)
    angle = np.deg2rad(11.0)
    rows = np.array([np.cos(angle), np.sin(angle), 0.0])
    columns = np.array([-np.sin(angle) * np.cos(0.2), np.cos(angle) * np.cos(0.2), np.sin(0.2)])
    normal = np.cross(rows, columns)
    origin = np.array([-12.34, -20.5, 7.75])
    study, series, frame = (generate_uid(prefix=None) for _ in range(3))
    for index in range(SHAPE[0]):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4" if modality == "MR" else "1.2.840.10008.5.1.4.1.1.2"
        one.SOPInstanceUID = generate_uid(prefix=None)
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.SpecificCharacterSet = "ISO_IR 192"
        one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = "Phantom^Ünïcode", "P1", "19500101", "O"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.StudyDate, one.StudyTime, one.StudyID, one.AccessionNumber = "20200102", "101010", "S1", "A1"
        one.ReferringPhysicianName = ""
        one.Modality, one.SeriesNumber, one.InstanceNumber = modality, 5, index + 1
        one.Manufacturer, one.ManufacturerModelName = "Maker", "Scanner 3000"
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "OTHER"]
        one.PositionReferenceIndicator = ""
        one.SeriesDate, one.SeriesTime, one.ContentDate, one.ContentTime = "20200102", "101010", "20200102", "101010"
        one.BodyPartExamined, one.PatientPosition = "HEAD", "HFS"
        if modality == "MR":
            one.ScanningSequence, one.SequenceVariant, one.ScanOptions = "GR", "SP", ""
            one.MRAcquisitionType, one.RepetitionTime, one.EchoTime, one.EchoTrainLength = "3D", "2300", "2.98", "1"
        else:
            one.KVP, one.AcquisitionNumber, one.RescaleIntercept, one.RescaleSlope = "120", "1", "-1024", "1"
        one.ImageOrientationPatient = [f"{v:.10f}" for v in (*rows, *columns)]
        one.ImagePositionPatient = [f"{v:.8f}" for v in origin + normal * SPACING[2] * index]
        one.PixelSpacing, one.SliceThickness = [str(SPACING[1]), str(SPACING[0])], str(SPACING[2])
        one.Rows, one.Columns, one.SamplesPerPixel = SHAPE[1], SHAPE[2], 1
        one.PhotometricInterpretation = "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 1
        one.PixelData = values[index].astype("<i2").tobytes()
        one.save_as(folder / f"{(index * 7) % SHAPE[0]:02d}.dcm", enforce_file_format=True)
    return folder


def as_multi_frame(series: Path, file: Path) -> Path:
    """The series as one Enhanced MR instance, its frames in the order of the files' names, which is not the slices'."""
    found = [pydicom.dcmread(one) for one in sorted(series.iterdir())]
    first = found[0]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    made.SOPInstanceUID = generate_uid(prefix=None)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    for element in first:
        if element.keyword not in (
            "SOPClassUID", "SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
            "SliceThickness", "PixelData",
        ):  # fmt: skip
            made.add(element)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    plane.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for one in found:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = one.ImagePositionPatient
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.NumberOfFrames = len(found)
    made.PixelData = b"".join(one.PixelData for one in found)
    made.save_as(file, enforce_file_format=True)
    return file
