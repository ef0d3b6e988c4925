"""Results, cards, sidecars, wire lines and command line are those that were recorded before the library was rearranged.

Additions are allowed, everything recorded must still be there. To record again, on purpose:
``python Testing/golden/recording.py --write``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import recording
from golden.comparing import differences

#: Largest difference on another processor, share of a part's range.
TOLERANCE = 2e-3
GOLDEN = json.loads(recording.RECORD.read_text(encoding="utf-8"))
PACKAGES = sorted(GOLDEN["cards"])


@pytest.fixture(scope="module")
def scans() -> dict[str, Any]:
    return recording.heads()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return recording.tiny_translation(tmp_path_factory.mktemp("models"))


def _package(name: str) -> Path:
    folder = recording.MODELS / name
    if not (folder / "model.json").is_file():
        pytest.skip(f"the package '{name}' is not shipped any more")
    if recording.card_of(folder)["weights"] != GOLDEN["cards"][name]["weights"]:
        pytest.skip(f"the package '{name}' has other weights than when it was recorded")
    return folder


@pytest.mark.parametrize("name", PACKAGES)
def test_a_shipped_package_gives_what_it_gave(name: str, scans: dict[str, Any]) -> None:
    now = recording.sampled(recording.translated(_package(name), scans))
    with np.load(recording.VALUES) as kept:
        golden = {key.partition("|")[2]: kept[key] for key in kept.files if key.startswith(f"{name}|")}
    assert golden.keys() <= now.keys()
    for part, values in golden.items():
        assert values.shape == now[part].shape, part
        span = max(float(np.ptp(values)), 1e-6)
        assert float(np.abs(now[part] - values).max()) <= TOLERANCE * span, part


@pytest.mark.parametrize("name", PACKAGES)
def test_a_card_says_to_programs_what_it_said(name: str) -> None:
    assert list(differences(GOLDEN["cards"][name], recording.card_of(_package(name)))) == []


def test_a_result_has_the_files_and_keys_that_it_had(tiny: tuple[Path, Any]) -> None:
    now = recording.sidecar_of(tiny[1])
    assert set(GOLDEN["result"]["folder"]) <= set(now["folder"])
    assert list(differences(GOLDEN["result"]["sidecar"], now["sidecar"])) == []
    assert list(differences(GOLDEN["result"]["files"], now["files"])) == []


def test_client_and_worker_say_what_they_said(tiny: tuple[Path, Any]) -> None:
    folder, translation = tiny
    now = json.loads(json.dumps(recording.wire_lines(folder, translation.source)))
    assert list(differences(GOLDEN["wire"], now)) == []


def test_every_command_takes_what_it_took() -> None:
    now = json.loads(json.dumps(recording.commands()))
    assert list(differences(GOLDEN["commands"], now)) == []
    needed = [
        f"{command} {name}"
        for command, parameters in GOLDEN["commands"].items()
        for name, parameter in now[command].items()
        if parameter["required"] and name not in parameters
    ]
    assert needed == []
