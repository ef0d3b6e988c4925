"""Image layout of external networks: axes, slices and value range, and the inverse.

A card's system parameters say it, so that a network made elsewhere sees what it was trained on and gives its answer
on this project's grid (axes along +S, +A, +R for ``K, J, I``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from SITTranslateLib.errors import PackageError
from SITTranslateLib.systems.network import Progress

#: Directions of increasing index of our axes ``K, J, I``; and which axis each letter lies along.
OURS = "SAR"
_AXIS = {"S": 0, "I": 0, "A": 1, "P": 1, "R": 2, "L": 2}
DIMENSIONS = ("2d", "2.5d", "3d")
#: Slices that a 2D network gets at a time, where it takes any number.
SLICES_AT_A_TIME = 8
#: Weights of overlapping patches, as MONAI's ``SlidingWindowInferer`` names them.
WEIGHTINGS = ("gaussian", "constant")


@dataclass(frozen=True)
class ForeignImages:
    """Image layout of a network.

    Attributes:
        dimensions: ``3d``; ``2d``, a slice at a time; ``2.5d``, a slice with its neighbours as channels.
        axes: where the indices grow, slowest first: ``SPL`` is axial slices with rows to the back and columns to
            the left, as viewers show them; ours is ``SAR``.
        neighbours: of 2.5D, how many slices (odd); the edge slices stand in for those beyond.
        low, high: what the network wants for our 0 and 1.
        output_low, output_high: what it gives for our 0 and 1; as ``low`` and ``high`` if not given.
        clip: cut values beyond 0 and 1 first, as most were trained.
        patch: size of the patches in voxels along ``axes`` (3D) or of rows and columns (slices); -1 for the whole
            axis. Empty: the network takes the whole grid.
        overlap: of neighbouring patches, as a part of their size, 0 to below 1.
        weighting: of voxels that several patches cover: ``gaussian`` (less towards the edges of a patch) or
            ``constant``.
    """

    dimensions: str = "3d"
    axes: str = OURS
    neighbours: int = 1
    low: float = 0.0
    high: float = 1.0
    output_low: float | None = None
    output_high: float | None = None
    clip: bool = True
    patch: Sequence[int] = ()
    overlap: float = 0.5
    weighting: str = "gaussian"

    def __post_init__(self) -> None:
        if self.dimensions not in DIMENSIONS:
            raise PackageError(f"The card's dimensions '{str(self.dimensions)[:20]}' are not {', '.join(DIMENSIONS)}.")
        if not isinstance(self.axes, str) or sorted(_AXIS.get(a, -1) for a in self.axes) != [0, 1, 2]:
            text = f"The card's axes '{str(self.axes)[:20]}' are not three letters, one each of SI, AP and RL."
            raise PackageError(text)
        odd = isinstance(self.neighbours, int) and 1 <= self.neighbours <= 63 and self.neighbours % 2 == 1
        if not odd or (self.neighbours > 1) != (self.dimensions == "2.5d"):
            raise PackageError("The card's neighbours must be an odd number above 1 for 2.5d, and 1 otherwise.")
        ends = (self.low, self.high, *self.output_ends)
        if not all(isinstance(e, (int, float)) for e in ends) or ends[0] >= ends[1] or ends[2] >= ends[3]:
            raise PackageError("The card's low ends of the value range are not below the high ends.")
        self._check_patch()

    def _check_patch(self) -> None:
        count = 3 if self.dimensions == "3d" else 2
        whole = isinstance(self.patch, (list, tuple)) and all(type(size) is int for size in self.patch)
        if not whole or len(self.patch) not in (0, count) or any(size < 4 and size != -1 for size in self.patch):
            raise PackageError(f"The card's patch is not a list of {count} sizes in voxels, 4 or more (-1: all).")
        number = isinstance(self.overlap, (int, float)) and not isinstance(self.overlap, bool)
        if not number or not 0.0 <= self.overlap <= 0.9:
            raise PackageError("The card's overlap of patches is not a number from 0 to 0.9.")
        if self.weighting not in WEIGHTINGS:
            raise PackageError(f"The card's weighting of patches is not one of {', '.join(WEIGHTINGS)}.")

    @property
    def output_ends(self) -> tuple[float, float]:
        low = self.low if self.output_low is None else self.output_low
        return low, self.high if self.output_high is None else self.output_high

    @property
    def channels(self) -> int:
        return self.neighbours

    def check_channels(self, count: object) -> None:
        """Refuse a network that takes several contrasts at once.

        Raises:
            PackageError: it has more channels in than a scan gives it.
        """
        if isinstance(count, int) and count > self.channels:
            raise PackageError(
                f"The network takes {count} channels and a scan gives it {self.channels}: networks of several "
                "contrasts at once are not run; use one of a single contrast, or 2.5d for neighbouring slices."
            )

    def input_shape(self, grid: tuple[int, int, int]) -> tuple[int, ...]:
        """Channels and spatial sizes of the network's input for our grid ``(K, J, I)``."""
        sizes = tuple(grid[_AXIS[letter]] for letter in self.axes)
        seen = sizes if self.dimensions == "3d" else sizes[1:]
        return (self.channels, *(self._window(seen) if self.patch else seen))

    def _window(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes of a patch of an image of these sizes."""
        return tuple(size if p < 0 else p for p, size in zip(self.patch, sizes, strict=True))

    def translate(self, image: Tensor, network: Callable[[Tensor], Tensor], progress: Progress | None = None) -> Tensor:
        """Our normalised image ``(1, 1, K, J, I)`` through the network, back on our grid and in our units.

        Raises:
            PackageError: the network gives another shape than it was given.
        """
        turned = self._turned(image[0, 0])
        if self.clip:
            turned = turned.clamp(0.0, 1.0)
        turned = turned * (self.high - self.low) + self.low
        if self.dimensions == "3d":
            answer = self._answer(turned[None, None], network, progress)[0, 0]
        else:
            answer = self._by_slices(turned, network, progress)
        low, high = self.output_ends
        return self._turned_back((answer - low) / (high - low))[None, None]

    def _answer(self, images: Tensor, network: Callable[[Tensor], Tensor], progress: Progress | None = None) -> Tensor:
        """The network's answer to images ``(n, channels, ...)``, patch by patch if the card asks for it."""
        if not self.patch:
            return _checked(network(images), images)
        from monai.inferers.utils import sliding_window_inference

        sizes = images.shape[2:]
        window = self._window(sizes)
        # As MONAI counts them; only for the progress.
        steps = [max(1, int(w * (1 - self.overlap))) for w in window]
        count = math.prod(max(0, math.ceil((n - w) / s)) + 1 for n, w, s in zip(sizes, window, steps, strict=True))
        done = 0

        def run(patches: Tensor) -> Tensor:
            nonlocal done
            answer = _checked(network(patches), patches)
            done += 1
            if progress is not None:
                progress(min(1.0, done / count))
            return answer

        batch = 1 if self.dimensions == "3d" else SLICES_AT_A_TIME
        answer: Tensor = sliding_window_inference(
            images, window, batch, run, overlap=self.overlap, mode=self.weighting, cval=self.low
        )  # type: ignore[assignment]
        return answer

    def _by_slices(self, turned: Tensor, network: Callable[[Tensor], Tensor], progress: Progress | None) -> Tensor:
        half = self.neighbours // 2
        padded = functional.pad(turned[None, None], (0, 0, 0, 0, half, half), mode="replicate")[0, 0]
        stacks = padded.unfold(0, self.neighbours, 1).movedim(-1, 1)  # (slices, neighbours, rows, columns)
        answers = []
        for first in range(0, len(stacks), SLICES_AT_A_TIME):
            part = stacks[first : first + SLICES_AT_A_TIME].contiguous()
            answers.append(self._answer(part, network)[:, 0])
            if progress is not None:
                progress(min(1.0, (first + len(part)) / len(stacks)))
        return torch.cat(answers)

    def _turned(self, image: Tensor) -> Tensor:
        order = [_AXIS[letter] for letter in self.axes]
        return image.permute(order).flip(self._flipped()).contiguous()

    def _turned_back(self, image: Tensor) -> Tensor:
        order = [_AXIS[letter] for letter in self.axes]
        return image.flip(self._flipped()).permute([order.index(axis) for axis in range(3)]).contiguous()

    def _flipped(self) -> list[int]:
        return [place for place, letter in enumerate(self.axes) if letter not in OURS]


def _checked(answer: Tensor, given: Tensor) -> Tensor:
    wanted = (given.shape[0], 1, *given.shape[2:])
    if tuple(answer.shape) != wanted:
        raise PackageError(
            f"The network gives an image of shape {tuple(answer.shape)} where {wanted} was expected; "
            "a translation has one channel and the size of its source."
        )
    return answer
