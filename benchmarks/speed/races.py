"""What is raced, by name: our way, the peer's way, and how far the two answers may differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK

from benchmarks.speed import peers
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Race
from SITTranslateLib import fields
from SITTranslateLib.volume import VectorField, Volume

Array = Any


def distances(ours: Array, theirs: Array) -> dict[str, float]:
    """Mean, 99th percentile and maximum of the distance between two displacements."""
    length = np.linalg.norm(ours - theirs, axis=-1)
    return {"mean": float(length.mean()), "p99": float(np.percentile(length, 99)), "max": float(length.max())}


def half_resolution_sampling(inputs: Inputs) -> VectorField:
    """``exp(-v)`` on a grid of half the resolution."""
    return fields.exponential(fields.resample_field(inputs.velocity, inputs.grid.coarsened(2)), -1.0)


def sit_layer(inputs: Inputs) -> list[Race]:
    """exp and warp: the whole output layer of SIT, from the full-resolution velocity to the translated scan."""

    def ours() -> Volume:
        return fields.warp(inputs.image, half_resolution_sampling(inputs), grid=inputs.grid)

    def exact() -> Volume:
        return fields.warp(inputs.image, fields.exponential(inputs.velocity, -1.0, peers.SQUARINGS))

    theirs = inputs.inside(peers.from_voxels(peers.monai_integrator(inputs, "zeros")()))
    ours_field = fields.resample_field(half_resolution_sampling(inputs), inputs.grid).array
    half = distances(inputs.inside(ours_field), theirs)
    full = distances(inputs.inside(fields.exponential(inputs.velocity, -1.0, peers.SQUARINGS).array), theirs)

    def details(figures: dict[str, float]) -> Callable[[Any, Any], dict[str, Any]]:
        return lambda *_: {f"{name}_voxels": value for name, value in figures.items()}

    # Read the velocity and the scan, write the scan.
    least = inputs.voxels * 4 * 5
    common: dict[str, Any] = {"shape": inputs.grid.shape, "moved_bytes": least}
    layer = peers.monai_layer(inputs)
    return [
        Race("sit-layer", "MONAI DVF2DDF + Warp", ours=ours, peer=layer, error=lambda *_: half["max"],
             tolerance=0.5, unit="voxels of the sampling field (maximum)", goal=30,
             details=details(half), **common),
        Race("sit-layer", "plain torch at half resolution (as voxelmorph)", ours=ours,
             peer=peers.torch_half_layer(inputs), error=lambda *_: half["max"], tolerance=0.5,
             unit="voxels of the sampling field (maximum)", details=details(half), **common),
        Race("sit-layer-exact", "MONAI DVF2DDF + Warp", ours=exact, peer=layer, error=lambda *_: full["max"],
             tolerance=1e-3, unit="voxels of the sampling field (maximum)", goal=10, details=details(full), **common),
    ]  # fmt: skip


#: Points and steps of the reference that answers of exp are held against.
POINTS, STEPS = 5000, 64


def fine_steps(inputs: Inputs) -> tuple[Array, Array]:
    """Voxels ``(N, 3)`` (k, j, i) and their displacement by ``exp(-v)``, mm: paths in Runge-Kutta steps of 1/64."""
    m = inputs.margin
    generator = np.random.default_rng(3)
    voxels = np.stack([generator.integers(m, n - m, POINTS) for n in inputs.grid.shape], axis=-1)
    start = inputs.grid.to_world(voxels[:, ::-1].astype(float))
    place = start.copy()

    def slope(points: Array) -> Array:
        return -fields.sample_field(inputs.velocity, points) / STEPS

    for _ in range(STEPS):
        first = slope(place)
        second = slope(place + first / 2)
        third = slope(place + second / 2)
        place += (first + 2 * second + 2 * third + slope(place + third)) / 6
    return voxels, place - start


def exp_full(inputs: Inputs) -> list[Race]:
    """exp at full resolution, no approximation; both errors are told against paths in fine steps."""
    (k, j, i), true = (found := fine_steps(inputs))[0].T, found[1]

    def details(ours: VectorField, theirs: Array) -> dict[str, Any]:
        sides = {"ours": ours.array, "peer": peers.from_voxels(theirs)}
        return {f"{who}_mean_mm": distances(a[k, j, i], true)["mean"] for who, a in sides.items()}

    return [
        Race(
            "exp-full",
            "MONAI DVF2DDF (border repeated)",
            inputs.grid.shape,
            ours=lambda: fields.exponential(inputs.velocity, -1.0, peers.SQUARINGS),
            peer=peers.monai_integrator(inputs, "border"),
            error=lambda a, b: distances(a.array, peers.from_voxels(b))["max"],
            tolerance=1e-3,
            unit="voxels (maximum)",
            goal=10,
            moved_bytes=inputs.voxels * 4 * 6,
            details=details,
        ),
        Race(
            "exp-half",
            "MONAI DVF2DDF (border repeated), full resolution",
            inputs.grid.shape,
            ours=lambda: fields.resample_field(half_resolution_sampling(inputs), inputs.grid),
            peer=peers.monai_integrator(inputs, "border"),
            error=lambda a, b: distances(inputs.inside(a.array), inputs.inside(peers.from_voxels(b)))["max"],
            tolerance=0.6,
            unit="mm (maximum)",
            moved_bytes=inputs.voxels * 4 * 6,
            details=details,
        ),
    ]


def jacobian(inputs: Inputs) -> list[Race]:
    """The Jacobian map of a motion."""
    motion = fields.exponential(inputs.velocity)
    image = peers.itk_field(motion)
    common: dict[str, Any] = {
        "shape": inputs.grid.shape, "ours": lambda: fields.jacobian(motion), "tolerance": 1e-4,
        "unit": "none (maximum, border left out)", "moved_bytes": inputs.voxels * 4 * 4,
    }  # fmt: skip

    def error(ours: Volume, theirs: Array) -> float:
        array = theirs if isinstance(theirs, np.ndarray) else SimpleITK.GetArrayViewFromImage(theirs)
        return float(np.abs((ours.array - array)[1:-1, 1:-1, 1:-1]).max())

    return [
        Race("jacobian", "SimpleITK DisplacementFieldJacobianDeterminant",
             peer=lambda: SimpleITK.DisplacementFieldJacobianDeterminant(image), error=error, goal=3, **common),
        Race("jacobian", "NumPy gradient + det", peer=lambda: peers.numpy_jacobian(motion), error=error, goal=20,
             **common),
    ]  # fmt: skip


def inverse(inputs: Inputs) -> list[Race]:
    """The inverse of a motion whose velocity is known; the residual must not be larger than the peer's."""
    motion = fields.exponential(inputs.velocity, 1.0, peers.SQUARINGS)
    image = peers.itk_field(motion)

    def residual(answer: VectorField) -> dict[str, float]:
        length = inputs.inside(fields.compose(motion, answer).magnitude())
        return {"mean": float(length.mean()), "p99": float(np.percentile(length, 99)), "max": float(length.max())}

    def ours() -> VectorField:
        return fields.invert(motion, 2, 0.0, half_resolution_sampling(inputs))

    def flow_only() -> VectorField:
        return fields.resample_field(half_resolution_sampling(inputs), inputs.grid)

    def theirs() -> SimpleITK.Image:
        return SimpleITK.InvertDisplacementField(image)

    peer_residual = residual(VectorField(peers.from_itk(theirs()), inputs.grid.affine))

    def details(answer: VectorField, _: Any) -> dict[str, Any]:
        return {f"ours_{k}_mm": v for k, v in residual(answer).items()} | {
            f"peer_{k}_mm": v for k, v in peer_residual.items()
        }

    common: dict[str, Any] = {
        "peer_name": "SimpleITK InvertDisplacementField", "shape": inputs.grid.shape, "peer": theirs,
        "error": lambda a, _: residual(a)["mean"], "details": details, "moved_bytes": inputs.voxels * 4 * 6,
    }  # fmt: skip
    return [
        Race("inverse", ours=ours, tolerance=max(peer_residual["mean"], 1e-5), goal=15,
             unit="mm, mean residual (tolerance: the peer's own)", **common),
        Race("inverse-flow-only", ours=flow_only, tolerance=0.3,
             unit="mm, mean residual of exp(-v) at half resolution, not polished", **common),
    ]  # fmt: skip


