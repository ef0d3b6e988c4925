"""A training run of Plasticine as a TOML file with stages; config and seed reproduce the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.recipes.plasticine.phantoms import AgeingPhantomSet

SYSTEMS = ("plasticine", "plasticine_paper")
TRAINED = ("renderer", "deformation", "regression")
MAPS = ("labels", "predicted", "mixed")


@dataclass(frozen=True)
class Terms:
    """Weight of each term of the deformation's losses; 0 leaves it out.

    Attributes:
        structure: mean square difference of the moved structure map and the target's, both ways.
        correlation: 1 - local normalised cross-correlation of the same, both ways, on half the resolution.
        information: minus mutual information of the scans themselves, both ways (the paper's).
        motion: L1 to the simulation's own motion, mm; 0 in the paper's setting, where nobody knows it.
        membrane, bending: mean square of first (1) and second (1/mm) derivatives of the velocity.
        alignment: first features of the source alone to those with the target.
    """

    structure: float = 0.0
    correlation: float = 0.0
    information: float = 0.0
    motion: float = 0.0
    membrane: float = 0.0
    bending: float = 0.0
    alignment: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One part of a run.

    Attributes:
        train: renderer (algorithm 1), deformation (algorithm 2; the renderer only lends its noise), or regression (a
            renderer that is shown the source scan of the same head, for the tables).
        steps, rate: how long and how fast.
        maps: structure maps from the simulation's own tissues, from the tissue network, or from either in turn.
        paired: the deformation's target is the same head later, or another head (the paper's).
        together: share of the deformation's steps in which the switch lets the target in.
        years: smallest and largest change of age.
        strip: share of heads whose skull is taken off.
        aged: share of the renderer's heads that are moved first, since it renders on moved maps in use.
        hardest: share of the renderer's steps at the noise level that sampling starts from.
        block: size of the renderer's training blocks ``(K, J, I)``, even; empty for whole heads.
        brain_weight: how much more a voxel of the brain counts.
        terms: of the deformation.
    """

    train: str
    steps: int
    rate: float = 1e-3
    maps: str = "labels"
    paired: bool = True
    together: float = 0.5
    years: tuple[float, float] = (5.0, 30.0)
    strip: float = 0.4
    aged: float = 0.3
    hardest: float = 0.5
    block: tuple[int, ...] = ()
    brain_weight: float = 3.0
    terms: Terms = field(default_factory=Terms)

    def __post_init__(self) -> None:
        if self.train not in TRAINED or self.maps not in MAPS:
            raise InputError(f"A stage trains one of {', '.join(TRAINED)} on one of the maps {', '.join(MAPS)}.")
        terms = self.terms
        if self.train == "deformation" and not (
            terms.structure or terms.correlation or terms.information or terms.motion
        ):
            raise InputError("A deformation stage needs a term that says where to go: structure, for example.")


@dataclass(frozen=True)
class PlasticineConfig(RunConfig):
    """One run.

    Attributes:
        network: the parameters of the system's network.
        motion: package of the same source whose deformation network is taken over; empty to begin with none.

    Raises:
        InputError: a stage that real visits cannot serve.
    """

    name: str
    network: dict[str, Any]
    heads: AgeingPhantomSet
    stages: tuple[Stage, ...]
    average: float = 0.995
    seed: int = 0
    system: str = SYSTEMS[0]
    motion: str = ""

    def __post_init__(self) -> None:
        found = all(s.train != "deformation" and s.maps == "predicted" and s.aged == 0 for s in self.stages)
        if self.heads.fold and not found:
            raise InputError("Real visits have no labels and do not age: stages take 'predicted' maps and 'aged' 0.")

    @property
    def needs_tissue_network(self) -> bool:
        return any(stage.maps != "labels" for stage in self.stages)
