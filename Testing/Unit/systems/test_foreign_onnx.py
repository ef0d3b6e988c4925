"""ONNX files that others made: they see what they were made for, or are refused in a sentence."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filled_card import FILLED
from tiny_model import head, one_sentence, tiny_card

from SITTranslateLib.app.main import run as command
from SITTranslateLib.errors import PackageError
from SITTranslateLib.files import write_volume
from SITTranslateLib.packages import NetworkGrid, System, find
from SITTranslateLib.packages.making import TEMPLATE, read_card_text
from SITTranslateLib.packages.weights import write_onnx_package
from SITTranslateLib.systems.image_layout import ForeignImages
from SITTranslateLib.systems.monai_networks.network import build
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.saving import read_translation
from SITTranslateLib.translation import FieldOrigin

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
import onnx_files
from onnx import helper
from onnx.helper import make_node

from SITTranslateLib.systems.onnx.process import OnnxProcess, reason_of

SHAPE = (8, 10, 12)
IMAGE = torch.from_numpy(np.random.default_rng(0).random((1, 1, *SHAPE), dtype=np.float32))


def package(folder: Path, content: bytes, shape: tuple[int, int, int] = SHAPE, **parameters: Any) -> Any:
    attributes = tiny_card().attributes if "attributes" in parameters else ()
    card = tiny_card(system=System("onnx", parameters), grid=NetworkGrid(4.0, shape), attributes=attributes)
    return write_onnx_package(folder / "foreign", card, content)


def answer(folder: Path, content: bytes, **parameters: Any) -> Any:
    network = load_model(package(folder, content, **parameters), "cpu").network
    return network.translate(IMAGE, {"age": 5.0, "lesions": 2.0}, np.eye(4), None)  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------ what they see
@pytest.mark.parametrize("axes", ["SAR", "SPL", "ARS", "LIP", "PIR"])
def test_a_network_sees_its_axes_and_the_way_back_is_exact(axes: str) -> None:
    images = ForeignImages(axes=axes, clip=False)
    seen: list[torch.Tensor] = []
    back = images.translate(IMAGE, lambda x: seen.append(x) or x)  # type: ignore[func-returns-value]
    assert torch.equal(back, IMAGE) and tuple(seen[0].shape[1:]) == images.input_shape(SHAPE)
    # The first voxel that it sees lies at the start of each of its axes.
    place = {"S": (0, 0), "I": (0, -1), "A": (1, 0), "P": (1, -1), "R": (2, 0), "L": (2, -1)}
    where = dict(place[letter] for letter in axes)
    assert seen[0][0, 0, 0, 0, 0] == IMAGE[0, 0, where[0], where[1], where[2]]


@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_2D_axial_slices_with_rows_to_the_back(tmp_path: Path, batch: int | str) -> None:
    content = onnx_files.without_first_row(10, 12, batch)
    out = answer(tmp_path, content, dimensions="2d", axes="SPL").translated
    expected = IMAGE.clone()
    expected[:, :, :, -1] = 0  # the front
    assert torch.allclose(out, expected, atol=1e-6)


def test_2_5D_neighbours_are_those_before_and_after(tmp_path: Path) -> None:
    out = answer(tmp_path, onnx_files.slice_before(10, 12), dimensions="2.5d", axes="SAR", neighbours=3).translated
    assert torch.allclose(out[:, :, 1:], IMAGE[:, :, :-1], atol=1e-6) and torch.allclose(out[:, :, 0], IMAGE[:, :, 0])


def test_the_value_range_is_the_networks_own(tmp_path: Path) -> None:
    out = answer(tmp_path, onnx_files.negative([1, 1, "k", "j", "i"]), low=-1.0).translated
    assert torch.allclose(out, 1.0 - IMAGE, atol=1e-6)


def test_attributes_go_in_and_fields_come_out(tmp_path: Path) -> None:
    content = onnx_files.brighter_and_moved(SHAPE, (1.0, 2.0, -1.5))
    out = answer(tmp_path, content, attributes=["age", "lesions"], scales=[10.0, 20.0], velocity="field")
    assert torch.allclose(out.translated, IMAGE + 0.6, atol=1e-6)
    assert torch.allclose(out.velocity[0, :, 3, 3, 3], torch.tensor([1.0, 2.0, -1.5]))


# ------------------------------------------------------------------------------------------------ patches
def blur(images: torch.Tensor) -> torch.Tensor:
    """A network with borders, as every convolution has them: zeros around its image darken the edge."""
    return torch.nn.functional.avg_pool3d(images, 5, stride=1, padding=2)


@pytest.mark.parametrize("weighting", ["gaussian", "constant"])
@pytest.mark.parametrize("axes", ["SAR", "LPI"])
def test_patches_of_a_network_without_neighbours_make_the_whole(axes: str, weighting: str) -> None:
    images = ForeignImages(axes=axes, patch=(6, -1, 5), overlap=0.4, weighting=weighting, low=-1.0)
    sizes: set[tuple[int, ...]] = set()
    seen: list[float] = []
    out = images.translate(IMAGE, lambda x: sizes.add(tuple(x.shape)) or -x, seen.append)  # type: ignore[func-returns-value]
    assert torch.allclose(out, 1.0 - IMAGE, atol=1e-5)
    assert sizes == {(1, *images.input_shape(SHAPE))} and images.input_shape(SHAPE)[1] == 6
    assert seen == sorted(seen) and len(seen) > 2 and seen[-1] == pytest.approx(1.0) and seen[-2] < 1.0


def test_overlap_takes_the_seams_away() -> None:
    """The largest error against the whole image, away from its own edge; without overlap every seam is dark."""
    image = torch.full((1, 1, 24, 24, 24), 0.8)
    inner = (slice(None), slice(None), *(slice(2, -2),) * 3)

    def error(**how: Any) -> float:
        out = ForeignImages(patch=(12, 12, 12), **how).translate(image, blur)
        return float((out - blur(image))[inner].abs().max())

    without, half = error(overlap=0.0, weighting="constant"), error(overlap=0.5)
    assert without > 0.5 and half < 0.1
    assert half < 0.5 * error(overlap=0.5, weighting="constant")


def test_patches_of_slices(tmp_path: Path) -> None:
    seen: set[tuple[int, ...]] = set()
    images = ForeignImages(dimensions="2.5d", axes="SPL", neighbours=3, patch=(8, 8))
    out = images.translate(IMAGE, lambda x: seen.add(tuple(x.shape[1:])) or x[:, 1:2])  # type: ignore[func-returns-value]
    assert torch.allclose(out, IMAGE, atol=1e-5) and seen == {(3, 8, 8)}


def test_an_ONNX_file_of_a_fixed_patch_is_run_over_the_grid(tmp_path: Path) -> None:
    content = onnx_files.negative([1, 1, 4, 8, 8])
    with pytest.raises(PackageError, match="for a network of patches give their size as 'patch'"):
        answer(tmp_path / "without", content)
    assert torch.allclose(answer(tmp_path, content, patch=[4, 8, 8], low=-1.0).translated, 1.0 - IMAGE, atol=1e-5)


def test_the_whole_way_from_an_ONNX_file_to_a_checked_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.onnx").write_bytes(onnx_files.without_first_row(56, 48))
    text = FILLED.replace('"3d"', '"2d"').replace('"SAR"', '"SPL"').replace("spacing_mm = 1.0", "spacing_mm = 4.0")
    text = text.replace("[192, 224, 192]", "[48, 56, 48]").replace('["T2w"]', '["T1w"]')
    (tmp_path / "card.toml").write_text(text.replace("keeps_geometry = false", "keeps_geometry = true"))
    write_volume(head(spacing=(5.0, 5.0, 5.0)), tmp_path / "scan.nii.gz")
    made = str(tmp_path / "made")
    code = command(
        ["package", "new", "--onnx", str(tmp_path / "net.onnx"), "--card", str(tmp_path / "card.toml"), "-o", made]
    )
    told = capsys.readouterr().out
    assert code == 0 and "Field: identity" in told
    assert told.splitlines()[-1].startswith("Next: sittranslate translate SCAN --model ")
    assert sorted(f.name for f in Path(made).iterdir()) == ["README.md", "card.toml", "model.json", "model.onnx"]
    readme = (Path(made) / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# T2w of T1w by a lab\n") and "sittranslate models add" in readme and "Tests." in readme
    assert command(["package", "check", made]) == 0
    assert command(["translate", str(tmp_path / "scan.nii.gz"), "-m", made, "-o", str(tmp_path / "out")]) == 0
    result = read_translation(tmp_path / "out")
    assert result.field_origin is FieldOrigin.IDENTITY and result.provenance.system == "onnx"
    # An image and a promise: nothing that could be recomposed.
    assert command(["check", str(tmp_path / "out")]) == 3
    assert "NO FIGURE" in capsys.readouterr().out


def test_a_card_that_was_not_filled_in_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(onnx_files.without_first_row(56, 48))
    text = FILLED.replace("lab-translator", "my-translator").replace(
        "Tests.", "What it is for, and what it is not for."
    )
    (tmp_path / "card.toml").write_text(text)
    made = tmp_path / "made"
    arguments = ["package", "new", "--onnx", str(tmp_path / "net.onnx"), "--card", str(tmp_path / "card.toml")]
    assert command([*arguments, "-o", str(made)]) == 2
    assert "template's own text in name, intended_use;" in capsys.readouterr().err and not made.exists()


def test_a_lab_signs_its_package_and_another_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a key that is made on the way to a package that is added because it is signed."""
    pytest.importorskip("cryptography")
    made = package(tmp_path, onnx_files.without_first_row(10, 12), dimensions="2d", axes="SPL").folder
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SITTRANSLATE_TRUSTED_KEYS", str(tmp_path / "trusted.txt"))
    assert command(["package", "sign", str(made)]) == 2 and "--key" in capsys.readouterr().err
    assert command(["package", "sign", str(made), "--key", str(tmp_path / "lab.key")]) == 0
    line = capsys.readouterr().out.splitlines()[-1].split(": ", 1)[1]
    assert (tmp_path / "lab.key").stat().st_mode & 0o077 == 0
    assert command(["models", "add", str(made), "--signed"]) == 2
    assert "nobody that you trust" in capsys.readouterr().err
    (tmp_path / "trusted.txt").write_text(line.replace("YOUR-NAME", "A lab") + "\n")
    assert command(["models", "add", str(made), "--signed"]) == 0
    assert "Signed by: A lab" in capsys.readouterr().out
    assert command(["package", "sign", str(made), "--key", str(tmp_path / "lab.key")]) == 0, "the key is used again"
    assert "new private key" not in capsys.readouterr().out


