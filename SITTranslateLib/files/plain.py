"""Which files are read in this process: those whose header holds nothing but what scanners and converters write.

ITK's readers can end the whole process on a damaged header (an abort or a segmentation fault that no ``except``
catches; ``docs/reliability.md`` counts them). A file whose every header field is of the plain kind below is read here,
at full speed; every other one is read by a process of its own (``isolated``), which may die without harm.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

#: NIfTI codes of scalar voxels, and their bits.
_BITS = {2: 8, 256: 8, 4: 16, 512: 16, 8: 32, 768: 32, 16: 32, 64: 64}
_WHOLE = r"\d{1,9}"
_NUMBER = r"[+-]?\d{1,18}(?:\.\d{0,25})?(?:[eE][+-]?\d{1,2})?"
_VECTOR = rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)"
_TYPES = (
    r"(?:(?:unsigned |signed )?(?:char|short|int)|float|double|u?int(?:8|16|32)_t|u?int(?:8|16|32)|uchar|ushort|uint)"
)
#: NRRD fields by name; every one of them at most once.
NRRD_FIELDS = {
    "type": _TYPES,
    "dimension": r"[34]",
    "space": r"left-posterior-superior|right-anterior-superior|left-anterior-superior|LPS|RAS|LAS",
    "sizes": rf"{_WHOLE}(?: {_WHOLE}){{2,3}}",
    "space directions": rf"(?:none )?{_VECTOR} {_VECTOR} {_VECTOR}",
    "kinds": r"(?:vector |3-vector |list )?domain domain domain",
    "endian": r"little|big",
    "encoding": r"raw|gzip|gz",
    "space origin": _VECTOR,
    "space units": r'"mm" "mm" "mm"',
    "measurement frame": rf"{_VECTOR} {_VECTOR} {_VECTOR}",
    "thicknesses": rf"(?:NaN|nan|{_NUMBER})(?: (?:NaN|nan|{_NUMBER})){{2,3}}",
}
_NRRD_NEEDED = {"type", "dimension", "sizes", "encoding"}
#: MetaImage fields by name, in this order.
META_FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False|True",
    "CompressedData": "False|True",
    "CompressedDataSize": _WHOLE,
    "TransformMatrix": rf"{_NUMBER}(?: {_NUMBER}){{8}}",
    "Offset": rf"{_NUMBER}(?: {_NUMBER}){{2}}",
    "CenterOfRotation": rf"{_NUMBER}(?: {_NUMBER}){{2}}",
    "AnatomicalOrientation": "[RLAPIS]{3}",
    "ElementSpacing": rf"{_NUMBER}(?: {_NUMBER}){{2}}",
    "DimSize": rf"{_WHOLE}(?: {_WHOLE}){{2}}",
    "ElementNumberOfChannels": "[1-9]",
    "ElementType": r"MET_(?:U?CHAR|U?SHORT|U?INT|FLOAT|DOUBLE)",
    "ElementDataFile": "LOCAL",
}
_META_NEEDED = {"ObjectType", "NDims", "BinaryData", "DimSize", "ElementType", "ElementDataFile"}


def is_plain(path: Path) -> bool:
    """Whether a file may be read in this process."""
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            return _plain_nifti(path)
        if name.endswith(".nrrd"):
            return _plain_nrrd(path)
        return name.endswith(".mha") and _plain_metaimage(path)
    except (OSError, EOFError, ValueError, zlib.error):
        return False


def _plain_nifti(path: Path) -> bool:
    with path.open("rb") as opened:
        packed = opened.read(2) == b"\x1f\x8b"
    # ITK goes by the ending, so a packed file named .nii is not plain, nor is the reverse.
    if packed != path.name.lower().endswith(".gz"):
        return False
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        head = file.read(352)
    if len(head) < 352 or head[:4] != struct.pack("<i", 348) or head[344:348] != b"n+1\0" or head[348] != 0:
        return False
    dims = struct.unpack("<8h", head[40:56])
    code, bits = struct.unpack("<2h", head[70:74])
    numbers = struct.unpack("<8f", head[76:108]) + struct.unpack("<3f", head[108:120])
    place = struct.unpack("<18f", head[256:328])
    codes = struct.unpack("<2h", head[252:256])
    return (
        dims[0] in (3, 4)
        and min(dims[1 : dims[0] + 1]) >= 1
        and all(d in (0, 1) for d in dims[dims[0] + 1 :])
        and _BITS.get(code) == bits
        and numbers[8] == 352.0
        and all(math.isfinite(n) for n in numbers + place)
        and all(0.0 < n < 1e4 for n in numbers[1:4])
        and all(0 <= c <= 5 for c in codes)
    )


def _plain_nrrd(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 14)
    text, end, _ = head.partition(b"\n\n")
    lines = text.decode("ascii").split("\n")
    if not end or not re.fullmatch(r"NRRD000[1-5]", lines[0]):
        return False
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("#"):
            continue
        name, colon, value = line.partition(": ")
        wanted = NRRD_FIELDS.get(name)
        if not colon or wanted is None or name in fields or not re.fullmatch(wanted, value.strip()):
            return False
        fields[name] = value.strip()
    if not fields.keys() >= _NRRD_NEEDED:
        return False
    vectors = fields["dimension"] == "4"
    first = fields["sizes"].split(" ")[0]
    return (
        len(fields["sizes"].split(" ")) == 3 + vectors
        and (not vectors or first == "3")
        and fields.get("space directions", "").startswith("none") is vectors
        and len(fields.get("kinds", "d d d v" if vectors else "d d d").split(" ")) == 3 + vectors
    )


def _plain_metaimage(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 13)
    text, end, _ = head.partition(b"ElementDataFile = LOCAL\n")
    if not end:
        return False
    order = list(META_FIELDS)
    names: list[str] = []
    for line in [*text.decode("ascii").split("\n")[:-1], "ElementDataFile = LOCAL"]:
        name, equals, value = line.partition(" = ")
        if not equals or name not in META_FIELDS or not re.fullmatch(META_FIELDS[name], value.strip()):
            return False
        names.append(name)
    places = [order.index(name) for name in names]
    return places == sorted(set(places)) and set(names) >= _META_NEEDED
