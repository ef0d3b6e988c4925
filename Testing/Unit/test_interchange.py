"""Images of other libraries go in and come out with the same voxels at the same places."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import SITTranslateLib as sit
from SITTranslateLib import notebook
from SITTranslateLib.volume import VectorField, Volume

sys.path.insert(0, str(Path(__file__).parent / "host"))
import tiny_package

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def scan() -> Volume:
    """Oblique, of three sizes along three axes, so that a swap of axes or a sign shows."""
    random = np.random.default_rng(1)
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([1.0, 1.5, 2.5])
    affine[:3, 3] = [-20.0, 11.0, 4.0]
    return Volume(random.normal(100, 20, (7, 9, 11)).astype(np.float32), affine, "scan")


def same(one: Volume, other: Volume) -> None:
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-5)


@pytest.mark.parametrize("library", ["sitk", "nibabel", "torchio", "monai"])
def test_out_and_in_again_changes_nothing(scan: Volume, library: str) -> None:
    pytest.importorskip({"sitk": "SimpleITK"}.get(library, library))
    same(Volume.of(getattr(scan, f"to_{library}")()), scan)


def test_a_point_in_space_has_the_same_value_in_every_library(scan: Volume) -> None:
    i, j, k = 8, 5, 3
    point, value = scan.grid.to_world(np.array([i, j, k])), scan.array[k, j, i]
    image = scan.to_sitk()
    assert image.GetPixel(image.TransformPhysicalPointToIndex((point * [-1, -1, 1]).tolist())) == value
    nifti = scan.to_nibabel()
    index = np.rint(np.linalg.inv(nifti.affine) @ [*point, 1])[:3].astype(int)
    assert np.asarray(nifti.dataobj)[tuple(index)] == value
    torchio = pytest.importorskip("torchio")
    tensor = scan.to_torchio()
    assert isinstance(tensor, torchio.ScalarImage)
    index = np.rint(np.linalg.inv(tensor.affine) @ [*point, 1])[:3].astype(int)
    assert tensor.data[(0, *index)] == value


def test_a_pair_is_in_the_order_of_nibabel(scan: Volume) -> None:
    same(Volume.of((scan.array.T, scan.affine)), scan)
    same(Volume.of([scan.array.T.tolist(), scan.affine.tolist()]), scan)


def test_what_wraps_a_single_image_is_opened(scan: Volume, tmp_path: Path) -> None:
    torchio = pytest.importorskip("torchio")
    data = pytest.importorskip("monai.data")
    same(Volume.of(torchio.Subject(t1=scan.to_torchio(), age=70)), scan)
    assert Volume.of(scan) is scan
    lps = scan.to_monai()
    turned = data.MetaTensor(
        np.asarray(lps), affine=np.diag([-1.0, -1, 1, 1]) @ np.asarray(lps.affine), meta={"space": "LPS"}
    )
    same(Volume.of(turned), scan)
    four = nibabel.Nifti1Image(scan.array.T[..., np.newaxis], scan.affine)
    same(Volume.of(four), scan)
    path = scan.save(tmp_path / "kept.nii.gz")
    assert Volume.of(str(path)).name == Volume.of(nibabel.load(path)).name == "kept"


def test_the_units_of_a_nifti_header_are_read(scan: Volume) -> None:
    affine = scan.affine.copy()
    affine[:3] *= 1000.0
    image = nibabel.Nifti1Image(scan.array.T, affine)
    image.header.set_xyzt_units("micron")
    same(Volume.of(image), scan)


def test_a_node_of_slicer_is_taken(scan: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the room that knows nodes, which has its own tests on real ones."""
    node = SimpleNamespace(GetIJKToRASMatrix=None)
    monkeypatch.setattr(sit, "volume_from_node", lambda given: scan if given is node else None, raising=False)
    assert Volume.of(node) is scan


