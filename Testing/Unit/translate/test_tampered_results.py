"""Every file and every key of a result: changed, exchanged, removed or added, ``check`` and ``reproduce`` say which."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import head, write_tiny_package

import SITTranslateLib as sit
from SITTranslateLib.app.main import run
from SITTranslateLib.files import read_field, read_volume, write_field, write_volume
from SITTranslateLib.translate import integrity
from SITTranslateLib.translate.reproduction import reproduce
from SITTranslateLib.translate.saving import seal
from SITTranslateLib.translate.verification import Status, verify, verify_result
from SITTranslateLib.translation import PARTS, FieldOrigin

SIDECAR = "provenance.json"
PART_FILES = [part.file for part in PARTS]
FILES = [*PART_FILES, "uncertainty.nii.gz", "uncertainty_of_the_motion.nii.gz", "translated_at_+0.5.nii.gz"]
Tamper = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and results: of a model that moves, of one that only brightens, of one that says nothing."""
    place = tmp_path_factory.mktemp("place")
    scan = head(spacing=(7.0, 7.0, 7.0))
    for name, variant, ensemble in (("dit", "dit", 2), ("bright", "it", 1), ("raw", "raw", 1)):
        package = write_tiny_package(place / "models" / name, variant)
        result = sit.translate(scan, package, age=15, seed=7, ensemble=ensemble, force=True, device="cpu")
        sit.save_translation(result, place / name, strength=0.5)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(made / "models"))
    shutil.copytree(made, tmp_path / "place", ignore=shutil.ignore_patterns("models"))
    return tmp_path / "place"


