"""Over two thousand hostile inputs: each ends in a result that passes ``check``, or in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hostile import outcome, volumes
from hypothesis import HealthCheck, given, settings

from SITTranslateLib.errors import InputError
from SITTranslateLib.translate import suitability
from SITTranslateLib.translate.model import LoadedModel
from SITTranslateLib.volume import Volume

TESTING = Path(__file__).resolve().parents[1]
#: Files in the tests, in parts of so many; ``make endurance`` runs twenty thousand.
FILES, PART = (20_000, 1000) if os.environ.get("SITTRANSLATE_ENDURANCE") else (1050, 1050)
IN_MEMORY = 1000


def run_corpus(first: int, last: int, results: Path) -> list[dict[str, object]]:
    """Cases of the corpus in a process of its own; how each ended, one that killed the process too."""
    search = os.pathsep.join([str(TESTING), str(TESTING.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hostile.run", str(first), str(last), str(results)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    entries = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    ended = [entry for entry in entries if "ended" in entry]
    if answer.returncode != 0:
        number = entries[-1]["number"] if entries else first
        ended.append({"number": number, "ended": f"FAULT: the process ended with {answer.returncode}", "seconds": 0})
    return ended


@pytest.mark.parametrize("first", range(0, FILES, PART))
def test_every_file_ends_in_a_checked_result_or_one_sentence(first: int, tmp_path: Path) -> None:
    ended = run_corpus(first, first + PART, tmp_path / "results.jsonl")
    faults = [entry for entry in ended if str(entry["ended"]).startswith("FAULT")]
    assert not faults, faults[:5]
    assert len(ended) == PART
    # A corpus that everything refuses, or nothing, would show nothing.
    translated = sum(entry["ended"] == "translated" for entry in ended)
    assert PART // 8 < translated < PART // 2
    assert len({entry["ended"] for entry in ended}) > 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """The model; the tissue network, which takes most of the time, is left to the corpus of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suitability, "by_tissue", lambda volume, anatomy: ())
        yield outcome.fast_model(tmp_path_factory.mktemp("models"))


ENDED: dict[str, int] = {}


@settings(
    max_examples=IN_MEMORY, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(array=volumes.arrays(), affine=volumes.affines(), force=...)
def test_every_volume_ends_in_a_checked_result_or_one_sentence(
    model: LoadedModel, array: np.ndarray, affine: object, force: bool
) -> None:
    try:
        volume = Volume(array, affine, "scan")  # type: ignore[arg-type]
    except InputError as error:
        ended = outcome.refused(error)
    else:
        ended = outcome.of_volume(volume, model, force=force)
    ENDED[ended] = ENDED.get(ended, 0) + 1


def test_volumes_were_of_every_kind() -> None:
    """Runs after the test above, which counts how its examples ended."""
    assert sum(ENDED.values()) >= IN_MEMORY
    assert ENDED["translated"] > IN_MEMORY // 20
    assert len(ENDED) > 25
