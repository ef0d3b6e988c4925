"""Motions of other programs, in and out: each file is applied by the program it is for, and the images compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import write_volume
from SITTranslateLib.files.transforms import read_transform, write_transform
from SITTranslateLib.volume import Grid, VectorField, Volume

SHAPE = (20, 24, 28)


@pytest.fixture(scope="module")
def scan() -> Volume:
    """Oblique and anisotropic, smooth enough that interpolation of several programs agrees."""
    angle = 0.25
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([1.5, 2.0, 2.5])
    affine[:3, 3] = [-18.0, -25.0, -21.0]
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    values = 100 * np.exp(-2 * (i**2 + j**2 + k**2)) + 20 * np.sin(3 * i) * np.cos(2 * j) + 5 * k
    return Volume(values.astype(np.float32), affine, "scan")


@pytest.fixture(scope="module")
def sampling(scan: Volume) -> VectorField:
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    bump = np.exp(-3 * (i**2 + j**2 + k**2))[..., None]
    return VectorField((bump * np.array([2.0, -1.5, 1.0])).astype(np.float32), scan.affine)


@pytest.fixture(scope="module")
def moved(scan: Volume, sampling: VectorField) -> np.ndarray:
    return fields.warp(scan, sampling).array


INSIDE = (slice(3, -3),) * 3


def agree(found: np.ndarray, wanted: np.ndarray, tolerance: float = 0.01) -> None:
    assert float(np.abs(found - wanted)[INSIDE].max()) < tolerance


@pytest.mark.parametrize("name", ["motion.h5", "motion.tfm", "motion_Warp.nii.gz", "motion.nrrd", "motion.mha"])
def test_simpleitk_applies_it_and_it_is_read_back(
    scan: Volume, sampling: VectorField, moved: np.ndarray, tmp_path: Path, name: str
) -> None:
    path = write_transform(sampling, tmp_path / name)
    if name.endswith((".h5", ".tfm")):
        transform = sitk.ReadTransform(str(path))
        assert transform.GetName() == "CompositeTransform"
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    image = scan.to_sitk()
    agree(sitk.GetArrayFromImage(sitk.Resample(image, image, transform)), moved)
    back = read_transform([path], scan.grid)
    np.testing.assert_allclose(back.array[INSIDE], sampling.array[INSIDE], atol=1e-4)


@pytest.mark.parametrize("name", ["motion.h5", "motion_Warp.nii.gz"])
def test_ants_applies_it(scan: Volume, sampling: VectorField, moved: np.ndarray, tmp_path: Path, name: str) -> None:
    ants = pytest.importorskip("ants", reason="ANTs is not installed: pip install '.[peers]'")
    path = write_transform(sampling, tmp_path / name)
    write_volume(scan, tmp_path / "scan.nii.gz")
    image = ants.image_read(str(tmp_path / "scan.nii.gz"))
    found = ants.apply_transforms(fixed=image, moving=image, transformlist=[str(path)], interpolator="linear")
    agree(found.numpy().T, moved, 0.02)


def test_a_warp_and_an_affine_of_ants_are_read_in_its_own_order(
    scan: Volume, sampling: VectorField, tmp_path: Path
) -> None:
    ants = pytest.importorskip("ants", reason="ANTs is not installed: pip install '.[peers]'")
    warp = write_transform(sampling, tmp_path / "x1Warp.nii.gz")
    affine = tmp_path / "x0GenericAffine.mat"
    matrix = sitk.AffineTransform(3)
    matrix.SetMatrix([1.02, 0.03, 0, -0.02, 0.99, 0.01, 0, 0, 1.01])
    matrix.SetTranslation([1.5, -0.7, 0.4])
    sitk.WriteTransform(matrix, str(affine))
    write_volume(scan, tmp_path / "scan.nii.gz")
    image = ants.image_read(str(tmp_path / "scan.nii.gz"))
    wanted = ants.apply_transforms(fixed=image, moving=image, transformlist=[str(warp), str(affine)])
    agree(fields.warp(scan, read_transform([warp, affine], scan.grid)).array, wanted.numpy().T, 0.02)
    other = fields.warp(scan, read_transform([affine, warp], scan.grid)).array
    assert float(np.abs(other - wanted.numpy().T)[INSIDE].max()) > 0.1, "the order matters"


def test_nitransforms_applies_it(scan: Volume, sampling: VectorField, moved: np.ndarray, tmp_path: Path) -> None:
    nonlinear = pytest.importorskip("nitransforms.nonlinear", reason="install with: pip install '.[transforms]'")
    from nitransforms.resampling import apply

    path = write_transform(sampling, tmp_path / "motion_Warp.nii.gz")
    image = scan.to_nibabel()
    field = nonlinear.load(str(path), fmt="itk")
    found = apply(field, image, reference=image, order=1)
    agree(np.asarray(found.dataobj).T, moved, 0.02)


def test_slicers_grid_transform_says_the_same(scan: Volume, sampling: VectorField, tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install '.[scene]'")
    path = write_transform(sampling, tmp_path / "motion.h5")
    storage, node = slicer.vtkMRMLTransformStorageNode(), slicer.vtkMRMLTransformNode()
    scene = slicer.vtkMRMLScene()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    from_parent = node.GetTransformFromParent()
    for index in ([14, 12, 10], [9, 15, 7], [20, 6, 13]):
        point = scan.grid.to_world(np.array(index, dtype=float))
        wanted = point + sampling.array[index[2], index[1], index[0]]
        np.testing.assert_allclose(from_parent.TransformPoint(point), wanted, atol=2e-2)


def shift(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_matrix_of_greedy_is_in_ras(scan: Volume, tmp_path: Path) -> None:
    path = shift(tmp_path / "affine.mat", "1 0 0 2.5\n0 1 0 -1\n0 0 1 0.5\n0 0 0 1\n")
    field = read_transform([path], scan.grid)
    np.testing.assert_allclose(
        field.array.reshape(-1, 3), np.tile([2.5, -1.0, 0.5], (field.array[..., 0].size, 1)), atol=1e-5
    )


def test_freesurfers_matrix_goes_from_the_destination_to_the_source(scan: Volume, tmp_path: Path) -> None:
    pytest.importorskip("nitransforms", reason="install with: pip install '.[transforms]'")
    volume = (
        "valid = 1  # volume info valid\nfilename = {}.mgz\nvolume = 256 256 256\nvoxelsize = 1 1 1\n"
        "xras   = -1 0 0\nyras   = 0 0 -1\nzras   = 0 1 0\ncras   = 0 0 0\n"
    )
    path = shift(
        tmp_path / "x.lta",
        "type      = 1 # LINEAR_RAS_TO_RAS\nnxforms   = 1\nmean      = 0 0 0\nsigma     = 1\n1 4 4\n"
        "1 0 0 3\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
        f"src volume info\n{volume.format('a')}dst volume info\n{volume.format('b')}",
    )
    field = read_transform([path], scan.grid)
    np.testing.assert_allclose(field.array[3, 4, 5], [-3.0, 0.0, 0.0], atol=1e-5)


BAD = {
    "elastix": ("TransformParameters.0.txt", '(Transform "BSplineTransform")\n', "transformix"),
    "freesurfer's warp": ("x.m3z", "..", "mri_warp_convert"),
    "no transform": ("x.h5", "nothing", "cannot be read as a transform"),
    "of no kind": ("x.docx", "nothing", "no known kind"),
    "a matrix with numbers that are none": ("x.mat", "1 0 0 nan\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_read_is_told_in_one_sentence(scan: Volume, tmp_path: Path, case: str) -> None:
    name, text, words = BAD[case]
    with pytest.raises(InputError, match=words):
        read_transform([shift(tmp_path / name, text)], scan.grid)


def test_what_is_not_written_is_told_and_nothing_is_left(sampling: VectorField, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no transform is written to"):
        write_transform(sampling, tmp_path / "x.lta")
    with pytest.raises(InputError, match="cannot be written"):
        write_transform(sampling, tmp_path / "no" / "x.h5")
    assert not list(tmp_path.iterdir())


def test_beyond_the_field_nothing_moves(sampling: VectorField, tmp_path: Path) -> None:
    path = write_transform(sampling, tmp_path / "x.nrrd")
    far = Grid((8, 8, 8), np.diag([1.0, 1.0, 1.0, 1.0]) + np.array([[0, 0, 0, 500.0], [0] * 4, [0] * 4, [0] * 4]))
    assert not read_transform([path], far).array.any()
