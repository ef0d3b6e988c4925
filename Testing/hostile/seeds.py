"""Small honest scans in every format that is read: what ``damage`` alters."""

from __future__ import annotations

import gzip
import struct
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from tiny_model import head, turned

from SITTranslateLib.files import place_image
from SITTranslateLib.volume import Volume

#: Formats with one file, by ending; the detached ones have a second.
SINGLE = (".nii", ".nii.gz", ".nrrd", ".mha", ".mgz", ".nii", ".nrrd", ".tif")
DETACHED = {".mhd": ".raw", ".nhdr": ".raw", ".hdr": ".img"}


@cache
def scan() -> Volume:
    """A head in voxels of nearly 10 mm, turned: 3,000 voxels, read and translated in a blink."""
    return head(spacing=(9.5, 9.9, 9.7), size_mm=(138.0, 170.0, 138.0), rotation=turned((6.0, -4.0, 9.0)))


def picture(kind: type = np.float32) -> sitk.Image:
    return place_image(sitk.GetImageFromArray(scan().array.astype(kind)), scan().affine)


def write_single(folder: Path, ending: str, kind: type = np.float32, *, packed: bool = False) -> Path:
    """One file in the format of its ending (or a header and its compressed voxels)."""
    path = folder / f"scan{ending}"
    if ending == ".mgz":
        nib.save(nib.MGHImage(np.ascontiguousarray(scan().array.T.astype(kind)), scan().affine), path)
        return path
    if ending == ".nii2":
        return write_nifti2(folder)
    sitk.WriteImage(picture(kind), str(path), useCompression=packed or ending in (".nii.gz", ".nrrd"))
    return path


def write_detached(folder: Path, ending: str) -> Path:
    """A header and its data beside it; the header's path."""
    path = folder / f"scan{ending}"
    sitk.WriteImage(picture(), str(path.with_suffix(".img" if ending == ".hdr" else ending)), useCompression=False)
    return path


def write_nifti2(folder: Path) -> Path:
    """A NIfTI-2 file: 540 bytes of header, 64-bit sizes."""
    k, j, i = scan().shape
    header = bytearray(544)
    struct.pack_into("<i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 16, 32)
    struct.pack_into("<8q", header, 16, 3, i, j, k, 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1, *scan().spacing, 1, 1, 1, 1)
    struct.pack_into("<q2d", header, 168, 544, 1.0, 0.0)
    struct.pack_into("<2i", header, 344, 0, 2)
    struct.pack_into("<12d", header, 400, *scan().affine[:3].ravel())
    struct.pack_into("<i", header, 500, 2)
    path = folder / "scan2.nii"
    path.write_bytes(bytes(header) + scan().array.tobytes())
    return path


def write_series(folder: Path, series: str = "1.2.826.0.1.3680043.2.1125.1", kind: type = np.int16) -> Path:
    """A DICOM series of axial slices in a folder, on a straight grid; the folder."""
    target = folder / "dicom-5e1f"
    target.mkdir(exist_ok=True)
    straight = head(spacing=(9.5, 9.9, 9.7), size_mm=(138.0, 170.0, 138.0)).array.astype(kind)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index, plane in enumerate(straight):
        image = sitk.GetImageFromArray(plane)
        image.SetSpacing((9.5, 9.9))
        tags = {
            "0008|0060": "MR", "0020|000e": series, "0020|000d": "1.2.826.0.1.3680043.2.1125.2",
            "0008|0018": f"{series}.{index + 1}", "0020|0013": str(index + 1), "0018|0050": "9.7",
            "0020|0032": f"-84\\-100\\{index * 9.7:g}", "0020|0037": "1\\0\\0\\0\\1\\0",
            "0010|0010": "Doe^Jane", "0010|0020": "PATIENT-4711",
        }  # fmt: skip
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(target / f"{index:03d}.dcm"))
        writer.Execute(image)
    return target


def write_multi_frame(folder: Path) -> Path:
    """The same slices as one enhanced DICOM file, each frame with its own place and scaling."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian

    def group(**elements: object) -> Sequence:
        item = Dataset()
        for tag, value in elements.items():
            setattr(item, tag, value)
        return Sequence([item])

    straight = head(spacing=(9.5, 9.9, 9.7), size_mm=(138.0, 170.0, 138.0)).array
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = "1.2.826.0.1.3680043.2.1125.3"
    one.PatientName, one.PatientID, one.Modality = "Doe^Jane", "PATIENT-4711", "MR"
    one.SeriesInstanceUID, one.StudyInstanceUID = "1.2.826.0.1.3680043.2.1125.4", "1.2.826.0.1.3680043.2.1125.2"
    one.NumberOfFrames, one.Rows, one.Columns = straight.shape
    one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 0
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 12, 11
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[9.9, 9.5], SliceThickness=9.7)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    frames, stored = [], []
    for index, plane in enumerate(straight):
        slope = 0.25 + 0.01 * index
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=[-84, -100, round(index * 9.7, 3)])
        frame.PixelValueTransformationSequence = group(RescaleSlope=slope, RescaleIntercept=-5, RescaleType="US")
        frame.FrameContentSequence = group(StackID="1", InStackPositionNumber=index + 1)
        frames.append(frame)
        stored.append(np.rint((plane + 5) / slope).astype("<u2"))
    one.PerFrameFunctionalGroupsSequence = Sequence(frames)
    one.PixelData = np.stack(stored).tobytes()
    path = folder / "enhanced.dcm"
    one.save_as(path, enforce_file_format=True)
    return path


def write_bomb(folder: Path, megabytes: int) -> Path:
    """A NIfTI file whose honest header stands before megabytes of packed zeros that the header promises."""
    path = write_single(folder, ".nii")
    content = bytearray(path.read_bytes()[:352])
    side = round((megabytes * (1 << 20) / 4) ** (1 / 3))
    struct.pack_into("<4h", content, 40, 3, side, side, side)
    path.unlink()
    packed = folder / "bomb.nii.gz"
    with gzip.open(packed, "wb", compresslevel=9) as stream:
        stream.write(content)
        for _ in range(megabytes):
            stream.write(bytes(1 << 20))
    return packed
