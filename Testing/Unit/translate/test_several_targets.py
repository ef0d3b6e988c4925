"""A model with several sources and targets: which one is asked for by name, what is refused, what comes out."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import head, tiny_card

from SITTranslateLib import systems
from SITTranslateLib.app.main import run
from SITTranslateLib.attributes import AttributeRole
from SITTranslateLib.errors import InputError, PackageError
from SITTranslateLib.files import write_volume
from SITTranslateLib.packages import Attribute, ModelCard, NetworkGrid, Package, System, find, write_package
from SITTranslateLib.training.engine.config import card_file
from SITTranslateLib.translate.model import load_model
from SITTranslateLib.translate.normalisation import ARBITRARY
from SITTranslateLib.translate.pipeline import translate
from SITTranslateLib.translate.request import checked_request
from SITTranslateLib.translation import FieldOrigin

TARGETS = ("T2w", "FLAIR", "T1w")
NETWORK = {
    "contrasts": ["T1w", "T2w", "FLAIR"], "targets": list(TARGETS), "latent": 3, "codes": 8, "codec": [4, 6],
    "spade": [6], "hidden": 4, "widths": [6, 8], "detail": [4, 6],
}  # fmt: skip


def several(**changes: object) -> ModelCard:
    attributes = (
        Attribute("target", "Target", "", 0, 2, 0, "What to make.", TARGETS),
        Attribute("steps", "Steps", "", 0, 20, 2, "Of the diffusion."),
        Attribute("samples", "Samples", "", 1, 16, 1, "Drawn."),
        Attribute("intermediate", "Intermediate steps", "", 0, 1, 0, "Each of them.", ("no", "yes")),
    )
    values: dict[str, object] = {
        "system": System("aldm", NETWORK), "further_sources": ("T2w", "FLAIR"), "targets": TARGETS,
        "attributes": attributes, "target_scale": ARBITRARY, "grid": NetworkGrid(4.0, (48, 56, 48)),
    }  # fmt: skip
    return tiny_card(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    torch.manual_seed(4)
    network = systems.create("aldm", NETWORK)
    # Untrained, the denoiser says the preview whatever is drawn.
    torch.nn.init.normal_(network.denoiser.unet.head.weight, std=0.2)
    return write_package(tmp_path_factory.mktemp("models") / "tiny", several(), network.state_dict(), fp16=True)


def test_a_target_is_asked_for_by_name_and_kept_with_the_result(package: Package) -> None:
    scan, model = head(spacing=(3.0, 3.0, 3.5)), load_model(package, "cpu")
    made = {t: translate(scan, model, attributes={"target": t}, force=True) for t in ("flair", "T1w")}
    for name, result in made.items():
        assert result.provenance.target.lower() == name.lower()
        assert result.field_origin is FieldOrigin.IDENTITY and result.sampling is None
        assert result.translated.grid.matches(scan.grid)
        np.testing.assert_allclose(result.at(1.0).array, result.translated.array, atol=1e-2)
        assert result.recomposition_error < 1e-3
    assert not np.array_equal(made["flair"].translated.array, made["T1w"].translated.array)


def test_the_same_seed_gives_the_same_bytes_and_several_samples_a_map(package: Package) -> None:
    scan, model = head(spacing=(4.0, 4.0, 4.0)), load_model(package, "cpu")
    once, again, other = (translate(scan, model, seed=s, force=True).translated.array for s in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    result = translate(scan, model, attributes={"samples": 2, "steps": 2, "intermediate": "yes"}, force=True)
    shown = result.extras
    assert result.steps == ("after step 1 of 2", "after step 2 of 2")
    assert set(shown) == {"uncertainty", *result.steps}
    assert float(shown["uncertainty"].array.max()) > 0.0
    alone = translate(scan, model, attributes={"steps": 2, "intermediate": "yes"}, seed=3, force=True)
    away = np.abs(alone.extras[alone.steps[-1]].array - alone.translated.array)
    assert float(away.mean()) < 0.02 * float(alone.translated.array.max()), "the last step is the result, in its units"


def test_it_is_cancelled_between_two_steps(package: Package) -> None:
    told: list[float] = []

    def stop(stage: str, fraction: float) -> None:
        told.append(fraction)
        if stage == "running the network" and fraction > 0.45:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        translate(head(spacing=(4.0, 4.0, 4.0)), load_model(package, "cpu"), force=True, progress=stop,
                  attributes={"steps": 10})  # fmt: skip
    assert told[-1] < 0.6


@pytest.mark.parametrize(("asked", "sentence"), [
    ({"target": "CT"}, "The target 'CT' is not one of T2w, FLAIR, T1w"),
    ({"target": 1.5}, "The target '1.5' is not one of"),
    ({"target": 3}, "The target '3' is not one of"),
    ({"target": "nan"}, "The target 'nan' is not one of"),
    ({"steps": 21}, "steps=21 is out of range"),
    ({"intermediate": "maybe"}, "is not one of no, yes"),
])  # fmt: skip
def test_a_wrong_request_is_one_sentence(asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        checked_request(several(), asked)


def test_what_a_card_withdraws_is_not_offered_and_answered_with_its_sentence() -> None:
    card = find("brain-contrasts").card
    assert [a.name for a in card.offered] == ["target", "source", "steps", "intermediate"]
    assert checked_request(card, {})["samples"] == checked_request(card, {"samples": 1})["samples"] == 1.0
    for asked, ensemble in (({"samples": 4}, 1), ({"steps": 1}, 8)):
        with pytest.raises(InputError, match=r"do not differ.*\.$"):
            checked_request(card, asked, ensemble)
    assert checked_request(several(), {"samples": 4}, 8) == {"samples": 4.0}
    plain = several().to_dict() | {"files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}]}
    assert "withdrawn" not in plain
    sentences = {"uncertainty": "It has none."}
    assert ModelCard.from_dict(plain | {"withdrawn": sentences}).to_dict()["withdrawn"] == sentences
    with pytest.raises(PackageError, match="withdraws 'age', which is none of its attributes"):
        ModelCard.from_dict(plain | {"withdrawn": {"age": "It is gone."}})


def test_a_request_in_words() -> None:
    card = several()
    assert checked_request(card, {"target": "flair", "steps": "4"}) == {"target": 1.0, "steps": 4.0}
    assert card.said({"target": 1.0, "steps": 4.0}) == "target FLAIR, steps +4"
    assert card.target_of({}) == "T2w" and card.target_of({"target": 2.0}) == "T1w"
    assert tiny_card().target_of({"age": 3.0}) == "T1w"


def test_an_attribute_has_a_role_by_the_card_or_else_by_its_name() -> None:
    roles = {a.name: str(a.role) for a in several().attributes}
    assert roles == {"target": "target", "steps": "sampling", "samples": "sampling", "intermediate": "kept"}
    assert [str(a.role) for a in tiny_card().attributes] == ["asked"] * len(tiny_card().attributes)
    plain = several().to_dict() | {"files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}]}
    assert not any("role" in a for a in plain["attributes"])
    wish, into = dict(plain["attributes"][1], name="temperature", role="sampling"), dict(plain["attributes"][0])
    card = ModelCard.from_dict(plain | {"attributes": [into | {"name": "into", "role": "target"}, wish]})
    assert card.target_of({"into": 1.0}) == "FLAIR" and card.attributes[1].role is AttributeRole.SAMPLING
    assert card.to_dict()["attributes"][1]["role"] == "sampling"
    with pytest.raises(PackageError, match="two attributes have the role 'target'"):
        ModelCard.from_dict(plain | {"attributes": [into, into | {"name": "into", "role": "target"}]})
    with pytest.raises(PackageError, match="'wish' is not one of"):
        ModelCard.from_dict(plain | {"attributes": [into | {"role": "wish"}]})


def test_a_card_reads_and_writes_its_choices_and_sources() -> None:
    plain = several().to_dict() | {"files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}]}
    card = ModelCard.from_dict(plain)
    assert card.sources == ("T1w", "T2w", "FLAIR") and card.attributes == several().attributes
    assert "choices" not in tiny_card().to_dict()["attributes"][0] and "further_sources" not in tiny_card().to_dict()


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"choices": ("T2w", "FLAIR")}, "not that of its choices"),
    ({"choices": ("FLAIR", "T2w", "T1w")}, "are not the card's targets"),
])  # fmt: skip
def test_a_card_whose_choices_make_no_sense_is_refused(changes: dict, sentence: str) -> None:
    card = several()
    target = replace(card.attributes[0], **changes)
    plain = replace(card, attributes=(target,)).to_dict()
    with pytest.raises(PackageError, match=sentence):
        ModelCard.from_dict(plain | {"files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}]})


def test_the_gate_takes_any_of_the_sources_and_no_ct() -> None:
    from SITTranslateLib.translate.contrast import guess
    from SITTranslateLib.translate.head import locate_head
    from SITTranslateLib.translate.suitability import check_suitability

    scan = head(spacing=(2.5, 2.5, 2.5))
    anatomy = locate_head(scan)
    seen = guess(anatomy)
    assert seen is not None
    others = tuple(name for name in ("T1w", "T2w", "FLAIR", "PD") if name != seen.name)

    def codes(card: ModelCard) -> list[str]:
        return [f.code for f in check_suitability(scan, anatomy, card) if f.code == "modality"]

    assert codes(several(source=seen.name, further_sources=others[:1])) == []
    assert codes(several(source=others[0], further_sources=(seen.name,))) == []
    refused = check_suitability(scan, anatomy, several(source="CT", further_sources=()))
    assert "no CT in HU" in " ".join(f.sentence for f in refused)


def test_the_command_line_says_what_was_asked_for(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = tmp_path / "scan.nii.gz"
    write_volume(head(spacing=(4.0, 4.0, 4.0)), scan)
    code = run(["translate", str(scan), "--model", str(package.folder), "--set", "target=FLAIR", "--set", "steps=1",
                "--force", "--out", str(tmp_path / "out")])  # fmt: skip
    assert code == 0 and "target FLAIR, steps +1" in capsys.readouterr().out
    code = run(["translate", str(scan), "-m", str(package.folder), "-s", "steps=2", "-s", "intermediate=yes", "--force",
                "-o", str(tmp_path / "steps")])  # fmt: skip
    said = capsys.readouterr().out
    assert code == 0 and "after_step_1_of_2.nii.gz: after step 1 of 2" in said and "after_step_2_of_2.nii.gz" in said
    assert (tmp_path / "steps" / "after_step_2_of_2.nii.gz").is_file()
    assert run(["translate", str(scan), "-m", str(package.folder), "-s", "target=DWI", "-o", str(tmp_path / "b")]) == 2
    assert "The target 'DWI' is not one of T2w, FLAIR, T1w." in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_the_shipped_card_is_valid() -> None:
    raw = tomllib.loads(card_file("brain-contrasts").read_text(encoding="utf-8"))
    card = ModelCard.from_dict(raw | {
        "schema_version": 1, "system": {"name": "aldm", "parameters": NETWORK}, "figures": [],
        "training": {"data": "none", "simulated": True},
        "files": [{"path": "weights.safetensors", "sha256": "0" * 64, "bytes": 1}],
    })  # fmt: skip
    assert card.target_of({}) == "T2w" and set(card.sources) == set(card.targets)
