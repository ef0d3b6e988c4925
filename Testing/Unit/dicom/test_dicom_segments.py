"""Segments and volumes as DICOM SEG and TID 1500, read back by highdicom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dicom_series
import highdicom
import numpy as np
import pydicom
import pytest
from dicom_results import NAMES, assert_segments, assert_valid, labels_of, translation_of

from SITTranslateLib.app.translating import _found_segments
from SITTranslateLib.dicom import SourceSeries, write_dicom
from SITTranslateLib.dicom.segmentation import structure_code
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import read_volume
from SITTranslateLib.structure_table import StructureVolume, StructureVolumes
from SITTranslateLib.systems.prescribed.regions import Shares
from SITTranslateLib.translate import structures
from SITTranslateLib.translation import Translation


def test_segments_come_back_by_highdicom(written: tuple[Path, Path, Translation, list[object]]) -> None:
    _, out, result, _ = written
    read = highdicom.seg.segread(out / "segments.dcm")
    assert [item.SegmentLabel for item in read.SegmentSequence] == list(NAMES.values())
    assert read.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "66720007"
    assert_segments(out / "segments.dcm", result.source)


def test_volumes_come_back_from_the_report(written: tuple[Path, Path, Translation, list[object]]) -> None:
    _, out, _, rows = written
    report = highdicom.sr.srread(out / "volumes.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    values = {}
    for group in groups:
        items = group[0].ContentSequence
        moment = next(i.TextValue for i in items if i.name.meaning == "Time Point")
        (measured,) = group.get_measurements()
        assert measured.unit.value == "mm3"
        values[group.tracking_identifier, moment] = measured.value
    for row in rows:
        assert values[row.name, "source"] == pytest.approx(row.volume_before_mm3, abs=1e-3)
        if row.volume_after_mm3 is not None:
            assert values[row.name, "translated (synthetic)"] == pytest.approx(row.volume_after_mm3, abs=1e-3)


def test_structures_that_were_found_go_out_with_codes_sides_and_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without labels of the user: the parcellation's parts as SEG, and the soft volumes as TID 1500."""
    series = dicom_series.write(tmp_path / "series")
    scan = read_volume(series)
    names = ("left hippocampus", "right hippocampus", "brain stem")
    parts = {name: np.zeros(scan.shape, np.float32) for name in names}
    for index, share in enumerate(parts.values()):
        share[2:8, 3:-3, 2 + 4 * index : 6 + 4 * index] = 0.9
    voxel = scan.grid.voxel_volume / 1000.0
    millilitres = {name: float(share.sum()) * voxel for name, share in parts.items()}
    # One of which the network is sure nowhere: its soft volume is far from that of its voxels.
    parts["left putamen"], millilitres["left putamen"] = parts["left hippocampus"] / 3.0, 9.0
    parts["left putamen"][0, 0, 0] = 0.9
    shares = Shares(parts, np.zeros(scan.shape, np.float32), scan.grid, millilitres)
    monkeypatch.setattr(structures, "find_structures", lambda _: shares)
    volumes = StructureVolumes(
        (StructureVolume("hippocampus", "both", 6.0, 5.5), StructureVolume("hippocampus", "left", 3.25, 3.0),
         StructureVolume("hippocampus", "right", 2.75, 2.5), StructureVolume("brain stem", "", 20.0, 20.5))
    )  # fmt: skip
    result = replace(translation_of(scan), given_structures=volumes)
    labels, found, rows = structures.structure_segments(result)
    write_dicom(result, SourceSeries.of(series, scan.grid), tmp_path / "out", labels, found, rows)

    read = highdicom.seg.segread(tmp_path / "out" / "segments.dcm")
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in read.SegmentSequence]
    said = {item.SegmentLabel: kind.CodeValue for item, kind in zip(read.SegmentSequence, kinds, strict=True)}
    assert said == {"brain stem": "119238007", "left hippocampus": "5366008", "right hippocampus": "5366008"}
    sides = [kind.get("SegmentedPropertyTypeModifierCodeSequence") for kind in kinds]
    assert [side and side[0].CodeMeaning for side in sides] == [None, "Left", "Right"]
    volume = read.get_volume(combine_segments=True, skip_overlap_checks=True)
    for number, name in enumerate(said, start=1):
        assert np.count_nonzero(volume.array == number) == np.count_nonzero(parts[name] > 0.5), name

    report = highdicom.sr.srread(tmp_path / "out" / "volumes.dcm")
    values = {}
    for group in report.content.get_volumetric_roi_measurement_groups():
        moment = next(i.TextValue for i in group[0].ContentSequence if i.name.meaning == "Time Point")
        (measured,) = group.get_measurements()
        (site,) = group.finding_sites
        assert (site.laterality is None) == (group.tracking_identifier == "brain stem")
        values[group.tracking_identifier, moment] = measured.value
    assert values == {
        ("left hippocampus", "source"): 3250.0, ("left hippocampus", "translated (synthetic)"): 3000.0,
        ("right hippocampus", "source"): 2750.0, ("right hippocampus", "translated (synthetic)"): 2500.0,
        ("brain stem", "source"): 20000.0, ("brain stem", "translated (synthetic)"): 20500.0,
    }  # fmt: skip
    assert_valid(tmp_path / "out")


def test_a_series_without_a_frame_of_reference_gets_no_segments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old series have none: segments that were given are refused, found ones are left out and said."""
    series = dicom_series.write(tmp_path / "series")
    for file in series.iterdir():
        one = pydicom.dcmread(file)
        del one.FrameOfReferenceUID
        one.save_as(file)
    scan = read_volume(series)
    source = SourceSeries.of(series, scan.grid)
    with pytest.raises(InputError, match="no Frame of Reference UID"):
        write_dicom(translation_of(scan), source, tmp_path / "out", labels_of(scan), NAMES)
    assert _found_segments(translation_of(scan), source) == (None, {}, [])
    assert "without DICOM segments. The DICOM series has no Frame" in capsys.readouterr().err
    write_dicom(translation_of(scan), source, tmp_path / "out")
    assert len(list((tmp_path / "out" / "translated").iterdir())) == scan.shape[0]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Left-Inf-Lat-Vent", "53118009"), ("Right-Cerebellum-Cortex", "25991003"), ("3rd-Ventricle", "49841001"),
        ("left cortex", "40146001"), ("Left-Pallidum", "14738005"), ("Accumbens-area", "427667007"),
        ("White matter", "389080008"), ("white-matter lesion", "91723000"), ("hypothalamus", "91723000"),
        ("left ventral diencephalon", "91723000"),
    ],
)  # fmt: skip
def test_codes_of_names(name: str, code: str) -> None:
    assert structure_code(name).value == code
