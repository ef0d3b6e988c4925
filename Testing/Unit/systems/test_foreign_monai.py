"""MONAI bundles that others made: they give the same answers as a package, or are refused in a sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from filled_card import FILLED
from tiny_model import one_sentence

from SITTranslateLib.app.main import run as command
from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages.monai_bundle import read_bundle
from SITTranslateLib.systems.monai_networks.network import ALLOWED, MonaiNetwork, build
from SITTranslateLib.translate.model import load_model

NETWORK = {
    "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": "@channels", "channels": [4, 8],
    "strides": [2], "num_res_units": 1,
}  # fmt: skip


def bundle(
    folder: Path, network: object, weights: object = None, name: str = "model.pt", inferer: object = None
) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = {"channels": 1, "network_def": network, "bundle_root": "$import os", "size": 16}
    if inferer is not None:
        config["inferer"] = inferer
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    if weights is None:
        weights = build("UNet", {**{k: v for k, v in NETWORK.items() if k[0] != "_"}, "out_channels": 1}).state_dict()
    torch.save(weights, folder / "models" / name)
    return folder


def test_a_MONAI_bundle_becomes_a_package_with_the_same_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    made = str(tmp_path / "made")
    text = FILLED.replace("[192, 224, 192]", "[16, 16, 24]").replace("spacing_mm = 1.0", "spacing_mm = 8.0")
    (tmp_path / "card.toml").write_text(text)
    place = bundle(tmp_path / "bundle", NETWORK)
    assert command(["package", "new", "--monai", str(place), "--card", str(tmp_path / "card.toml"), "-o", made]) == 0
    assert "system monai" in capsys.readouterr().out
    loaded = load_model(made, "cpu")
    found = read_bundle(place)
    original = build(found.name, found.arguments)
    original.load_state_dict(found.weights)
    image = torch.rand(1, 1, 16, 16, 24)
    with torch.inference_mode():
        assert torch.equal(
            loaded.network.translate(image, {}, np.eye(4)).translated,  # type: ignore[operator]
            original.eval()(image),
        )


def test_the_sliding_window_of_a_bundle_is_honoured(tmp_path: Path) -> None:
    """The same as MONAI's own inferer with the bundle's arguments."""
    from monai.inferers import SlidingWindowInferer

    given = {"overlap": 0.5, "mode": "gaussian"}
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": "@size", "sw_batch_size": 4, **given}
    text = FILLED.replace("[192, 224, 192]", "[16, 24, 24]").replace("spacing_mm = 1.0", "spacing_mm = 8.0")
    (tmp_path / "card.toml").write_text(text)
    place, made = bundle(tmp_path / "bundle", NETWORK, inferer=inferer), str(tmp_path / "made")
    assert command(["package", "new", "--monai", str(place), "--card", str(tmp_path / "card.toml"), "-o", made]) == 0
    loaded, found = load_model(made, "cpu"), read_bundle(place)
    assert found.images == {"patch": [16, 16, 16], "overlap": 0.5, "weighting": "gaussian"}
    original = build(found.name, found.arguments)
    original.load_state_dict(found.weights)
    image = torch.rand(1, 1, 16, 24, 24)
    with torch.inference_mode():
        expected = SlidingWindowInferer([16] * 3, 4, **given)(image, original.eval())
        out = loaded.network.translate(image, {}, np.eye(4)).translated  # type: ignore[operator]
    assert torch.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("inferer", "says"),
    [
        ({"_target_": "SliceInferer", "roi_size": [8, 8]}, "'SliceInferer' of the bundle 'b' is not one that is taken"),
        ({"_target_": "SlidingWindowInferer", "roi_size": 8, "sigma_scale": 0.2}, "'sigma_scale', which is not taken"),
        ("$import os", "is not one that is taken"),
    ],
)
def test_another_inferer_is_refused(inferer: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=says) as refused:
        read_bundle(bundle(tmp_path / "b", NETWORK, inferer=inferer))
    assert one_sentence(str(refused.value))


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was run",))


BUNDLES: dict[str, tuple[object, object, str]] = {
    "other code": ({**NETWORK, "_target_": "scripts.net.MyNet"}, None, "its code is not run"),
    "not allowed": ({**NETWORK, "_target_": "DiffusionModelUNet"}, None, "not one of MONAI's"),
    "expression": ({**NETWORK, "channels": "$[4, 8]"}, None, "none is evaluated"),
    "reference to an expression": ({**NETWORK, "strides": ["@bundle_root"]}, None, "none is evaluated"),
    "reference to nothing": ({**NETWORK, "strides": "@elsewhere#1"}, None, "no plain value"),
    "nested object": ({**NETWORK, "act": {"_target_": "torch.nn.ReLU"}}, None, "object of its own"),
    "unknown argument": ({**NETWORK, "speed": 1}, None, "no argument 'speed'"),
    "segmentation": ({**NETWORK, "out_channels": 3}, None, "segmentation|do not fit"),
    "pickle": (NETWORK, {"w": Harmful()}, "more than weights"),
    "no table": (NETWORK, [1, 2], "not a table of weights"),
    "no network": ([1], None, "names no network"),
}  # fmt: skip


@pytest.mark.parametrize("why", BUNDLES)
def test_other_bundles_are_refused_with_the_reason_and_nothing_is_left(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, weights, says = BUNDLES[why]
    place = bundle(tmp_path / "bundle", network, weights)
    (tmp_path / "card.toml").write_text(FILLED.replace("[192, 224, 192]", "[16, 16, 16]"))
    before = sorted(tmp_path.rglob("*"))
    code = command(
        ["package", "new", "--monai", str(place), "--card", str(tmp_path / "card.toml"), "-o", str(tmp_path / "made")]
    )
    sentence = capsys.readouterr().err.strip()
    assert code == 2 and one_sentence(sentence), sentence
    assert re.search(says, sentence), sentence
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("part", ["models/model.pt", "models", "configs/inference.json", "configs"])
def test_a_bundle_of_links_is_refused_with_the_way_out(part: str, tmp_path: Path) -> None:
    """As huggingface_hub and DataLad leave one: its files, or the folders of them, are links into a cache."""
    place = bundle(tmp_path / "bundle", NETWORK)
    (place / part).rename(tmp_path / "blob")
    (place / part).symlink_to(tmp_path / "blob")
    with pytest.raises(
        PackageError, match=f"^'{part.split('/')[-1]}' of the bundle 'bundle' is a link.*cp -rL"
    ) as refused:
        read_bundle(place)
    assert one_sentence(str(refused.value))


def test_every_allowed_class_is_there_and_takes_one_channel() -> None:
    import monai.networks.nets as nets

    assert all(isinstance(getattr(nets, name), type) for name in ALLOWED)
    with pytest.raises(PackageError, match="segmentation"):
        MonaiNetwork("UNet", spatial_dims=3, in_channels=1, out_channels=2, channels=[4, 8], strides=[2])
    with pytest.raises(PackageError, match="takes 4 channels and a scan gives it 1"):
        MonaiNetwork("UNet", spatial_dims=3, in_channels=4, out_channels=1, channels=[4, 8], strides=[2])