def segment_table(inputs: Inputs, segments: int = 100) -> list[Race]:
    """Voxels and five sums (motion, Jacobian, intensity) of 100 segments."""
    rng = np.random.default_rng(1)
    block = max(1, min(inputs.grid.shape) // 12)
    coarse = rng.integers(0, segments, tuple(-(-n // block) for n in inputs.grid.shape)).astype(np.int32)
    labels = np.kron(coarse, np.ones((block,) * 3, np.int32))
    labels = np.ascontiguousarray(labels[: inputs.grid.shape[0], : inputs.grid.shape[1], : inputs.grid.shape[2]])
    arrays = [np.ascontiguousarray(inputs.velocity.array[..., n]) for n in range(3)]
    arrays += [fields.jacobian(inputs.velocity).array, inputs.image.array]

    def ours() -> Array:
        voxels, sums = fields.sums_by_label(labels, *arrays, count=segments)
        return np.column_stack((voxels, sums))

    return [
        Race(
            "segment-table",
            "NumPy, a mask a segment",
            inputs.grid.shape,
            ours=ours,
            peer=lambda: peers.loop_over_masks(labels, arrays, segments),
            error=lambda a, b: float(np.abs(a - b).max() / np.abs(b).max()),
            tolerance=1e-6,
            unit="of the largest sum",
            goal=10,
            moved_bytes=inputs.voxels * 4 * 6,
        )
    ]


RACES: dict[str, Callable[[Inputs], list[Race]]] = {
    "sit-layer": sit_layer,
    "exp-full": exp_full,
    "jacobian": jacobian,
    "inverse": inverse,
    "segment-table": segment_table,
}
