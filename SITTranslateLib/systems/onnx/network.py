"""An ONNX model as a translation network: 2D, 2.5D or 3D, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from SITTranslateLib.errors import PackageError
from SITTranslateLib.systems.image_layout import ForeignImages
from SITTranslateLib.systems.network import NetworkOutput, Progress
from SITTranslateLib.systems.onnx.graph import NOT_INSTALLED, Graph, read_graph
from SITTranslateLib.systems.onnx.process import OnnxProcess

#: Maps that a 3D network may give in addition to the image, by parameter of the card: channels.
_MAPS = {"velocity": 3, "displacement": 3, "intensity_change": 1}


class OnnxNetwork(nn.Module):
    """Runs one ONNX file; the arguments other than ``content`` and ``device`` are the card's system parameters.

    Args:
        content: the file, verified against the card.
        device: where to run; without a GPU build of onnxruntime everything runs on the CPU.
        shape: the card's grid ``(K, J, I)``.
        output: the translated image; the first output if not given.
        velocity, displacement, intensity_change: outputs of a 3D network in ``SAR`` axes that predicts them: mm RAS
            ``(1, 3, K, J, I)``, and normalised intensities; see :class:`NetworkOutput`.
        attributes: names that the second input takes, in this order, each divided by its ``scales``.
        attribute_input: that input; the second one if not given.
        keeps_geometry: its maker says that nothing moves.
        images: of :class:`ForeignImages`.

    Raises:
        PackageError: the file may not be run, or does not fit the parameters.
    """

    def __init__(
        self,
        content: bytes,
        device: torch.device,
        shape: tuple[int, int, int],
        *,
        input: str = "",
        output: str = "",
        velocity: str = "",
        displacement: str = "",
        intensity_change: str = "",
        attributes: Sequence[str] = (),
        scales: Sequence[float] = (),
        attribute_input: str = "",
        keeps_geometry: bool = False,
        **images: Any,
    ) -> None:
        super().__init__()
        self.images = ForeignImages(**images)
        graph = read_graph(content)
        self._input = input or graph.inputs[0].name if graph.inputs else input
        self._output = output or graph.outputs[0].name
        self._attributes = _names(attributes)
        self._scales = _numbers(scales) or (1.0,) * len(self._attributes)
        others = [port.name for port in graph.inputs if port.name != self._input]
        self._attribute_input = attribute_input or (others[0] if others else "")
        self._maps = {
            "velocity": velocity, "displacement": displacement, "intensity_change": intensity_change
        }  # fmt: skip
        self._keeps_geometry = bool(keeps_geometry)
        self._check(graph, shape, others)
        self._at_once = graph.input(self._input).shape[0]
        self._process = _process(content, device)

    def translate(
        self, image: Tensor, request: Mapping[str, float], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NetworkOutput:
        """See :class:`TranslationNetwork`."""
        wanted = [self._output, *(name for name in self._maps.values() if name)]
        found: dict[str, Tensor] = {}

        def run(batch: Tensor) -> Tensor:
            answers = self._run(batch.float().cpu().numpy(), request, wanted)
            found.update({name: torch.from_numpy(value) for name, value in zip(wanted, answers, strict=True)})
            return found[self._output].to(image.device)

        translated = self.images.translate(image, run, progress)
        maps = {part: found[name].to(image.device) for part, name in self._maps.items() if name}
        for part, value in maps.items():
            if value.shape != (1, _MAPS[part], *image.shape[2:]):
                raise PackageError(f"The ONNX file's {part} has the shape {tuple(value.shape)}, not that of its grid.")
        return NetworkOutput(
            translated=translated,
            intensity_change=maps.get("intensity_change"),
            velocity=maps.get("velocity"),
            velocity_affine=affine if "velocity" in maps else None,
            displacement=maps.get("displacement"),
            keeps_geometry=self._keeps_geometry,
        )

    def _run(self, batch: NDArray[np.float32], request: Mapping[str, float], wanted: list[str]) -> list[Any]:
        """The network on a batch, in the portions that the file is made for."""
        portion = self._at_once or len(batch)
        answers = []
        for first in range(0, len(batch), portion):
            part = batch[first : first + portion]
            short = portion - len(part)
            feeds = {self._input: np.concatenate([part, np.repeat(part[-1:], short, 0)]) if short else part}
            if self._attribute_input:
                values = [request.get(n, 0.0) / s for n, s in zip(self._attributes, self._scales, strict=True)]
                feeds[self._attribute_input] = np.tile(np.array(values, np.float32), (portion, 1))
            results = self._process.run(wanted, feeds)
            answers.append([result[: len(part)] for result in results])
        return answers[0] if len(answers) == 1 else [np.concatenate(columns) for columns in zip(*answers, strict=True)]

    def _check(self, graph: Graph, shape: tuple[int, int, int], others: list[str]) -> None:
        """Hold the file against the card before anything runs."""
        expected = (None, *self.images.input_shape(shape))
        given = graph.input(self._input).shape
        if len(given) == len(expected):
            self.images.check_channels(given[1])
        if len(given) != len(expected) or any(g and e and g != e for g, e in zip(given, expected, strict=True)):
            text = " x ".join("any" if size is None else str(size) for size in given)
            wanted = " x ".join("any" if size is None else str(size) for size in expected)
            way = "" if self.images.patch else "; for a network of patches give their size as 'patch'"
            raise PackageError(f"The ONNX file takes images of {text}, and its card's grid makes {wanted}{way}.")
        if self.images.dimensions == "3d" and given[0] not in (None, 1):
            raise PackageError("The ONNX file takes several volumes at a time; export it for one.")
        graph.output(self._output)
        if len(self._scales) != len(self._attributes) or any(not s for s in self._scales):
            raise PackageError("The card has not one scale, other than 0, for each attribute.")
        if len(others) > 1 or bool(others) != bool(self._attributes):
            raise PackageError(
                f"The ONNX file has {len(others)} inputs in addition to the image, and the card names "
                f"{len(self._attributes)} attributes for one."
            )
        if self._attribute_input:
            takes = graph.input(self._attribute_input).shape
            if len(takes) != 2 or takes[1] not in (None, len(self._attributes)):
                raise PackageError(
                    f"The ONNX file's input for attributes does not take {len(self._attributes)} values."
                )
        layout = (self.images.dimensions, self.images.axes, tuple(self.images.patch))
        if any(self._maps.values()) and layout != ("3d", "SAR", ()):
            raise PackageError(
                "Fields and intensity changes are taken from 3D networks of the whole grid with the axes SAR only."
            )
        for name in filter(None, self._maps.values()):
            graph.output(name)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise PackageError("The card's attributes of the ONNX file are not a list of names.")
    return tuple(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(n, (int, float)) for n in value):
        raise PackageError("The card's scales of the ONNX file are not a list of numbers.")
    return tuple(float(n) for n in value)


def _process(content: bytes, device: torch.device) -> OnnxProcess:
    # Not imported here: it would take memory that the process does not share.
    if find_spec("onnxruntime") is None:
        raise PackageError(NOT_INSTALLED)
    return OnnxProcess(content, torch.get_num_threads(), cuda=device.type == "cuda")