WRONG: dict[str, tuple[Any, str]] = {
    "an array alone": (np.zeros((3, 3, 3)), r"give \(array, affine\)"),
    "nothing": (None, "'NoneType' is no scan"),
    "a dictionary": ({"image": 1}, "'dict' is no scan"),
    "a 2D image": (sitk.Image(4, 4, sitk.sitkFloat32), "2 dimensions"),
    "a colour image": (sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3), "3 components"),
    "a series": (nibabel.Nifti1Image(np.zeros((3, 3, 3, 5)), np.eye(4)), r"shape \(3, 3, 3, 5\)"),
    "a pair of words": (("a", "b"), "made of numbers"),
    "a flat array": ((np.zeros((3, 3)), np.eye(4)), r"shape \(3, 3\)"),
    "a small matrix": ((np.zeros((3, 3, 3)), np.eye(3)), "must be 4 x 4"),
    "no file": ("nowhere.nii.gz", "There is no file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_one_sentence(case: str) -> None:
    wrong, words = WRONG[case]
    with pytest.raises(sit.InputError, match=words) as told:
        Volume.of(wrong)
    assert str(told.value).count(". ") == 0 and str(told.value).endswith(".")


def test_several_images_of_a_subject_are_named(scan: Volume) -> None:
    torchio = pytest.importorskip("torchio")
    with pytest.raises(sit.InputError, match=r"2 intensity images \(t1, t2\)"):
        Volume.of(torchio.Subject(t1=scan.to_torchio(), t2=scan.to_torchio()))


def test_a_line_says_what_it_is(scan: Volume) -> None:
    assert re.fullmatch(r"<Volume 'scan': 11 x 9 x 7 voxels of 1 x 1.5 x 2.5 mm, [\d.]+ to [\d.]+>", repr(scan))
    field = VectorField(np.full((2, 3, 4, 3), 1.0, dtype=np.float32), np.eye(4))
    assert repr(field) == "<VectorField: 4 x 3 x 2 vectors, up to 1.73 mm>"


def test_the_middle_slice_lies_as_radiologists_look_at_it() -> None:
    """A bright corner at the person's right, in front: above and left, whatever the order of the axes."""
    values = np.zeros((5, 6, 7), dtype=np.float32)
    values[2, 5, 6] = 9.0
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    picture, aspect = notebook.middle_slice(values, affine)
    assert picture.shape == (6, 7) and aspect == pytest.approx(6 / 7) and picture[0, 0] == 9.0
    turned = np.zeros((4, 4))
    turned[0, 2], turned[1, 0], turned[2, 1], turned[3, 3] = -1.0, 1.0, 1.0, 1.0
    swapped = np.ascontiguousarray(values.transpose(2, 0, 1)[::-1])
    np.testing.assert_array_equal(notebook.middle_slice(swapped, turned)[0], picture)


def test_every_line_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("torchio", "monai"):
        pytest.importorskip(library)
    tiny_package.write(tmp_path / "models")
    tiny_package.head().save(tmp_path / "scan.nii.gz")
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, Any] = {}
    for block in blocks:
        # Of a phantom, for a model with random weights.
        code = block.replace("brain-ageing-t1w", tiny_package.NAME).replace("age=+10", "age=+10, force=True")
        exec(compile(code, PAGE.name, "exec"), names)
    printed = capsys.readouterr().out
    assert "<Translation of 'scan' model: tiny-ageing 0.1.0 (age +10" in printed and "An array alone" in printed
    result = names["result"]
    assert names["half_way"].grid.matches(result.source.grid)
    html = result._repr_html_()
    assert html.count("<img") == 4 and "recomposition error" in html and "<script" not in html
    assert set(result.to_torchio()) >= {"source", "translated", "jacobian", "intensity_change"}
    back = sit.read_translation("result")
    np.testing.assert_allclose(back.translated.array, result.translated.array, atol=1e-3)
    changed = result.source.with_array(result.source.array + result.intensity_change.array)
    again = sitk.Resample(changed.to_sitk(), names["transform"])
    inside = (slice(4, -4),) * 3
    error = np.abs(sitk.GetArrayFromImage(again) - result.translated.array)[inside]
    assert float(error.max()) < 0.05
