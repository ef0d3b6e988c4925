"""A random person from a subject: the subject's position for each point of the simulated scan.

The map is ``psi(p) = flow(-t) o smooth o affine (p)``, RAS mm to RAS mm. ``flow(-t)`` is the subject's own ageing flow,
which gives smaller or larger ventricles. A velocity ``v`` of the subject becomes ``(D psi)^-1 v(psi(p))``, the
velocity whose flow is the subject's flow seen through ``psi``; the ageing flow commutes with itself, so only the
affine and smooth parts enter its transport.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.fields import tensors
from SITTranslateLib.simulation.subject import Subject
from SITTranslateLib.volume import Grid, VectorField


@dataclass(frozen=True)
class DeformationRange:
    """Ranges of the random deformation.

    Attributes:
        rotation_degrees, shift_mm: each axis within plus or minus this.
        scale: each axis within this interval.
        smooth_mm: largest length of the smooth random velocity, 0 to this.
        smooth_sigma_mm: its smoothness (Gaussian sigma).
        years: ventricle size of this many years younger or older.
        flip: probability of exchanging left and right.
    """

    rotation_degrees: float = 15.0
    shift_mm: float = 10.0
    scale: tuple[float, float] = (0.85, 1.15)
    smooth_mm: float = 7.0
    smooth_sigma_mm: float = 16.0
    years: float = 15.0
    flip: float = 0.5


@dataclass(frozen=True, eq=False)
class Deformation:
    """Positions of a coarse grid in the subject, and the velocity of ageing there.

    Attributes:
        displacement: ``psi(p) - p`` in mm on the coarse grid.
        velocity: mm per decade, RAS, of the motion, on the coarse grid.
        flipped: whether left and right are exchanged.
    """

    displacement: VectorField
    velocity: VectorField
    flipped: bool

    @property
    def affine(self) -> NDArray[np.float64]:
        return self.velocity.affine


def no_deformation(subject: Subject, coarse: Grid) -> Deformation:
    """The subject as it is."""
    zero = VectorField(np.zeros((*coarse.shape, 3), np.float32), coarse.affine)
    return Deformation(zero, fields.resample_field(subject.velocity, coarse), False)


def random_deformation(
    subject: Subject, coarse: Grid, rng: np.random.Generator, limits: DeformationRange
) -> Deformation:
    """Draw a person from a subject, on a coarse grid (about 4 mm)."""
    flipped = bool(rng.random() < limits.flip)
    matrix = _random_matrix(rng, limits, flipped)
    shift = rng.uniform(-limits.shift_mm, limits.shift_mm, 3)
    amplitude = float(rng.uniform(0.0, limits.smooth_mm))
    smooth = fields.exponential(_smooth_velocity(coarse, amplitude, limits.smooth_sigma_mm, rng))
    years = float(rng.uniform(-limits.years, limits.years))

    points = _points(coarse)
    placed = (points + smooth.array - subject.centre - shift) @ matrix.T + subject.centre
    displacement = torch.from_numpy((placed - points).astype(np.float32)).permute(3, 0, 1, 2)[None]
    gradient = tensors.gradient(displacement, coarse.axes)[0].permute(2, 3, 4, 0, 1) + torch.eye(3)
    velocity = _sample(subject.velocity, placed)
    transported = torch.linalg.solve(gradient, torch.from_numpy(velocity)[..., None])[..., 0].numpy()
    if years != 0.0:
        flow = fields.exponential(subject.coarse_velocity, -years / 10.0)
        placed = placed + _sample(flow, placed)
    return Deformation(
        VectorField((placed - points).astype(np.float32), coarse.affine),
        VectorField(transported, coarse.affine),
        flipped,
    )


def _random_matrix(rng: np.random.Generator, limits: DeformationRange, flipped: bool) -> NDArray[np.float64]:
    a, b, c = np.deg2rad(rng.uniform(-limits.rotation_degrees, limits.rotation_degrees, 3))
    about_r = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_a = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_s = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    scale = np.diag(rng.uniform(*limits.scale, 3)) @ np.diag([-1.0 if flipped else 1.0, 1.0, 1.0])
    return np.asarray(np.linalg.inv(about_r @ about_a @ about_s @ scale))


def _smooth_velocity(grid: Grid, amplitude: float, sigma_mm: float, rng: np.random.Generator) -> VectorField:
    noise = VectorField(rng.standard_normal((*grid.shape, 3), dtype=np.float32), grid.affine)
    smooth = fields.band_limit(noise, sigma_mm)
    largest = float(smooth.magnitude().max())
    return VectorField(smooth.array * np.float32(amplitude / max(largest, 1e-9)), grid.affine)


def _points(grid: Grid) -> NDArray[np.float64]:
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return grid.to_world(np.stack((i, j, k), axis=-1))


def _sample(field: VectorField, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """The field at RAS points ``(K, J, I, 3)``; zero vectors on its border make it zero outside."""
    return fields.sample_field(field, points.reshape(-1, 3)).reshape(points.shape).astype(np.float32)
