"""What is done to an honest scan file: cuts, flipped bytes, lying fields, wrong endings, odd names."""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

Random = np.random.Generator
#: Numbers that headers do not expect.
ODD_NUMBERS = (
    "0", "-1", "1", "2", "3", "7", "65535", "32768", "2147483647", "-2147483648", "4294967296", "9223372036854775807",
    "99999999999999999999999", "1e-300", "1e300", "nan", "inf", "-inf", "0x10", "", "1,5", "0.3", "1e-5", "--1",
)  # fmt: skip
ODD_WORDS = ("", "x" * 5000, "LOCAL", "gzip", "raw", "bzip2", "hex", "ascii", "None", "\0", "../../etc/passwd", "%s%n",
             "MET_DOUBLE", "MET_UCHAR", "double", "block", "True", "False", "vector", "RGB-color", "LIST")  # fmt: skip
#: NIfTI-1 fields: offset and format, all little-endian.
NIFTI_FIELDS = {
    "sizeof_hdr": (0, "i"), "dim0": (40, "h"),
    "dim1": (42, "h"), "dim2": (44, "h"), "dim3": (46, "h"), "dim4": (48, "h"),
    "dim5": (50, "h"), "intent": (68, "h"), "datatype": (70, "h"), "bitpix": (72, "h"), "slice_start": (74, "h"),
    "pixdim0": (76, "f"), "pixdim1": (80, "f"), "pixdim2": (84, "f"), "pixdim3": (88, "f"), "pixdim4": (92, "f"),
    "vox_offset": (108, "f"), "scl_slope": (112, "f"), "scl_inter": (116, "f"), "slice_end": (120, "h"),
    "xyzt_units": (123, "B"), "cal_max": (124, "f"), "qform_code": (252, "h"), "sform_code": (254, "h"),
    "quatern_b": (256, "f"), "quatern_c": (260, "f"), "quatern_d": (264, "f"), "qoffset_x": (268, "f"),
    "srow_x0": (280, "f"), "srow_x1": (284, "f"), "srow_x3": (292, "f"), "srow_y1": (300, "f"), "srow_z2": (320, "f"),
    "magic": (344, "i"),
}  # fmt: skip
_INTEGERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 127, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304,
             4096, 32767, -32768)  # fmt: skip
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, float("nan"), float("inf"), float("-inf"), 0.5, 1e-4, 351.9, 352.0,
           1e5, 1e9, 3.4e38)  # fmt: skip


def cut(path: Path, rng: Random) -> None:
    """The file ends early: anywhere, often inside its header."""
    content = path.read_bytes()
    end = rng.integers(0, min(len(content), 700)) if rng.random() < 0.4 else rng.integers(0, len(content))
    path.write_bytes(content[: int(end)])


def flip(path: Path, rng: Random) -> None:
    """Some bytes are others: in the header, or anywhere."""
    content = bytearray(path.read_bytes())
    reach = min(len(content), 600) if rng.random() < 0.7 else len(content)
    for where in rng.integers(0, max(1, reach), int(rng.integers(1, 12))):
        content[int(where)] = int(rng.integers(0, 256))
    path.write_bytes(content)


def flip_packed(path: Path, rng: Random) -> None:
    """One bit of compressed voxels, wherever they lie, is another."""
    beside = [file for file in path.parent.iterdir() if file != path]
    target = beside[0] if beside else path
    content = bytearray(target.read_bytes())
    start = 0 if beside or path.suffix == ".gz" else _end_of_text(bytes(content))
    content[int(rng.integers(start, len(content)))] ^= 1 << int(rng.integers(8))
    target.write_bytes(content)


def neighbours(path: Path, rng: Random) -> None:
    """Files of nearly the same name beside it hold another scan, or nothing of sense."""
    stem = path.name.split(".")[0]
    for ending in (".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".mat", ".raw", ".zraw"):
        other = path.with_name(stem + ending)
        if other != path and rng.random() < 0.6:
            content = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
            content[352:] = rng.bytes(len(content) - 352)
            other.write_bytes(gzip.compress(bytes(content), 1) if ending.endswith("gz") else bytes(content))


def half(path: Path, rng: Random) -> Path | None:
    """A pair of which one half is cut, empty, missing, packed, a link out of the folder, or the one that is named."""
    image, choice = path.with_suffix(".img"), int(rng.integers(7))
    if choice == 0:
        cut(image, rng)
    elif choice == 1:
        image.write_bytes(b"")
    elif choice == 2:
        image.unlink()
    elif choice == 3:
        image.with_name(f"{image.name}.gz").write_bytes(gzip.compress(image.read_bytes(), 1))
        image.unlink()
    elif choice == 4:
        outside = path.parent.parent / f"{path.parent.name}.img"
        image.rename(outside)
        image.symlink_to(outside)
    elif choice == 5:
        nifti_field(path, rng)
    return image if choice == 6 else None


def lists(path: Path, rng: Random) -> None:
    """A text header that names its voxels by a list, a pattern, a path, twice, or in a line that looks like another."""
    name = "data file: " if path.suffix == ".nhdr" else "ElementDataFile = "
    lines = path.read_text("latin-1").split("\n")
    values = ("LIST\nscan.raw", "scan%d.raw 1 2 1", "../scan.raw", "/etc/passwd", "LOCAL", "./scan.raw", "..",
              "scan.raw\n" + name + "scan.raw", "a/../scan.raw", "scan.raw\0", "")  # fmt: skip
    value = values[int(rng.integers(len(values)))]
    before = ("", "", "\t", " ", "#", "Comment = ")[int(rng.integers(6))]
    changed = [f"{before}{name}{value}" if line.startswith(name) else line for line in lines]
    path.write_text("\n".join(changed), "latin-1")


def insert(path: Path, rng: Random) -> None:
    """Bytes too many somewhere in the middle, or behind the end."""
    content = path.read_bytes()
    where = len(content) if rng.random() < 0.4 else int(rng.integers(0, len(content)))
    extra = rng.bytes(int(rng.integers(1, 4000))) if rng.random() < 0.5 else bytes(int(rng.integers(1, 4000)))
    path.write_bytes(content[:where] + extra + content[where:])


def wrong_ending(path: Path, rng: Random) -> Path:
    """The file calls itself something else."""
    endings = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr", ".hdr", ".dcm", ".gipl", ".vtk", ".png", ".jpg",
               ".txt", ".img", ".mgz", ".mnc", ".tif", ".hdf5", ".stl", ".zip", ".seg.nrrd", "", ".NII.GZ",
               ".xml")  # fmt: skip
    return path.rename(path.with_name("scan" + endings[int(rng.integers(len(endings)))]))


