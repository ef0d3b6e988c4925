"""Labels of any integer type stay apart, from the file to the table, and tables are as long as there are labels."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SITTranslateLib.app.label_maps import read_label_map
from SITTranslateLib.errors import InputError
from SITTranslateLib.traceability import segments
from SITTranslateLib.traceability.overlap import agreement
from SITTranslateLib.volume import LabelMap


def written(folder: Path, values: tuple[int, int], kind: type, ending: str) -> Path:
    array = np.zeros((12, 16, 16), kind)
    array[3:9, 3:13, 3:8], array[3:9, 3:13, 8:13] = values
    path = folder / f"labels{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return path


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize(
    ("values", "kind"),
    [((1, 2), np.uint8), ((1001, 2035), np.int16), ((614454276, 614454277), np.uint32),
     ((614454276, 614454277), np.int64), ((16777216, 16777217), np.int32), ((12, 3000000000), np.uint32),
     ((2**53 - 1, 2**53), np.int64), ((1001, 1002), np.float32)],
)  # fmt: skip
def test_labels_stay_apart(values: tuple[int, int], kind: type, ending: str, tmp_path: Path) -> None:
    labels = read_label_map(str(written(tmp_path, values, kind, ending)))
    assert labels is not None
    found, dense, present = segments._dense_labels(labels)
    assert present.tolist() == sorted(values) and found.tolist() == [0, *sorted(values)]
    np.testing.assert_array_equal(found[dense], np.asarray(labels.array, np.int64))
    assert np.count_nonzero(labels.array == values[0]) == 6 * 10 * 5


def test_labels_beyond_double_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"beyond 2\^53"):
        read_label_map(str(written(tmp_path, (2**53 + 1, 5), np.int64, ".nrrd")))


def test_memory_goes_with_the_voxels_and_not_with_the_largest_label() -> None:
    array = np.zeros((12, 16, 16), np.int64)
    array[3:9, 3:13, 3:8], array[4, 4, 4] = 1, 2_000_000_000
    labels = LabelMap(array, np.eye(4), "labels")  # type: ignore[arg-type]
    tracemalloc.start()
    assert segments._dense_labels(labels)[2].tolist() == [1, 2_000_000_000]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_overlap_is_that_of_each_label() -> None:
    carried = np.zeros((8, 9, 10), np.int64)
    carried[2:6, 2:6, 2:4], carried[2:6, 2:6, 4:8] = 614454276, 614454277
    drawn = np.roll(carried, 1, axis=1)
    found = agreement(carried, LabelMap(drawn, np.eye(4), "drawn"), [614454276, 614454277, 5])  # type: ignore[arg-type]
    for label in (614454276, 614454277):
        assert found[label] == (pytest.approx(0.75), 1.0)
    assert found[5] == (None, None)
