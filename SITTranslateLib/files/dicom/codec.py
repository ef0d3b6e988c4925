"""JPEG-compressed DICOM values, decoded by SimpleITK in a separate process.

pydicom reads the header and hands over the compressed values alone, in a file that says nothing but their size and
type. A codec that a damaged stream crashes, hangs or makes ask for memory does no harm to this process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import children
from SITTranslateLib.errors import InputError
from SITTranslateLib.files.dicom.slices import Pixels

#: A decoder that takes longer hangs.
LONGEST_SECONDS = 120.0
#: Memory beyond which it is stopped: more than four times the largest scan in double precision.
MOST_BYTES = 24 << 30
_LIBRARY_PARENT = Path(__file__).resolve().parents[3]
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def request(header: Any, pixels: Pixels) -> bytes:
    """The compressed values of a file as a DICOM file with nothing else in it."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = header.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = UID(_SECONDARY_CAPTURE)
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = generate_uid()
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.Rows, bare.Columns, bare.NumberOfFrames = pixels.rows, pixels.columns, pixels.frames
    bare.BitsAllocated, bare.BitsStored, bare.HighBit = (
        pixels.bits_allocated,
        pixels.bits_stored,
        pixels.bits_stored - 1,
    )
    bare.PixelRepresentation = int(pixels.is_signed)
    bare.PixelData = header.PixelData
    bare["PixelData"].is_undefined_length = True
    bare["PixelData"].VR = "OB"
    file = io.BytesIO()
    bare.save_as(file, enforce_file_format=True)
    return file.getvalue()


def decode(files: list[bytes], name: str) -> list[NDArray[Any]]:
    """Stored values ``(frames, rows, columns)`` of each file.

    Raises:
        InputError: the decoder refused them, crashed, did not end, or cannot be started.
    """
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_LIBRARY_PARENT), variables.get("PYTHONPATH", "")]))
    # The folder is this process's, so that it goes however the other one ends.
    with tempfile.TemporaryDirectory() as folder:
        # -P: nothing that lies in the working folder is imported.
        command = [children.python(), "-P", "-m", "SITTranslateLib.files.dicom.codec", folder]
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables
            )
        except OSError as error:
            raise InputError(f"The {name} is compressed, and no process can be started to decode it.") from error
        return _answers(child, files, name)


def _answers(child: subprocess.Popen[bytes], files: list[bytes], name: str) -> list[NDArray[Any]]:
    """Ask the decoding process file by file, and end it."""
    decoded = []
    try:
        with children.killed_after(LONGEST_SECONDS, child) as late:
            assert child.stdin is not None and child.stdout is not None
            for file in files:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(f"{len(file)}\n".encode() + file)
                    child.stdin.flush()
                decoded.append(_answer(child.stdout, name))
    except InputError as error:
        if late.is_set():
            raise InputError(f"The {name} takes longer to decode than any scan; it is damaged.") from error
        raise
    finally:
        children.end(child)
    return decoded


def _answer(stream: IO[bytes], name: str) -> NDArray[Any]:
    """Values that the decoder sent; nothing, or half of them, means that it failed."""
    try:
        said: dict[str, Any] = json.loads(stream.readline(1 << 16))
        array = np.empty(said["shape"], dtype=np.dtype(said["kind"]))
        if stream.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]
            raise ValueError("the values end early")
    except MemoryError as error:
        raise InputError(f"The {name} needs more memory than this machine has.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"The {name} is damaged: its compressed values cannot be decoded.") from error
    return array


def main() -> None:
    """The decoding process: files from standard input, values to standard output."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Libraries write to standard output past Python: from here on that goes nowhere.
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import SimpleITK as sitk

    path = Path(sys.argv[1], "values.dcm")
    with os.fdopen(answers, "wb") as stream:
        while line := sys.stdin.buffer.readline(32):
            path.write_bytes(sys.stdin.buffer.read(int(line)))
            image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
            array = np.ascontiguousarray(sitk.GetArrayFromImage(image))
            array = array if array.ndim == 3 else array[np.newaxis]
            stream.write(json.dumps({"kind": array.dtype.str, "shape": array.shape}).encode() + b"\n")
            stream.write(array.reshape(-1).view(np.uint8).data)
            stream.flush()


if __name__ == "__main__":
    main()
