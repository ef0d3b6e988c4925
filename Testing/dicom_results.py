"""A translation of a DICOM series, with labels; and what its files must be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import VectorField, Volume

NAMES = {3: "Lateral ventricles", 7: "White matter", 300: "Shell"}


def provenance(target: str = "") -> Provenance:
    return Provenance(
        package="toy-model", version="0.1.0", sha256="ab" * 32, system="sit", attributes={"age": 10.0}, seed=0,
        device="cpu", source_sha256="0" * 64, created="2026-01-01T00:00:00+00:00", seconds=1.0, target=target,
    )  # fmt: skip


def translation_of(scan: Volume, target: str = "") -> Translation:
    """Moved by a bump of 2 mm and brightened, on the scan's own grid."""
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in scan.shape], indexing="ij")
    bump = np.exp(-4 * (i**2 + j**2 + k**2))[..., None].astype(np.float32)
    sampling = VectorField(bump * np.array([2.0, -1.0, 0.5], dtype=np.float32), scan.affine)
    motion = fields.invert(sampling)
    change = scan.with_array(40.0 * bump[..., 0])
    translated = fields.warp(scan.with_array(scan.array + change.array), sampling)
    return Translation(
        source=scan, translated=translated, velocity=None, motion=motion, sampling=sampling,
        jacobian=fields.jacobian(motion), intensity_change=change, field_origin=FieldOrigin.MODEL,
        recomposition_error=0.0, provenance=provenance(target),
    )  # fmt: skip


def labels_of(scan: Volume) -> Volume:
    labels = np.where(scan.array > 700, 300.0, np.where(scan.array > 400, 7.0, np.where(scan.array > 100, 3.0, 0.0)))
    return scan.with_array(labels)


def assert_segments(file: Path, scan: Volume) -> None:
    """The segments of a file lie where the scan's labels do."""
    volume = highdicom.seg.segread(file).get_volume(combine_segments=True, skip_overlap_checks=True)
    labels = labels_of(scan).array
    wanted = np.select([labels == 3, labels == 7, labels == 300], [1, 2, 3])
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    indices = np.argwhere(np.asarray(volume.array) > 0)
    assert len(indices) == int((wanted > 0).sum())
    places = np.rint(scan.grid.to_indices(indices @ lps[:3, :3].T + lps[:3, 3])).astype(int)
    found = np.asarray(volume.array)[tuple(indices.T)]
    np.testing.assert_array_equal(found, wanted[places[:, 2], places[:, 1], places[:, 0]])


def assert_valid(out: Path) -> None:
    """No error by ``dciodvfy``, where it is installed."""
    program = shutil.which("dciodvfy")
    for file in () if program is None else (out / "translated" / "0001.dcm", *out.glob("*.dcm")):
        done = subprocess.run([program, file], capture_output=True, text=True, check=False)
        # Synthetic Data (0008,001C) is younger than Debian's release of the validator.
        errors = [
            line for line in (done.stdout + done.stderr).splitlines()
            if line.startswith("Error") and not ("not a recognized" in line and "(0x0008,0x001c)" in line)
        ]  # fmt: skip
        assert not errors, (file.name, errors)
