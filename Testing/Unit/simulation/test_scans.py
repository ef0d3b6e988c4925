"""Contrasts, lesions, scanners, label maps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SITTranslateLib.errors import InputError
from SITTranslateLib.simulation import (
    SCANNERS,
    TISSUES,
    LabelMap,
    Scanner,
    Subject,
    draw_scanner,
    load_subject,
    network_grid,
    prepare_subject,
    procedural_head,
    read_label_map,
    simulate_contrasts,
    simulate_scan,
)
from SITTranslateLib.simulation.contrast import SEQUENCES, Sequence, sequence_named
from SITTranslateLib.simulation.labels import LABEL_NAMES, LEFT_RIGHT, TISSUE_OF_LABEL
from SITTranslateLib.simulation.lesions import lesion_share
from SITTranslateLib.simulation.scanner import bias_field
from SITTranslateLib.volume import Volume


def level(contrast: str, tissue: str) -> float:
    return SEQUENCES[contrast].signal(TISSUES[tissue])


@pytest.mark.parametrize(
    ("contrast", "bright_to_dark"),
    [
        ("T1w", ["wm", "thalamus", "gm", "csf", "air"]),
        ("T1w_spoiled", ["wm", "thalamus", "gm", "csf", "air"]),
        ("T2w", ["csf", "lesion", "gm", "wm", "bone_cortical"]),
        ("PD", ["gm", "wm", "bone_cancellous", "bone_cortical"]),
        ("FLAIR", ["lesion", "gm", "wm", "csf"]),
        ("CT", ["bone_cortical", "bone_cancellous", "gm", "wm", "csf", "air"]),
    ],
)
def test_order_of_tissues(contrast: str, bright_to_dark: list[str]) -> None:
    levels = [level(contrast, tissue) for tissue in bright_to_dark]
    assert levels == sorted(levels, reverse=True)


def test_prepared_train_agrees_with_simulated_spins() -> None:
    """The closed form of the steady state against stepping through a hundred repetitions."""
    sequence, t1 = SEQUENCES["T1w"], 1200.0
    m, angle, half = 1.0, np.deg2rad(sequence.flip), sequence.readouts // 2

    def recover(m: float, time: float) -> float:
        return 1 + (m - 1) * float(np.exp(-time / t1))

    for _ in range(100):
        m = recover(-m, sequence.inversion - half * sequence.spacing)
        for readout in range(2 * half):
            if readout == half:
                centre = abs(m) * np.sin(angle)
            m = recover(m * float(np.cos(angle)), sequence.spacing)
        m = recover(m, sequence.repetition - sequence.inversion - half * sequence.spacing)
    assert sequence._prepared(t1) == pytest.approx(centre, rel=1e-6)


def test_spoiled_echo_peaks_at_the_ernst_angle() -> None:
    t1 = TISSUES["wm"].t1[0]
    ernst = np.rad2deg(np.arccos(np.exp(-20.0 / t1)))
    signals = [
        Sequence("gradient_echo", 20.0, 5.0, flip=a).signal(TISSUES["wm"]) for a in (ernst - 3, ernst, ernst + 3)
    ]
    assert signals[1] == max(signals)


def test_contrasts_share_anatomy_but_not_noise(subject: Subject) -> None:
    grid = network_grid(subject.centre, 4.0)
    scans = simulate_contrasts(subject, ["T1w", "T2w", "CT"], 7, grid=grid, lesion_load=8, deform=True)
    again = simulate_contrasts(subject, ["T1w", "T2w", "CT"], 7, grid=grid, lesion_load=8, deform=True)
    for name, scan in scans.scans.items():
        assert scan.array.tobytes() == again.scans[name].array.tobytes()
    white, fluid = scans.labels.mask(2, 41), scans.labels.mask(4, 43)
    t1, t2, ct = (scans.clean[name].array for name in ("T1w", "T2w", "CT"))
    assert np.median(t1[white]) > np.median(t1[fluid])
    assert np.median(t2[white]) < np.median(t2[fluid])
    assert -1001 < ct.min() < -990
    assert 500 < ct.max() < 1800
    assert 20 < np.median(ct[white]) < 36


def test_scan_of_a_bare_label_map_shows_its_own_lesions(head: LabelMap) -> None:
    with_lesion = head.array.copy()
    k, j, i = (int(v) for v in np.round(np.median(np.argwhere(head.mask(41)), axis=0)))
    with_lesion[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = 57
    options = {"contrast": "FLAIR", "scanner": None, "grid": head.grid, "vary_tissue": False}
    plain = simulate_scan(head, **options).array
    lesioned = simulate_scan(LabelMap(with_lesion, head.affine), **options).array
    assert lesioned[k, j, i] > 1.3 * plain[k, j, i]


def test_lesions_have_their_load_and_nest(subject: Subject) -> None:
    rng = np.random.default_rng(0)
    white = np.clip(rng.random((30, 30, 30)) * 2, 0, 1).astype(np.float32)
    potential = np.add.outer(np.add.outer(np.arange(30), np.arange(30)), np.arange(30)).astype(np.float32) / 30
    shares = [lesion_share(potential, white, 0.008, load) for load in (0.0, 5.0, 20.0, 60.0)]
    assert not shares[0].any()
    for load, share in zip((5.0, 20.0, 60.0), shares[1:], strict=True):
        assert share.sum() * 0.008 == pytest.approx(load, rel=0.12)
    for smaller, larger in pairwise(shares):
        assert (smaller <= larger + 1e-6).all()


def test_lesions_lie_near_the_ventricles(subject: Subject) -> None:
    potential, distance = subject.lesion_potential.array, subject.ventricle_distance.array
    near = potential[(distance > 0) & (distance < 6)].mean()
    far = potential[(distance > 15) & (distance < 25)].mean()
    assert near > far + 0.2


def test_noise_is_rician_and_bias_stays_in_its_range() -> None:
    air = Volume(np.zeros((40, 40, 40), np.float32), np.eye(4))
    noisy = Scanner(noise=0.05, gain=1000).acquire(air, 0).array
    assert noisy.mean() == pytest.approx(50 * np.sqrt(np.pi / 2), rel=0.02)
    field = bias_field((20, 24, 28), 0.3, 11)
    assert np.abs(field - 1).max() == pytest.approx(0.3, rel=1e-3)


def test_ct_noise_is_symmetric() -> None:
    water = Volume(np.zeros((30, 30, 30), np.float32), np.eye(4))
    noisy = Scanner(noise=0.02).for_contrast("CT").acquire(water, 1).array
    assert abs(noisy.mean()) < 0.5
    assert noisy.min() < -10


def test_unseen_scanners_lie_outside_the_training_range() -> None:
    rng = np.random.default_rng(0)
    training, low_high = SCANNERS["training"], SCANNERS["training"].gamma[0]
    for _ in range(50):
        unseen = draw_scanner("unseen", rng)
        assert not low_high[0] <= unseen.gamma <= low_high[1]
        assert unseen.bias > training.bias[1]
        assert unseen.noise > training.noise[1]
        assert unseen.blur_mm > training.blur_mm[1]


def test_every_label_has_a_name_a_tissue_and_a_partner() -> None:
    assert set(TISSUE_OF_LABEL) == set(LABEL_NAMES)
    assert set(TISSUE_OF_LABEL.values()) <= set(TISSUES)
    assert all(LEFT_RIGHT[LEFT_RIGHT[label]] == label for label in LEFT_RIGHT)


def test_label_maps_are_brought_to_ras(tmp_path: Path, head: LabelMap) -> None:
    image = sitk.GetImageFromArray(head.array)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ head.affine
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetSpacing(head.grid.spacing)
    image.SetDirection((affine[:3, :3] / head.grid.spacing).ravel().tolist())
    turned = sitk.Flip(sitk.PermuteAxes(image, [2, 0, 1]), [True, False, True])
    sitk.WriteImage(turned, str(tmp_path / "map.nii.gz"))
    read = read_label_map(tmp_path / "map.nii.gz")
    assert np.array_equal(read.array, head.array)
    assert np.allclose(read.affine, head.affine, atol=1e-4)


def test_bad_label_maps_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.nii.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_label_map(tmp_path / "no.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 4, 4), 333, np.int16)), str(tmp_path / "x.nii.gz"))
    with pytest.raises(InputError, match="no known labels"):
        read_label_map(tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match="empty"):
        prepare_subject(LabelMap(np.zeros((5, 5, 5), np.int16), np.eye(4)))
    with pytest.raises(InputError, match="no brain"):
        prepare_subject(LabelMap(np.full((5, 5, 5), 511, np.int16), np.eye(4)))


def test_subjects_survive_their_file(tmp_path: Path, subject: Subject) -> None:
    subject.save(tmp_path / "subject.npz")
    read = load_subject(tmp_path / "subject.npz")
    assert read.velocity.array.tobytes() == subject.velocity.array.tobytes()
    assert np.array_equal(read.labels.array, subject.labels.array)
    assert read.realised == subject.realised
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a prepared subject"):
        load_subject(tmp_path / "bad.npz")


def test_procedural_head_is_complete_and_seeded() -> None:
    head = procedural_head(2, spacing=2.5)
    assert np.array_equal(head.array, procedural_head(2, spacing=2.5).array)
    assert not np.array_equal(head.array, procedural_head(3, spacing=2.5).array)
    assert set(np.unique(head.array)) <= set(TISSUE_OF_LABEL)
    brain = (2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 16, 17, 18, 26, 28)
    present = set(np.unique(head.array).tolist())
    assert set(brain) <= present
    assert {LEFT_RIGHT[label] for label in brain if label in LEFT_RIGHT} <= present
    assert 900 < head.millilitres(2, 3, 7, 8, 41, 42, 46, 47) < 1500
    assert 10 < head.millilitres(4, 43) < 40
    wide = procedural_head(2, spacing=2.5, ventricles=2.5)
    assert wide.millilitres(4, 43) > 1.7 * head.millilitres(4, 43)


def test_real_label_map_ages_at_its_targets(real_data: Path) -> None:
    path = real_data / "labels_synthseg" / "training_seg_01.nii.gz"
    if not path.exists():
        pytest.skip("the label maps are not on this machine")
    labels = read_label_map(path)
    halved = LabelMap(labels.array[::2, ::2, ::2], labels.affine @ np.diag([2.0, 2.0, 2.0, 1.0]), "01")
    subject = prepare_subject(halved)
    assert subject.realised["lateral ventricles"] == pytest.approx(3.0, abs=0.15)
    for name in ("hippocampus", "white matter", "thalamus"):
        assert subject.realised[name] == pytest.approx(subject.targets[name], abs=0.2), name


def test_a_contrast_agent_shows_where_it_goes_and_nowhere_else() -> None:
    def signals(tissue: str) -> tuple[float, float]:
        return tuple(sequence_named(name).signal(TISSUES[tissue]) for name in ("T1w", "T1wGd"))  # type: ignore[return-value]

    for tissue in ("wm", "gm", "csf", "lesion"):
        assert signals(tissue)[0] == signals(tissue)[1]
    before, after = signals("vessel")
    assert before < signals("gm")[0] and after > 2 * signals("wm")[0]
    assert 1.2 < signals("mucosa")[1] / signals("mucosa")[0] < after / before
    leaky = replace(TISSUES["lesion"], uptake=0.4)
    assert sequence_named("T1wGd").signal(leaky) > signals("wm")[0] > signals("lesion")[0]
