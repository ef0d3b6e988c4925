"""``sittranslate demo`` as a new user runs it: the bundled model on the bundled brain, everything it promises."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageStat

pytest.importorskip("nilearn")

FILES = (
    "source.nii.gz", "translated.nii.gz", "motion.nrrd", "sampling.nrrd", "velocity.nrrd", "jacobian.nii.gz",
    "structures.csv", "provenance.json", "segments.csv", "report.html", "scene.mrb",
)  # fmt: skip


def test_the_demo_writes_what_it_promises(tmp_path: Path) -> None:
    from SITTranslateLib.scene.headless.opengl import opengl_missing

    if missing := opengl_missing():
        pytest.skip(str(missing))
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "SITTranslateLib.app.main", "demo", "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "PASS" in done.stdout and f"Open {out / 'report.html'}" in done.stdout
    assert all((out / name).stat().st_size > 100 for name in FILES)
    pictures = sorted((out / "pictures").glob("*.png"))
    assert len(pictures) >= 6
    for picture in pictures:
        # A view that drew nothing is of one colour.
        assert max(ImageStat.Stat(Image.open(picture).convert("RGB")).stddev) > 10, picture.name
    report = (out / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") >= len(pictures)
    assert "http://" not in report.replace("http://www.w3.org", "") and 'src="/' not in report
    rows = {row["name"]: row for row in csv.DictReader((out / "segments.csv").open(encoding="utf-8"))}
    change = next(float(r["change_percent"]) for n, r in rows.items() if "ateral ventricle" in n)
    assert 60 < change < 130, "20 years from 60 on enlarge the ventricles by 81 % in the table; these are their cores"
    found = {row["structure"]: row for row in csv.DictReader((out / "structures.csv").open(encoding="utf-8"))}
    assert -24 < float(found["hippocampus"]["change_percent"]) < -14, "19 % in the table"
    with zipfile.ZipFile(out / "scene.mrb") as bundle:
        assert bundle.testzip() is None
        assert any(name.endswith(".mrml") for name in bundle.namelist())
