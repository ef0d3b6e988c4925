"""What is in an ONNX file, and whether it may be run: standard operators, nothing outside the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from SITTranslateLib.errors import PackageError

#: Operator sets of the ONNX standard; every other domain is somebody's own code.
STANDARD_DOMAINS = ("", "ai.onnx")
NOT_INSTALLED = "ONNX models need the packages onnx and onnxruntime, which are not installed; install both with pip."


@dataclass(frozen=True)
class Port:
    """An input or output: its name, and its shape with None where any size is taken."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Graph:
    """Inputs (without weights) and outputs of an ONNX file that may be run."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int

    def input(self, name: str) -> Port:
        return _named(self.inputs, name, "input")

    def output(self, name: str) -> Port:
        return _named(self.outputs, name, "output")


def read_graph(content: bytes) -> Graph:
    """Look through an ONNX file before it is given to a runtime.

    Raises:
        PackageError: not ONNX, weights outside the file, operators that are not the standard's, or no plain images.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise PackageError(NOT_INSTALLED) from error
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise PackageError("The ONNX file cannot be read; it is damaged or something else.") from error
    if not model.graph.node or not model.opset_import:
        raise PackageError("The ONNX file holds no network.")
    if len(model.training_info):
        raise PackageError("The ONNX file holds training code; export it for inference.")
    bodies = [model.graph, *model.functions]
    for node in (node for body in bodies for node in _nodes(body)):
        if node.domain not in STANDARD_DOMAINS and not _is_own_function(model, node):
            text = f"The ONNX file uses the operator '{node.op_type[:40]}' of the domain '{node.domain[:40]}'"
            raise PackageError(f"{text}; only operators of the ONNX standard are run.")
    for tensor in (tensor for body in bodies for tensor in _tensors(body)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            raise PackageError(
                f"The ONNX file keeps its weights ('{tensor.name[:40]}') in another file; save it as one file."
            )
    weights = {tensor.name for tensor in model.graph.initializer}
    opset = max(entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS)
    inputs = tuple(_port(value) for value in model.graph.input if value.name not in weights)
    return Graph(inputs, tuple(_port(value) for value in model.graph.output), int(opset))


def _is_own_function(model: Any, node: Any) -> bool:
    """Functions that the file itself defines are made of operators that are looked at too."""
    return any(f.domain == node.domain and f.name == node.op_type for f in model.functions)


def _nodes(body: Any) -> Iterator[Any]:
    """Every operator of a graph or function, and of the graphs within it (loops, branches)."""
    for node in body.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(body: Any) -> Iterator[Any]:
    """Every tensor that is stored in a graph or function: weights, constants, and those of graphs within it."""
    for name in ("initializer", "sparse_initializer"):
        for tensor in getattr(body, name, ()):
            yield from (tensor.values, tensor.indices) if name == "sparse_initializer" else (tensor,)
    for node in body.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _port(value: Any) -> Port:
    import onnx

    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type else "no tensor"
        raise PackageError(f"'{value.name[:40]}' of the ONNX file is {kind}; export it with 32-bit floats in and out.")
    sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    return Port(value.name, tuple(sizes))


def _named(ports: tuple[Port, ...], name: str, kind: str) -> Port:
    for port in ports:
        if port.name == name:
            return port
    known = ", ".join(port.name[:40] for port in ports[:6])
    raise PackageError(f"The ONNX file has no {kind} '{name[:40]}'; it has {known}.")