def odd_name(path: Path, rng: Random) -> Path:
    """Names that people and systems give: not ASCII, long, with spaces, quotes, line ends, no valid text at all."""
    ending = "".join(path.suffixes)
    names: tuple[str, ...] = (
        "Ümläut Größe", "脳スキャン", "מוח", "a b  c", "-rf", "$(reboot)", "quote's \"scan\"", "line\nend", "tab\there",
        "🧠", "x" * (250 - len(ending)), "e\u0301", "%s%n%d", "..hidden", "con", os.fsdecode(b"\xff\xfe"),
        "a;b|c&d", "\u202egnp",
    )  # fmt: skip
    return path.rename(path.with_name(names[int(rng.integers(len(names)))] + ending))


def nifti_field(path: Path, rng: Random, count: int = 2) -> None:
    """Fields of a NIfTI header say something else."""
    packed = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for _ in range(int(rng.integers(1, count + 1))):
        offset, kind = list(NIFTI_FIELDS.values())[int(rng.integers(len(NIFTI_FIELDS)))]
        if kind == "f":
            value: float = _FLOATS[int(rng.integers(len(_FLOATS)))]
        else:
            value = int(_INTEGERS[int(rng.integers(len(_INTEGERS)))])
            if kind == "B":
                value = int(value) % 256
        struct.pack_into("<" + kind, content, offset, value)
    path.write_bytes(gzip.compress(bytes(content), 1) if packed else bytes(content))


def text_field(path: Path, rng: Random) -> None:
    """Lines of a text header say something else, are missing, doubled, or moved."""
    content = path.read_bytes()
    end = _end_of_text(content)
    lines = content[:end].split(b"\n")
    for _ in range(int(rng.integers(1, 3))):
        index = int(rng.integers(len(lines)))
        choice = rng.random()
        if choice < 0.55:
            lines[index] = _other_value(lines[index], rng)
        elif choice < 0.7:
            del lines[index]
        elif choice < 0.85:
            lines.insert(int(rng.integers(len(lines) + 1)), lines[index])
        else:
            other = int(rng.integers(len(lines)))
            lines[index], lines[other] = lines[other], lines[index]
        if not lines:
            break
    path.write_bytes(b"\n".join(lines) + content[end:])


def packed_twice(path: Path, rng: Random) -> Path:
    """A gzip file inside a gzip file, or one with a second member behind it."""
    content = path.read_bytes()
    again = gzip.compress(content, 1) if rng.random() < 0.5 else content + gzip.compress(rng.bytes(300), 1)
    target = path.with_name("scan.nii.gz")
    target.write_bytes(again)
    if target != path:
        path.unlink()
    return target


def other_values(path: Path, rng: Random) -> None:
    """Voxels of an uncompressed file become NaN, infinite, huge or denormal."""
    content = bytearray(path.read_bytes())
    odd = (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-40, 1e8, -1e9, 5e9, 1e20)
    start = max(0, len(content) - 9000)
    for _ in range(int(rng.integers(1, 40))):
        where = start + 4 * int(rng.integers(0, (len(content) - start) // 4))
        struct.pack_into("<f", content, min(where, len(content) - 4), odd[int(rng.integers(len(odd)))])
    path.write_bytes(content)


#: Of every file; some give it another name.
OF_ANY: tuple[Callable[[Path, Random], Path | None], ...] = (cut, flip, flip, insert, wrong_ending, odd_name)


def _end_of_text(content: bytes) -> int:
    """Where the text header of NRRD, MetaImage or VTK ends."""
    for pattern in (rb"\n\n", rb"ElementDataFile[^\n]*\n", rb"LOOKUP_TABLE[^\n]*\n"):
        found = re.search(pattern, content[:5000])
        if found:
            return found.end() - (2 if pattern == rb"\n\n" else 0)
    return min(len(content), 400)


def _other_value(line: bytes, rng: Random) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", line))
    if numbers and rng.random() < 0.75:
        found = numbers[int(rng.integers(len(numbers)))]
        number = ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))].encode()
        return line[: found.start()] + number + line[found.end() :]
    sign = b"=" if b"=" in line else b":"
    return line.split(sign)[0] + sign + b" " + ODD_WORDS[int(rng.integers(len(ODD_WORDS)))].encode()
