"""Compiled kernels against torch: random affines, odd and thin sizes, threads, modes; and what guards them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from fields_for_tests import oblique_affine, random_volume, smooth_field

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.fields import engine, threads
from SITTranslateLib.fields.engine import engine_name, engine_used
from SITTranslateLib.volume import Grid, VectorField, Volume

pytest.importorskip("numba")

SHAPES = [(17, 19, 23), (16, 16, 32), (1, 9, 8), (9, 1, 8), (9, 8, 1), (2, 3, 2), (1, 1, 1)]
#: Reading differs by the rounding of positions in float32, 3e-5 voxels, and of sums.
VOXELS = 1e-4


@dataclass
class Case:
    grid: Grid
    field: VectorField
    volume: Volume


@pytest.fixture(params=[(shape, seed) for seed, shape in enumerate(SHAPES)], ids=lambda p: "x".join(map(str, p[0])))
def case(request: pytest.FixtureRequest) -> Case:
    shape, seed = request.param
    grid = Grid(shape, oblique_affine(seed))
    # Vectors of many voxels: some rows go the near way, some the far way, some leave the grid.
    return Case(grid, smooth_field(grid, 6.0, 2.5, seed), random_volume(grid, seed))


@pytest.fixture(params=[1, 3], ids=lambda n: f"{n} threads", autouse=True)
def threads_used(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "SMALLEST_SHARE", 8)
    fields.set_threads(request.param)
    yield request.param
    fields.set_threads(None)


def both(work):
    """What compiled and torch give."""
    answers = []
    for name in ("compiled", "torch"):
        with engine_used(name):
            assert engine_name() == name
            answers.append(work())
    return answers


@pytest.mark.parametrize("steps", [None, 0, 1, 2, 7])
@pytest.mark.parametrize("time", [1.0, -0.7])
def test_exponential(case: Case, steps: int | None, time: float) -> None:
    fast, slow = both(lambda: fields.exponential(case.field, time, steps))
    np.testing.assert_allclose(fast.array, slow.array, atol=6 * VOXELS)


def test_exponential_of_short_and_of_very_long_velocities(case: Case) -> None:
    for factor in (0.0, 1e-4, 0.05, 20.0):
        velocity = VectorField(case.field.array * np.float32(factor), case.grid.affine)
        fast, slow = both(lambda v=velocity: fields.exponential(v))
        # Rounding grows with the length of the motion, as far as the grid is long.
        np.testing.assert_allclose(fast.array, slow.array, atol=VOXELS * max(1.0, 10 * factor))


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_warp_by_a_field_on_the_same_grid(case: Case, mode: str) -> None:
    fast, slow = both(lambda: fields.warp(case.volume, case.field, mode))
    # The image is white noise of 100: an error of 1e-4 voxels shows as 0.05; nearest may flip at exact halves.
    assert (np.abs(fast.array - slow.array) > 0.1).mean() < (2e-3 if mode == "nearest" else 1e-9)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("target_seed", [None, 11])
def test_warp_through_a_coarse_field(case: Case, mode: str, target_seed: int | None) -> None:
    coarse = case.grid.coarsened(2)
    sampling = smooth_field(coarse, 4.0, 4.0, 7)
    target = case.grid if target_seed is None else Grid((7, 6, 9), oblique_affine(target_seed))
    fast, slow = both(lambda: fields.warp(case.volume, sampling, mode, target))
    assert fast.shape == target.shape
    allowed = 2e-3 if mode == "nearest" else 1e-9
    assert (np.abs(fast.array - slow.array) > 0.1).mean() <= allowed
    whole = fields.warp(case.volume, fields.resample_field(sampling, target), mode)
    assert (np.abs(fast.array - whole.array) > 0.1).mean() <= allowed


def test_reading_on_another_grid(case: Case) -> None:
    parallel = case.grid.coarsened(2)
    oblique = Grid((6, 7, 5), oblique_affine(21))
    oblique.affine[:3, 3] += case.grid.centre - oblique.centre
    for target in (parallel, oblique):
        fast, slow = both(lambda t=target: fields.resample_field(case.field, t))
        np.testing.assert_allclose(fast.array, slow.array, atol=6 * VOXELS)
        fast, slow = both(lambda t=target: fields.resample_volume(case.volume, t))
        np.testing.assert_allclose(fast.array, slow.array, atol=0.1)
        # The other direction: from the coarse grid to the fine one.
        field = smooth_field(target, 3.0, 2.0)
        fast, slow = both(lambda f=field: fields.resample_field(f, case.grid))
        np.testing.assert_allclose(fast.array, slow.array, atol=6 * VOXELS)


def test_composition_and_inverse(case: Case) -> None:
    outer = smooth_field(case.grid.coarsened(2), 3.0, 3.0, 4)
    fast, slow = both(lambda: fields.compose(outer, case.field))
    np.testing.assert_allclose(fast.array, slow.array, atol=6 * VOXELS)
    gentle = VectorField(case.field.array * np.float32(0.2), case.grid.affine)
    fast, slow = both(lambda: fields.invert(gentle, 8, 0.0))
    np.testing.assert_allclose(fast.array, slow.array, atol=6 * VOXELS)
    started = fields.invert(gentle, 3, 0.0, start=fast)
    np.testing.assert_allclose(started.array, fast.array, atol=0.05)


def test_jacobian(case: Case) -> None:
    fast, slow = both(lambda: fields.jacobian(case.field))
    np.testing.assert_allclose(fast.array, slow.array, atol=1e-4 * max(1.0, float(np.abs(slow.array).max())))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_sums_by_label(dtype: type, threads_used: int) -> None:
    rng = np.random.default_rng(3)
    labels = np.sort(rng.integers(0, 101, 12_000)).astype(dtype)
    rng.shuffle(labels[:6_000])
    labels = labels.reshape(10, 30, 40)
    arrays = [rng.normal(size=labels.shape).astype(np.float32) for _ in range(3)]
    (voxels, sums), (slow_voxels, slow_sums) = both(lambda: fields.sums_by_label(labels, *arrays))
    np.testing.assert_array_equal(voxels, slow_voxels)
    np.testing.assert_allclose(sums, slow_sums, atol=1e-4)
    for label in (0, 50, 100):
        inside = labels == label
        assert voxels[label] == inside.sum()
        np.testing.assert_allclose(sums[label], [a[inside].sum(dtype=np.float64) for a in arrays], atol=1e-3)


def test_labels_that_are_none_are_refused() -> None:
    values = np.ones(4, np.float32)
    for name in engine.ENGINES:
        with engine_used(name):
            for bad in (np.array([0, 1, 2, 9]), np.array([0, -1, 2, 1])):
                with pytest.raises(InputError, match="outside 0 to 2"):
                    fields.sums_by_label(bad, values, count=3)
    with pytest.raises(InputError, match="whole numbers"):
        fields.sums_by_label(values, values)
    with pytest.raises(InputError, match="same grid"):
        fields.sums_by_label(np.zeros(3, np.int32), values)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(9, 12, 11), (1, 7, 8), (6, 1, 1)])
def test_carried_sums_are_those_of_warped_masks(shape: tuple[int, int, int], seed: int, threads_used: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid(shape, oblique_affine(seed))
    labels = rng.integers(0, 5, shape)
    turn = np.eye(4)
    turn[:3] += 0.1 * rng.normal(size=(3, 4))
    output = Grid((8, 10, 9), grid.affine @ turn)
    sampling = smooth_field(output, 3.0, 2.0, seed)
    sampling.array[0, 0, 0] = np.nan
    image = Volume(rng.normal(size=output.shape).astype(np.float32), output.affine)
    fast, slow = both(lambda: fields.carried_sums(labels, grid, sampling, image, 5))
    np.testing.assert_allclose(fast, slow, atol=1e-5)
    # Each voxel counts once; one from nowhere counts as background.
    np.testing.assert_allclose(fast.sum(axis=0), [image.array.size, image.array.sum(dtype=np.float64)], atol=1e-4)
    if min(shape) == 1:
        return
    # Room around the map stands for the background beyond it.
    wide = Grid(tuple(n + 4 for n in shape), grid.affine.copy())
    wide.affine[:3, 3] = grid.to_world(np.full(3, -2.0))
    sampling.array[0, 0, 0] = 1e6
    for label in range(1, 5):
        mask = Volume(np.pad((labels == label).astype(np.float32), 2), wide.affine)
        warped = fields.warp(mask, sampling).array.astype(np.float64)
        np.testing.assert_allclose(fast[label], [warped.sum(), (warped * image.array).sum()], atol=1e-3)


def test_carried_sums_refuse_what_does_not_fit() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    still, image = VectorField(np.zeros((4, 4, 4, 3)), np.eye(4)), Volume(np.ones((4, 4, 4)), np.eye(4))
    with pytest.raises(InputError, match="outside 0 to 2"):
        fields.carried_sums(np.full((4, 4, 4), 3), grid, still, image, 3)
    with pytest.raises(InputError, match="same grid"):
        fields.carried_sums(np.zeros((4, 4, 4), int), grid, still, Volume(np.ones((4, 4, 5)), np.eye(4)), 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
def test_no_value_reads_outside_the_volume(case: Case, bad: float) -> None:
    array = case.field.array.copy()
    array[0, 0, 0] = bad
    field = VectorField(array, case.grid.affine)
    if not np.isfinite(bad):
        with pytest.raises(InputError, match="NaN or infinite"):
            fields.exponential(field)
    # A sampling field with a bad vector damages that voxel only.
    for mode in ("bilinear", "nearest"):
        warped, clean = (fields.warp(case.volume, f, mode).array for f in (field, case.field))
        np.testing.assert_array_equal(warped.ravel()[1:], clean.ravel()[1:])
    fields.compose(field, field)
    fields.jacobian(field)


def test_one_thread_and_many_give_the_same_bits(case: Case) -> None:
    answers = []
    for count in (1, 2, 5):
        fields.set_threads(count)
        sampling = fields.exponential(case.field, -1.0)
        answers.append((sampling.array, fields.warp(case.volume, sampling).array, fields.jacobian(sampling).array))
    for other in answers[1:]:
        for first, second in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


def test_several_threads_of_the_caller_may_work_at_once(case: Case) -> None:
    expected = fields.exponential(case.field).array
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: fields.exponential(case.field).array, range(12)):
            np.testing.assert_array_equal(answer, expected)


def test_the_number_of_threads_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    fields.set_threads(None)
    monkeypatch.delenv("SITTRANSLATE_THREADS", raising=False)
    assert fields.thread_count() == torch.get_num_threads()
    monkeypatch.setenv("SITTRANSLATE_THREADS", "7")
    assert fields.thread_count() == 7
    fields.set_threads(2)
    assert fields.thread_count() == 2
    with pytest.raises(ValueError, match="1 or more"):
        fields.set_threads(0)


def run_apart(code: str, **environment: str) -> str:
    import os

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return answer.stdout.strip()


def test_loading_the_room_loads_neither_torch_nor_numba() -> None:
    code = "import sys, SITTranslateLib.fields; print([m for m in ('torch', 'numba', 'monai') if m in sys.modules])"
    assert run_apart(code) == "[]"


def test_without_numba_torch_does_the_work() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from SITTranslateLib import fields\n"
        "from SITTranslateLib.volume import VectorField\n"
        "v = VectorField(np.full((4, 5, 6, 3), 1.5), np.eye(4))\n"
        "print(np.allclose(fields.exponential(v).array, 1.5), 'torch' in sys.modules)"
    )
    assert run_apart(code) == "True True"


def test_without_a_writable_cache_kernels_still_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from SITTranslateLib.fields.compiled.compiling import kernel

    real = numba.njit

    def no_folder(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function, **options)

    monkeypatch.setattr(numba, "njit", no_folder)
    assert kernel(lambda x: x + 1)(2) == 3
