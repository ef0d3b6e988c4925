"""Small ONNX networks for tests, built operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def onnx_bytes(
    nodes: list[Any],
    weights: dict[str, np.ndarray] | None = None,
    *,
    shape: list[int | str],
    more_inputs: dict[str, list[int | str]] | None = None,
    outputs: dict[str, list[int | str]] | None = None,
    kind: int = TensorProto.FLOAT,
    opsets: dict[str, int] | None = None,
) -> bytes:
    """An ONNX file from ``image`` (of that shape) to ``out``."""
    inputs = {"image": shape, **(more_inputs or {})}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, size) for name, size in inputs.items()],
        [helper.make_tensor_value_info(name, kind, size) for name, size in (outputs or {"out": shape}).items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": 17}).items()]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())


def negative(shape: list[int | str], kind: int = TensorProto.FLOAT) -> bytes:
    """Every value with the other sign."""
    return onnx_bytes([helper.make_node("Neg", ["image"], ["out"])], shape=shape, kind=kind)


def without_first_row(height: int, width: int, batch: int | str = "n") -> bytes:
    """2D: the first row set to 0."""
    mask = np.ones((1, 1, height, width), np.float32)
    mask[:, :, 0] = 0
    return onnx_bytes(
        [helper.make_node("Mul", ["image", "mask"], ["out"])], {"mask": mask}, shape=[batch, 1, height, width]
    )


def slice_before(height: int, width: int) -> bytes:
    """2.5D with three slices: gives the first of them."""
    kernel = np.zeros((1, 3, 1, 1), np.float32)
    kernel[0, 0] = 1
    return onnx_bytes(
        [helper.make_node("Conv", ["image", "kernel"], ["out"])],
        {"kernel": kernel},
        shape=["n", 3, height, width],
        outputs={"out": ["n", 1, height, width]},
    )


def brighter_and_moved(shape: tuple[int, int, int], velocity_mm: tuple[float, float, float]) -> bytes:
    """3D: adds the sum of two attributes, and gives a constant velocity."""
    vectors = np.tile(np.array(velocity_mm, np.float32).reshape(1, 3, 1, 1, 1), (1, 1, *shape))
    nodes = [
        helper.make_node("ReduceSum", ["asked", "axis"], ["amount"], keepdims=1),
        helper.make_node("Reshape", ["amount", "one"], ["scalar"]),
        helper.make_node("Add", ["image", "scalar"], ["out"]),
        helper.make_node("Identity", ["vectors"], ["field"]),
    ]
    weights = {"axis": np.array([1]), "one": np.array([1, 1, 1, 1, 1]), "vectors": vectors}
    return onnx_bytes(
        nodes,
        weights,
        shape=[1, 1, *shape],
        more_inputs={"asked": [1, 2]},
        outputs={"out": [1, 1, *shape], "field": [1, 3, *shape]},
    )


def weights_elsewhere(shape: list[int | str], inside_branch: bool = False) -> bytes:
    """A file that would read its weights from another file."""
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    if inside_branch:
        body = helper.make_graph(
            [helper.make_node("Constant", [], ["w"], value=tensor)], "b",
            [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])],
        )  # fmt: skip
        flag = numpy_helper.from_array(np.array(True), "yes")
        nodes = [
            helper.make_node("If", ["yes"], ["w2"], then_branch=body, else_branch=body),
            helper.make_node("Mul", ["image", "w2"], ["out"]),
        ]
        model = onnx.load_model_from_string(onnx_bytes(nodes, shape=shape))
        model.graph.initializer.append(flag)
        return bytes(model.SerializeToString())
    model = onnx.load_model_from_string(onnx_bytes([helper.make_node("Mul", ["image", "w"], ["out"])], shape=shape))
    model.graph.initializer.append(tensor)
    return bytes(model.SerializeToString())


def foreign_operator(shape: list[int | str]) -> bytes:
    """An operator of somebody's own domain."""
    node = helper.make_node("Gelu", ["image"], ["out"], domain="com.microsoft")
    return onnx_bytes([node], shape=shape, opsets={"": 17, "com.microsoft": 1})


def endless(shape: list[int | str]) -> bytes:
    """A loop of standard operators whose condition holds for ever."""
    yes = helper.make_tensor_value_info("yes", TensorProto.BOOL, [])
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["yes_in"], ["yes"]), helper.make_node("Neg", ["value_in"], ["value"])], "body",
        [helper.make_tensor_value_info("number", TensorProto.INT64, []),
         helper.make_tensor_value_info("yes_in", TensorProto.BOOL, []),
         helper.make_tensor_value_info("value_in", TensorProto.FLOAT, None)],
        [yes, value],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["", "go_on", "image"], ["out"], body=body)
    return onnx_bytes([loop], {"go_on": np.array(True)}, shape=shape)


def greedy(shape: list[int | str]) -> bytes:
    """A few bytes of file that compute with 4 GB."""
    nodes = [
        helper.make_node("Expand", ["one", "size"], ["large"]),
        helper.make_node("Neg", ["large"], ["negative"]),
        helper.make_node("ReduceSum", ["negative"], ["sum"], keepdims=0),
        helper.make_node("Add", ["image", "sum"], ["out"]),
    ]
    return onnx_bytes(nodes, {"one": np.ones(1, np.float32), "size": np.array([1 << 29])}, shape=shape)


def with_function(shape: list[int | str], nodes: list[Any], domain: str = "pkg.made", **default: Any) -> bytes:
    """A file with a function of its own, made of some operators from ``x`` to ``y``; a default stays unused."""
    function = helper.make_function(
        domain, "Made", ["x"], ["y"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1),
                                              helper.make_opsetid(domain, 1)],
        attribute_protos=[helper.make_attribute(name, value) for name, value in default.items()],
    )  # fmt: skip
    called = helper.make_node("Made", ["image"], ["out"], domain=domain)
    model = onnx.load_model_from_string(onnx_bytes([called], shape=shape, opsets={"": 17, domain: 1}))
    model.functions.append(function)
    return bytes(model.SerializeToString())


def tensor_elsewhere() -> Any:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def graph_of(nodes: list[Any]) -> Any:
    """A graph with nothing coming in, as an attribute holds it."""
    return helper.make_graph(nodes, "inner", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])


def doubling_functions(shape: list[int | str], depth: int, circle: bool = False) -> bytes:
    """Functions each of which calls the next twice: 2 to the power of ``depth`` operators, or a circle of calls."""
    model = onnx.load_model_from_string(
        onnx_bytes([helper.make_node("F0", ["image"], ["out"], domain="pkg")], shape=shape, opsets={"": 17, "pkg": 1})
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("pkg", 1)]
    for number in range(depth):
        last = number == depth - 1
        inner, domain = ("F0" if circle else "Neg", "pkg" if circle else "") if last else (f"F{number + 1}", "pkg")
        nodes = [helper.make_node(inner, [a], [b], domain=domain) for a, b in (("x", "m"), ("m", "y"))]
        model.functions.append(helper.make_function("pkg", f"F{number}", ["x"], ["y"], nodes, imports))
    return bytes(model.SerializeToString())