def sidecar_of(folder: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
    return raw


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the sidecar and leave its hashes."""
    raw = sidecar_of(folder)
    edit(raw)
    (folder / SIDECAR).write_text(json.dumps(raw, indent=2), encoding="utf-8")


def sealed_again(folder: Path) -> None:
    """What somebody does who knows of the hashes."""
    seal(folder)


def without_hashes(folder: Path, *, old: bool = True) -> None:
    """A result as an earlier version wrote it, or one whose hashes were taken out."""

    def edit(raw: dict[str, Any]) -> None:
        for key in (integrity.FILES, integrity.KEYS, integrity.WHOLE):
            raw["SITTranslate"].pop(key, None)
        if old:
            del raw["SITTranslate"]["provenance"]["parts"]

    change(folder, edit)


def alter(file: Path, factor: float = 1.0, add: float = 0.0) -> None:
    if file.suffix == ".nrrd":
        field = read_field(file)
        write_field(type(field)(field.array * factor + np.float32(add), field.affine), file)
    else:
        volume = read_volume(file)
        write_volume(volume.with_array(volume.array * factor + np.float32(add)), file)


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["check", str(folder)])
    return code, capsys.readouterr().out.splitlines()[-1]


def test_an_untouched_result_passes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = sidecar_of(place / "dit")["SITTranslate"]
    assert (
        sorted(about[integrity.FILES])
        == sorted(FILES)
        == sorted(f.name for f in (place / "dit").iterdir() if f.name != SIDECAR)
    )
    code, verdict = checked(place / "dit", capsys)
    assert code == 0 and verdict.startswith("PASS: recomposed to") and "every file as it was written" in verdict
    found = reproduce(place / "dit")
    assert found.passed and found.identical and found.failures == ()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["changed", "removed", "one byte"])
def test_every_file_counts(file: str, how: str, place: Path) -> None:
    path = place / "dit" / file
    if how == "removed":
        path.unlink()
    elif how == "changed":
        alter(path, add=0.25)
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    found = integrity.changes(place / "dit" / SIDECAR)
    what = "is missing" if how == "removed" else "was changed since it was written"
    assert found == (f"the file '{file}' {what}",)


def keys() -> list[str]:
    """Names of all that the sidecar of a result holds, as the hashes name them."""
    provenance = [
        "package", "version", "sha256", "system", "attributes", "seed", "device", "source_sha256", "created", "seconds",
        "software", "forced", "warnings", "precision", "target", "ensemble", "noise_floor", "parts",
        "requested_device", "force", "roles",
    ]  # fmt: skip
    ours = ["field_origin", "recomposition_error", "frame", "source_affine", "extras", "extra_files", "steps"]
    top = ["Description", "Sources", "SpatialReference", "GeneratedBy"]
    return [*top, *ours, *(f"provenance.{k}" for k in provenance), *(f"files.{part.name}" for part in PARTS)]


@pytest.mark.parametrize("key", keys())
def test_every_key_of_the_sidecar_counts(key: str, place: Path) -> None:
    group, _, inner = key.rpartition(".")

    def edit(raw: dict[str, Any]) -> None:
        table = raw["SITTranslate"]
        table = table[group] if group else raw if key in raw else table
        assert inner in table
        table[inner] = ["something", "else"]

    change(place / "dit", edit)
    assert f"'{key}' in the sidecar was changed since it was written" in (
        integrity.changes(place / "dit" / SIDECAR) or ()
    )


def test_no_key_is_left_out(place: Path) -> None:
    assert sorted(sidecar_of(place / "dit")["SITTranslate"][integrity.KEYS]) == sorted(keys())


@pytest.mark.parametrize("key", [integrity.FILES, integrity.KEYS, integrity.WHOLE])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_the_hashes_themselves_count(key: str, how: str, place: Path) -> None:
    def edit(raw: dict[str, Any]) -> None:
        if how == "removed":
            del raw["SITTranslate"][key]
        else:
            raw["SITTranslate"][key] = type(raw["SITTranslate"][key])()

    change(place / "dit", edit)
    assert integrity.changes(place / "dit" / SIDECAR)


def painted(folder: Path, files: tuple[str, ...]) -> None:
    for name in files:
        volume = read_volume(folder / name)
        array = volume.array.copy()
        middle = tuple(n // 2 for n in array.shape)
        array[tuple(slice(m - 1, m + 2) for m in middle)] += 60.0
        write_volume(volume.with_array(array), folder / name)


def drop_parts(folder: Path, origin: str) -> None:
    """Every part away that could tell, as if the model had none."""
    for name in ("motion.nrrd", "sampling.nrrd", "velocity.nrrd", "jacobian.nii.gz", "intensity_change.nii.gz"):
        (folder / name).unlink()

    def edit(raw: dict[str, Any]) -> None:
        raw["SITTranslate"]["field_origin"] = origin
        for name in ("motion", "sampling", "velocity", "jacobian", "intensity_change"):
            del raw["SITTranslate"]["files"][name]

    change(folder, edit)


TAMPERED: dict[str, tuple[Tamper, str, str]] = {
    "a lesion painted into the translated scan": (
        lambda f: painted(f, ("translated.nii.gz",)), "translated.nii.gz", "do not give the translated scan"),
    "a lesion hidden in the intensity change": (
        lambda f: painted(f, ("translated.nii.gz", "intensity_change.nii.gz")), "intensity_change.nii.gz", ""),
    "parts dropped and the origin set to none": (lambda f: drop_parts(f, "none"), "field_origin", "NO FIGURE"),
    "parts dropped and the origin set to identity": (lambda f: drop_parts(f, "identity"), "field_origin", "NO FIGURE"),
    "the origin alone": (
        lambda f: change(f, lambda r: r["SITTranslate"].update(field_origin="none")), "field_origin", "there is one"),
    "a negative recomposition error": (
        lambda f: change(f, lambda r: r["SITTranslate"].update(recomposition_error=-1.0)), "recomposition_error",
        "is no error"),
    "another source": (lambda f: alter(f / "source.nii.gz", add=3.0), "source.nii.gz", "source is not the scan"),
    "other attributes": (
        lambda f: change(f, lambda r: r["SITTranslate"]["provenance"]["attributes"].update(age=-15.0)),
        "provenance.attributes", ""),
    "other reasons why it was forced": (
        lambda f: change(f, lambda r: r["SITTranslate"]["provenance"].update(forced=["odd"])), "provenance.forced", ""),
    "another Jacobian map": (lambda f: alter(f / "jacobian.nii.gz", add=0.1), "jacobian.nii.gz", "Jacobian map"),
    "another velocity": (lambda f: alter(f / "velocity.nrrd", 1.3), "velocity.nrrd", "velocity does not give"),
    "another motion": (lambda f: alter(f / "motion.nrrd", -1.0), "motion.nrrd", "inverse"),
    "another sampling field": (lambda f: alter(f / "sampling.nrrd", 0.0), "sampling.nrrd", "inverse"),
    "another uncertainty map": (lambda f: alter(f / "uncertainty.nii.gz", 0.5), "uncertainty.nii.gz", ""),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_check_names_what_was_changed_and_never_passes_it(
    how: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the hashes were written anew, or taken out: then what follows from the parts is all that is left."""
    tamper, named, again = TAMPERED[how]
    folder = place / "dit"
    tamper(folder)
    code, verdict = checked(folder, capsys)
    assert code == 1 and verdict.startswith("FAIL: ") and named in verdict, verdict
    without_hashes(folder, old=False)
    code, verdict = checked(folder, capsys)
    assert code == 1 and "hashes of its files were taken out" in verdict
    sealed_again(folder)
    code, verdict = checked(folder, capsys)
    if again:
        assert code in (1, 3) and again in verdict, verdict
    else:
        # A new, consistent story: only the model itself can tell.
        assert reproduce(folder).passed is False


@pytest.mark.parametrize("how", TAMPERED)
def test_reproduce_sees_it_too_and_its_exit_code_agrees(
    how: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TAMPERED[how][0](place / "dit")
    sealed_again(place / "dit")
    code = run(["reproduce", str(place / "dit")])
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert code == 1 and verdict.startswith("FAIL: "), verdict


def test_a_result_of_before_there_were_hashes_is_recomposed_and_said_to_be(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_hashes(place / "dit")
    code, verdict = checked(place / "dit", capsys)
    assert code == 0 and "no hashes of its files: recomposition only" in verdict
    painted(place / "dit", ("translated.nii.gz",))
    assert checked(place / "dit", capsys)[0] == 1


def test_a_model_that_says_nothing_gets_no_figure(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, verdict = checked(place / "raw", capsys)
    assert code == 3 and verdict.startswith("NO FIGURE: nothing was kept"), verdict
    painted(place / "raw", ("translated.nii.gz",))
    code, verdict = checked(place / "raw", capsys)
    assert code == 1 and "translated.nii.gz" in verdict


def test_a_difference_of_two_images_is_no_figure(place: Path) -> None:
    """The change of a model that gave an image and a promise is made of the two: it fits whatever the image is."""
    told = sit.read_translation(place / "bright")
    assert told.field_origin is FieldOrigin.IDENTITY and told.provenance.parts == ("intensity_change",)
    assert verify(told).status is Status.PASS
    from dataclasses import replace

    promised = replace(told, provenance=replace(told.provenance, parts=()))
    assert verify(promised).status is Status.NO_FIGURE and not verify(promised).passed
    unknown = replace(told, provenance=replace(told.provenance, parts=None))
    assert verify(unknown).status is Status.NO_FIGURE


def test_files_that_were_added_get_their_hashes_too(place: Path) -> None:
    folder = place / "dit"
    (folder / "pictures").mkdir()
    (folder / "pictures" / "one.png").write_bytes(b"picture")
    (folder / "report.html").write_text("report")
    seal(folder)
    assert verify_result(folder)[1].passed
    (folder / "report.html").write_text("another")
    (folder / "pictures" / "one.png").unlink()
    assert integrity.changes(folder / SIDECAR) == (
        "the file 'pictures/one.png' is missing", "the file 'report.html' was changed since it was written"
    )  # fmt: skip


def test_a_hash_is_read_in_the_folder_alone(place: Path) -> None:
    (place / "elsewhere").write_text("x")
    change(place / "dit", lambda raw: raw["SITTranslate"][integrity.FILES].update({"../elsewhere": "0" * 64}))
    assert "'../elsewhere' does not lie in the folder of the result" in (
        integrity.changes(place / "dit" / SIDECAR) or ()
    )
