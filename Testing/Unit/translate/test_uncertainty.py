"""The map of uncertainty: other seeds or the scan mirrored and moved; the translation itself stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import head, one_sentence, write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib.app.main import run as run_command
from SITTranslateLib.errors import InputError
from SITTranslateLib.files import write_volume
from SITTranslateLib.packages import Package
from SITTranslateLib.systems import NetworkOutput
from SITTranslateLib.translate.reproduction import reproduce
from SITTranslateLib.translate.saving import read_translation, save_translation
from SITTranslateLib.translate.uncertainty import MOTION_UNCERTAINTY, UNCERTAINTY, Jitter, jitters, with_uncertainty
from SITTranslateLib.volume import Volume

Answering = Callable[[torch.Tensor], NetworkOutput]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return write_tiny_package(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scan() -> Volume:
    return head(spacing=(5.0, 5.0, 5.0))


def asked(answering: Answering, image: torch.Tensor, members: int, drawing: bool = False) -> NetworkOutput:
    def once(changed: torch.Tensor, number: int, done: Callable[[float], None]) -> tuple[NetworkOutput, bool]:
        torch.manual_seed(number)
        done(1.0)
        return answering(changed), drawing

    return with_uncertainty(once, image, 3, members)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 1, 8, 10, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("change", jitters(6, 0))
def test_what_was_changed_is_brought_back(change: Jitter, image: torch.Tensor) -> None:
    torch.testing.assert_close(change.taken_off(change.put_on(image)) / change.gain, image)


def test_jitters_come_again_with_the_same_seed_and_differ() -> None:
    assert jitters(8, 5) == jitters(8, 5) and jitters(8, 5) != jitters(8, 6)
    assert len(set(jitters(8, 5))) == 8
    assert any(j.mirrored for j in jitters(8, 5)) and any(any(j.shift) for j in jitters(8, 5))


def test_a_model_that_treats_all_alike_is_certain(image: torch.Tensor) -> None:
    output = asked(lambda x: NetworkOutput(translated=2.0 * x), image, 5)
    assert float(output.extras[UNCERTAINTY].max()) < 1e-6
    assert MOTION_UNCERTAINTY not in output.extras


def test_a_model_that_prefers_one_side_is_uncertain_there(image: torch.Tensor) -> None:
    ramp = torch.linspace(0.0, 1.0, 12)
    output = asked(lambda x: NetworkOutput(translated=x + ramp), image, 2)
    # One answer and its mirror image: the standard deviation is half their distance times the root of two.
    wanted = (ramp - ramp.flip(0)).abs() / np.sqrt(2.0)
    torch.testing.assert_close(output.extras[UNCERTAINTY][0, 0, 3, 4], wanted)


def test_a_motion_along_R_is_turned_with_the_mirrored_head(image: torch.Tensor) -> None:
    def away_from_the_middle(x: torch.Tensor) -> NetworkOutput:
        velocity = torch.zeros(1, 3, 4, 5, 6)
        velocity[:, 0] = torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
        return NetworkOutput(translated=x, velocity=velocity, velocity_affine=np.eye(4))

    output = asked(away_from_the_middle, image, 2)
    assert output.extras[MOTION_UNCERTAINTY].shape == image.shape
    assert float(output.extras[MOTION_UNCERTAINTY].max()) < 1e-6

    def to_one_side(x: torch.Tensor) -> NetworkOutput:
        velocity = torch.zeros(1, 3, 4, 5, 6)
        velocity[:, 0] = 1.0
        return NetworkOutput(translated=x, velocity=velocity, velocity_affine=np.eye(4))

    spread = asked(to_one_side, image, 2).extras[MOTION_UNCERTAINTY]
    torch.testing.assert_close(spread, torch.full_like(spread, float(np.sqrt(2.0))))


def test_a_model_that_draws_is_asked_with_other_seeds(image: torch.Tensor) -> None:
    seen: list[torch.Tensor] = []

    def drawing(x: torch.Tensor) -> NetworkOutput:
        seen.append(x)
        return NetworkOutput(translated=x + 0.1 * torch.randn(x.shape))

    output = asked(drawing, image, 24, drawing=True)
    assert all(torch.equal(x, image) for x in seen)
    assert float(output.extras[UNCERTAINTY].mean()) == pytest.approx(0.1, rel=0.05)


def test_the_translation_is_the_same_bytes_and_the_maps_lie_on_the_scan(tiny: Package, scan: Volume) -> None:
    alone = sit.translate(scan, tiny, age=15)
    told: list[float] = []
    several = sit.translate(scan, tiny, age=15, ensemble=3, progress=lambda _, f: told.append(f))
    assert alone.translated.array.tobytes() == several.translated.array.tobytes()
    assert alone.extras == {} and alone.provenance.ensemble == 1 and several.provenance.ensemble == 3
    assert set(several.extras) == {UNCERTAINTY, MOTION_UNCERTAINTY}
    for volume in several.extras.values():
        assert volume.grid.matches(scan.grid)
    # Native units: of the order of the change itself, for a network that learned nothing.
    largest = float(several.extras[UNCERTAINTY].array.max())
    assert 1.0 < largest < 0.5 * float(np.ptp(scan.array))
    assert 0.01 < float(several.extras[MOTION_UNCERTAINTY].array.max()) < 10.0
    assert told == sorted(told)


def test_a_network_that_draws_is_found_out(tiny: Package, scan: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    from SITTranslateLib.systems.sit.network import SITNetwork

    plain = SITNetwork.translate
    images: list[torch.Tensor] = []

    def drawing(self: SITNetwork, image: torch.Tensor, *rest: object) -> NetworkOutput:
        images.append(image)
        output = plain(self, image, *rest)  # type: ignore[arg-type]
        noise = 0.01 * torch.randn_like(output.translated)
        return NetworkOutput(translated=output.translated + noise, keeps_geometry=True)

    monkeypatch.setattr(SITNetwork, "translate", drawing)
    result = sit.translate(scan, tiny, ensemble=3)
    assert len(images) == 3 and all(torch.equal(x, images[0]) for x in images)
    assert float(np.median(result.extras[UNCERTAINTY].array)) > 0


@pytest.mark.parametrize("count", [0, -1, 65])
def test_a_number_that_makes_no_sense_is_refused(count: int, tiny: Package, scan: Volume) -> None:
    with pytest.raises(InputError, match="is not possible") as caught:
        sit.translate(scan, tiny, ensemble=count)
    assert one_sentence(str(caught.value))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_is_saved_read_back_and_made_again_with_its_precision(
    precision: str, tiny: Package, scan: Volume, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sit.translate(scan, tiny, age=15, seed=4, ensemble=3, precision=precision)
    folder = save_translation(made, tmp_path / "result")
    back = read_translation(folder)
    assert (back.provenance.ensemble, back.provenance.precision, back.provenance.seed) == (3, precision, 4)
    np.testing.assert_allclose(back.extras[UNCERTAINTY].array, made.extras[UNCERTAINTY].array, rtol=1e-5, atol=1e-6)
    again = reproduce(folder, model=tiny.folder)
    assert again.identical and again.verdict == "PASS: made again, the same bytes"


def test_the_command_line_says_how_uncertain_it_is(
    tiny: Package, scan: Volume, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volume(scan, tmp_path / "scan.nii.gz")
    command = ["translate", str(tmp_path / "scan.nii.gz"), "-m", str(tiny.folder), "-o", str(tmp_path / "out")]
    assert run_command([*command, "--ensemble", "2", "--force"]) == 0
    assert "Uncertainty: 99th percentile" in capsys.readouterr().out
    assert (tmp_path / "out" / "uncertainty.nii.gz").is_file()
