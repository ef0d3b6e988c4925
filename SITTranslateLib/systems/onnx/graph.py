"""Check of an ONNX graph: standard operators only, nothing outside the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from SITTranslateLib.errors import PackageError

#: Operator sets of the ONNX standard; every other domain is somebody's own code.
STANDARD_DOMAINS = ("", "ai.onnx")
#: First parts of the names of domains that runtimes fill themselves.
RUNTIME_DOMAINS = ("com", "ai", "org", "trt", "")
#: Operators that draw random numbers: the seed of a translation does not reach them.
RANDOM = (
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"
)  # fmt: skip
#: Of a network with every function written out.
MOST_OPERATORS = 200_000
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
    if not model.graph.output or not model.graph.input:
        raise PackageError("The ONNX file has no image that goes in, or none that comes out.")
    for message in _messages(model):
        if isinstance(message, onnx.NodeProto):
            _check_operator(model, message)
        elif isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or len(message.external_data)
        ):
            raise PackageError(
                f"The ONNX file keeps its weights ('{message.name[:40]}') in another file; save it as one file."
            )
    _check_functions(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    opset = max(entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS)
    inputs = tuple(_port(value) for value in model.graph.input if value.name not in weights)
    return Graph(inputs, tuple(_port(value) for value in model.graph.output), int(opset))


def _messages(root: Any) -> Iterator[Any]:
    """Every message within one, wherever: graphs in attributes, functions, defaults of their attributes, tensors.

    By what the format itself says of its fields, so that no place is left out.
    """
    waiting = [root]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend(value if isinstance(value, Sequence) or hasattr(value, "__len__") else (value,))


def _check_operator(model: Any, node: Any) -> None:
    if node.domain not in STANDARD_DOMAINS and not _function_of(model, node):
        text = f"The ONNX file uses the operator '{node.op_type[:40]}' of the domain '{node.domain[:40]}'"
        raise PackageError(f"{text}; only operators of the ONNX standard are run.")
    training = (
        node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] and not _is_false(model, node.input[2])
    )
    if node.op_type in RANDOM or training:
        raise PackageError(
            f"The ONNX file draws random numbers ('{node.op_type}') that no seed can repeat; export it with the noise "
            "as a constant, or without."
        )


def _is_false(model: Any, name: str) -> bool:
    """Whether a value is a constant false of the graph."""
    constants = [t for t in model.graph.initializer if t.name == name]
    constants += [a.t for n in model.graph.node if n.op_type == "Constant" and name in n.output for a in n.attribute]
    return len(constants) == 1 and not any(constants[0].int32_data) and not any(constants[0].raw_data)


def _check_functions(model: Any) -> None:
    """Functions that a file defines stand in for nothing of the runtime's own, and unroll to a network of finite size.

    Raises:
        PackageError: one of a runtime's domain, one that calls itself, or operators without number.
    """
    for function in model.functions:
        if function.domain.split(".")[0] in RUNTIME_DOMAINS:
            text = f"The ONNX file defines '{function.name[:40]}' of the domain '{function.domain[:40]}'"
            raise PackageError(f"{text}, which is a runtime's own; only operators of the ONNX standard are run.")
    sizes: dict[int, int] = {}

    def size(body: Any, above: tuple[int, ...]) -> int:
        """Operators of a body with every function in it written out."""
        total = 0
        for node in (m for m in _messages(body) if type(m).__name__ == "NodeProto"):
            function = _function_of(model, node)
            if function is None:
                total += 1
                continue
            key = id(function)
            if key in above or len(above) > 64:
                raise PackageError("The ONNX file has a function that calls itself.")
            if key not in sizes:
                sizes[key] = size(function, (*above, key))
            total += sizes[key]
            if total > MOST_OPERATORS:
                raise PackageError(f"The ONNX file has more than {MOST_OPERATORS} operators.")
        return total

    size(model.graph, ())


def _function_of(model: Any, node: Any) -> Any:
    """The function of the file that an operator calls, None if it is none; its body is looked through too."""
    for function in model.functions:
        if (function.domain, function.name) == (node.domain, node.op_type):
            return function
    return None


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
