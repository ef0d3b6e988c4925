"""Public patients with several contrasts, with their files, scanners and licences, and the folds of the recipes.

Two visits of one person, and patients of one scanner, share an identifier, so that a fold leaves all of them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from SITTranslateLib.errors import InputError

CONTRASTS = ("T1w", "T2w", "FLAIR")
"""What the network reads and makes, in the order of its channels."""

MS_CROSS = "Lesjak et al., Neuroinformatics 2018 (open_ms_data, cross-sectional)"
MS_LONG = "Lesjak et al., Neuroinformatics 2016 (open_ms_data, longitudinal)"
GLIOMA = "TCGA-LGG, The Cancer Imaging Archive (Pedano et al. 2016)"
MNI = "MNI152 average (FSL's MNI152 T1w and T2w, 1 mm)"


@dataclass(frozen=True)
class Visit:
    """The scans of one visit.

    Attributes:
        name: of the visit, unique.
        subject: of the person; both visits of a person share it.
        scanner: of the group of scanners and protocols.
        scans: contrast to file below the data folder; contrasts that were not acquired are absent.
        affines: contrast to an ITK transform (points of FLAIR to points of that scan) to start the registration from.
        lesions: mask of lesions or tumour, in the space of FLAIR, or empty.
        brain: mask of the brain in the space of FLAIR, or empty: found by the segmentation.
        stripped: the skull was taken off.
        weight: how often it is drawn in training, relative to the others; 0 for evaluation only.
        licence, credit: of the data.
    """

    name: str
    subject: str
    scanner: str
    scans: dict[str, str]
    affines: dict[str, str] = field(default_factory=dict)
    lesions: str = ""
    brain: str = ""
    stripped: bool = False
    weight: float = 1.0
    licence: str = "CC BY 4.0"
    credit: str = MS_LONG


def _cross(number: str) -> Visit:
    stem = f"ms_cross/patient{number}"
    return Visit(
        name=f"ms-cross-{number}",
        subject=f"ms-cross-{number}",
        scanner="ms-cross",
        scans={contrast: f"{stem}_{contrast}.nii.gz" for contrast in CONTRASTS},
        lesions=f"{stem}_lesions.nii.gz",
        stripped=True,
        credit=MS_CROSS,
    )


def _raw(number: str, study: str, contrasts: Sequence[str] = CONTRASTS) -> Visit:
    stem = f"ms_long/raw/patient{number}_study{study}"
    endings = {"T1w": "T1W", "T2w": "T2W", "FLAIR": "FLAIR"}
    moving = [contrast for contrast in contrasts if contrast != "FLAIR"]
    return Visit(
        name=f"ms-long-{number}-visit-{study}",
        subject=f"ms-long-{number}",
        scanner="ms-long",
        scans={contrast: f"{stem}_{endings[contrast]}.nii.gz" for contrast in contrasts},
        affines={contrast: f"{stem}_{endings[contrast]}_intrastudy_to_FLAIR.txt" for contrast in moving},
    )


def _first_visit_of_01() -> Visit:
    stem = "ms_long/native/patient01_study1"
    ends = {"T1w": "T1W", "T2w": "T2W", "FLAIR": "FLAIR"}
    return Visit(
        name="ms-long-01-visit-1",
        subject="ms-long-01",
        scanner="ms-long",
        scans={contrast: f"{stem}_{end}_native.nii.gz" for contrast, end in ends.items()},
        affines={
            contrast: f"ms_long/raw/patient01_study1_{ends[contrast]}_intrastudy_to_FLAIR.txt"
            for contrast in ("T1w", "T2w")
        },
    )


VISITS: tuple[Visit, ...] = (
    _cross("07"),
    _cross("19"),
    _cross("26"),
    Visit(
        name="glioma",
        subject="TCGA-DU-7294",
        scanner="tcga",
        scans={contrast: f"glioma/TCGA-DU-7294_{contrast}.nii.gz" for contrast in CONTRASTS},
        lesions="glioma/TCGA-DU-7294_tumour_auto.nii.gz",
        stripped=True,
        licence="CC BY 3.0",
        credit=GLIOMA,
    ),
    _first_visit_of_01(),
    _raw("01", "2"),
    _raw("03", "1", ("T2w", "FLAIR")),
    _raw("03", "2"),
    _raw("04", "1"),
    _raw("12", "1"),
    _raw("12", "2"),
    _raw("19", "2", ("T1w", "FLAIR")),
    _raw("20", "2", ("T1w", "FLAIR")),
    Visit(
        name="mni152",
        subject="mni152",
        scanner="template",
        scans={"T1w": "templates/MNI152_T1w_1mm_brain.nii.gz", "T2w": "templates/MNI152_T2w_1mm_brain.nii.gz"},
        stripped=True,
        weight=0.0,
        licence="origin FSL, terms for weights unclear: evaluation only",
        credit=MNI,
    ),
)

FOLDS: dict[str, tuple[str, ...]] = {
    "without-ms-cross": ("ms-cross-07", "ms-cross-19", "ms-cross-26"),
    "without-glioma": ("TCGA-DU-7294",),
    "without-ms-long-01-19-20": ("ms-long-01", "ms-long-19", "ms-long-20"),
    "without-ms-long-03-04-12": ("ms-long-03", "ms-long-04", "ms-long-12"),
    "without-ms-cross-07": ("ms-cross-07",),
    "without-ms-cross-19": ("ms-cross-19",),
    "without-ms-cross-26": ("ms-cross-26",),
    "first-seven": ("ms-cross-19", "ms-long-03", "ms-long-19"),
    "all": (),
}
"""Name of a fold to the subjects that it leaves out; ``first-seven`` trained the package 0.1.0."""


def training_visits(fold: str) -> tuple[Visit, ...]:
    """The visits that a fold trains on.

    Raises:
        InputError: there is no such fold.
    """
    if fold not in FOLDS:
        raise InputError(f"There is no fold '{fold[:40]}'; there are {', '.join(FOLDS)}.")
    return tuple(visit for visit in VISITS if visit.weight > 0.0 and visit.subject not in FOLDS[fold])


def held_out_visits(fold: str) -> tuple[Visit, ...]:
    """The visits that a fold is tested on."""
    if fold not in FOLDS:
        raise InputError(f"There is no fold '{fold[:40]}'; there are {', '.join(FOLDS)}.")
    return tuple(visit for visit in VISITS if visit.subject in FOLDS[fold])


def existing(visit: Visit, data: Path) -> dict[str, Path]:
    """The scans of a visit that are there, by contrast."""
    return {c: data / name for c, name in visit.scans.items() if (data / name).is_file()}