def test_every_command_of_the_walk_through_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, on a small network in place of the lab's U-Net."""
    pytest.importorskip("cryptography")
    page = (Path(__file__).resolve().parents[3] / "docs" / "your-own-model.md").read_text(encoding="utf-8")
    lines = [
        line.split("#")[0] for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("sittranslate ")]
    assert len(commands) >= 7
    (tmp_path / "unet.onnx").write_bytes(onnx_files.negative([1, 1, "k", "j", "i"]))
    write_volume(head(spacing=(5.0, 5.0, 5.0)), tmp_path / "scan.nii.gz")
    (tmp_path / "card.toml").write_text(
        FILLED.replace("[192, 224, 192]", "[48, 56, 48]").replace("spacing_mm = 1.0", "spacing_mm = 4.0"),
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SITTRANSLATE_TRUSTED_KEYS", str(tmp_path / "trusted.txt"))
    for arguments in commands:
        until = arguments.index(">") if ">" in arguments else len(arguments)
        assert command(arguments[:until]) == 0, (arguments, capsys.readouterr().err)
    assert "lab-translator" in capsys.readouterr().out
    assert (tmp_path / "result" / "translated.nii.gz").is_file() and (tmp_path / "models").is_dir()


# ------------------------------------------------------------------------------------------------ what is refused
ANY = [1, 1, "k", "j", "i"]
REFUSED: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "external data": (onnx_files.weights_elsewhere(ANY), {}, "in another file"),
    "external data in a branch": (onnx_files.weights_elsewhere(ANY, inside_branch=True), {}, "in another file"),
    "custom operator": (onnx_files.foreign_operator(ANY), {}, "'Gelu' of the domain 'com.microsoft'"),
    "custom operator in a function": (
        onnx_files.with_function(ANY, [make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]), {}, "'com.microsoft'"
    ),
    "custom operator in a branch of a function": (
        onnx_files.with_function(
            ANY,
            [make_node("If", ["x"], ["y"], **{
                f"{side}_branch": onnx_files.graph_of([make_node("Gelu", ["x"], ["y"], domain="com.microsoft")])
                for side in ("then", "else")})],
        ), {}, "'com.microsoft'",
    ),
    "custom operator in a function's default": (
        onnx_files.with_function(
            ANY, [make_node("Neg", ["x"], ["y"])],
            body=onnx_files.graph_of([make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]),
        ), {}, "'com.microsoft'",
    ),
    "external data in a function": (
        onnx_files.with_function(ANY, [make_node("Constant", [], ["y"], value=onnx_files.tensor_elsewhere())]), {},
        "in another file",
    ),
    "external data in a function's default": (
        onnx_files.with_function(ANY, [make_node("Neg", ["x"], ["y"])], w=onnx_files.tensor_elsewhere()), {},
        "in another file",
    ),
    "a function that stands in for a runtime's operator": (
        onnx_files.with_function(ANY, [make_node("Neg", ["x"], ["y"])], domain="com.microsoft"), {}, "runtime's own"
    ),
    "operators without number": (onnx_files.doubling_functions(ANY, 40), {}, "more than 200000 operators"),
    "a function that calls itself": (onnx_files.doubling_functions(ANY, 3, circle=True), {}, "calls itself"),
    "random numbers": (
        onnx_files.onnx_bytes([make_node("RandomNormalLike", ["image"], ["out"])], shape=ANY), {}, "random numbers"
    ),
    "random numbers with a seed of their own": (
        onnx_files.onnx_bytes([make_node("RandomUniformLike", ["image"], ["out"], seed=3.0)], shape=ANY), {},
        "random numbers",
    ),
    "random numbers in a function": (
        onnx_files.with_function(ANY, [make_node("RandomNormalLike", ["x"], ["y"])]), {}, "random numbers"
    ),
    "dropout of a training": (
        onnx_files.onnx_bytes(
            [make_node("Dropout", ["image", "ratio", "training"], ["out"])],
            {"ratio": np.array(0.5, np.float32), "training": np.array(True)}, shape=ANY,
        ), {}, "random numbers",
    ),
    "attributes that are a number": (onnx_files.negative(ANY), {"attributes": 5}, "not a list of names"),
    "scales that are text": (onnx_files.negative(ANY), {"attributes": ["age"], "scales": "x"}, "other than 0"),
    "text": (b"this is no network", {}, "cannot be read|holds no network"),
    "half precision": (onnx_files.negative(ANY, kind=10), {}, "FLOAT16"),
    "another grid": (onnx_files.negative([1, 1, 8, 10, 11]), {}, "its card's grid makes"),
    "several contrasts": (onnx_files.negative([1, 4, 12, 14, 10]), {}, "takes 4 channels and a scan gives it 1"),
    "2D for 3D": (onnx_files.negative([1, 1, 10, 12]), {}, "takes images of"),
    "unknown output": (onnx_files.negative(ANY), {"output": "image2"}, "no output 'image2'"),
    "unknown parameter": (onnx_files.negative(ANY), {"speed": 3}, "speed"),
    "axes": (onnx_files.negative(ANY), {"axes": "SSA"}, "axes 'SSA'"),
    "an attribute that nothing takes": (onnx_files.negative(ANY), {"attributes": ["age"]}, "attributes for one"),
    "range": (onnx_files.negative(ANY), {"low": 2.0}, "low ends"),
    "a patch of two sizes": (onnx_files.negative(ANY), {"patch": [8, 8]}, "list of 3 sizes"),
    "a patch that is text": (onnx_files.negative(ANY), {"patch": "96"}, "list of 3 sizes"),
    "overlap": (onnx_files.negative(ANY), {"patch": [8, 8, 8], "overlap": 1.0}, "0 to 0.9"),
    "weighting": (onnx_files.negative(ANY), {"patch": [8, 8, 8], "weighting": "cosine"}, "gaussian, constant"),
    "a field of patches": (
        onnx_files.brighter_and_moved((8, 8, 8), (1.0, 0.0, 0.0)),
        {"attributes": ["age", "lesions"], "scales": [1.0, 1.0], "velocity": "field", "patch": [8, 8, 8]}, "whole grid",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_may_not_run_is_refused_in_a_sentence(why: str, tmp_path: Path) -> None:
    content, parameters, says = REFUSED[why]
    with pytest.raises(PackageError, match=says) as refused:
        load_model(package(tmp_path, content, **parameters), "cpu")
    assert one_sentence(str(refused.value)), refused.value


def test_a_dropout_that_does_nothing_is_no_random_number(tmp_path: Path) -> None:
    content = onnx_files.onnx_bytes(
        [make_node("Dropout", ["image", "ratio", "training"], ["out"])],
        {"ratio": np.array(0.5, np.float32), "training": np.array(False)}, shape=ANY,
    )  # fmt: skip
    assert torch.equal(answer(tmp_path, content).translated, IMAGE)


def test_a_function_of_standard_operators_is_run(tmp_path: Path) -> None:
    content = onnx_files.with_function(ANY, [make_node("Neg", ["x"], ["y"])])
    assert torch.equal(answer(tmp_path, content).translated, -IMAGE)


@pytest.mark.parametrize(
    ("versions", "says"), [({"ir_version": 99}, "IR version: 99"), ({"opset": 99}, "(?i)opset 99")]
)
def test_a_file_that_is_too_new_says_so(versions: dict[str, int], says: str) -> None:
    value = [helper.make_tensor_value_info(n, 1, ANY) for n in ("image", "out")]
    graph = helper.make_graph([make_node("Identity", ["image"], ["out"])], "g", value[:1], value[1:])
    imports = [helper.make_opsetid("", versions.get("opset", 17))]
    made = helper.make_model(graph, opset_imports=imports, ir_version=versions.get("ir_version", 9))
    with pytest.raises(PackageError, match=says) as refused:
        OnnxProcess(made.SerializeToString(), 1)
    assert ".cc" not in str(refused.value) and "onnxruntime::" not in str(refused.value)


def test_the_reason_of_an_error_is_found_behind_code_file_and_function() -> None:
    text = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Mul node. "
    text += "Status Message: /src/core/op.h:5 void a::B(const x<int>&, (y)) [with T = float] left == right was false. "
    assert reason_of(text).endswith("Status Message: left == right was false")
    assert reason_of("plain words.") == "plain words" and "does not say" in reason_of("")


def test_an_altered_file_never_reaches_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = package(tmp_path, onnx_files.negative(ANY))
    file = made.folder / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr("onnx.load_model_from_string", lambda content: pytest.fail("parsed before it was verified"))
    with pytest.raises(PackageError, match="altered"):
        load_model(find(made.folder), "cpu")


def test_the_template_is_a_valid_card() -> None:
    assert read_card_text(TEMPLATE, "onnx").system.parameters["axes"] == "SAR"


def test_a_result_without_a_field_says_so(tmp_path: Path) -> None:
    made = package(tmp_path, onnx_files.negative([1, 1, "k", "j", "i"]), shape=(48, 56, 48))
    result = translate(head(spacing=(6.0, 6.0, 6.0)), made, device="cpu")
    assert result.field_origin is FieldOrigin.NONE and result.motion is None


def test_what_PyTorch_exports_is_taken_and_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = build(
        "UNet", {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "channels": [4, 8], "strides": [2]}
    )
    torch.onnx.export(
        network.eval(), (IMAGE,), tmp_path / "net.onnx", dynamo=True, external_data=False, verbose=False
    )  # fmt: skip
    out = answer(tmp_path, (tmp_path / "net.onnx").read_bytes()).translated
    with torch.inference_mode():
        assert torch.allclose(out, network(IMAGE), atol=1e-4)
