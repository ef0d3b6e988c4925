"""Recipes: how a system's configs are read and its networks trained, packaged and evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from lightning.fabric import Fabric
from torch import Tensor, nn

from SITTranslateLib import systems
from SITTranslateLib.errors import InputError
from SITTranslateLib.training.engine.config import RunConfig
from SITTranslateLib.training.engine.trainer import RunOptions, Trainer, finished_weights, read_config


@dataclass(frozen=True)
class EvaluationRequest:
    """Arguments of ``sittranslate evaluate``.

    Attributes:
        system: as it was typed, without hyphens.
        out: folder for the tables.
        labels: folder of head label maps; the held-out ones are measured on.
        runs: folders of finished runs by the name of their row, ``METHOD`` or ``METHOD@SEED``.
        count: cases of each group (pairs of a label map, heads of a group, scans of a kind).
        cache: where prepared maps and phantoms are kept.
        scans: folder of real scans.
        model: package for real scans.
        between: direction ``SOURCE>TARGET``.
        fluid: ``normalisation.fluid`` of the card that the runs are for.
        segmenter: run of a fixed segmenter of the target.
    """

    system: str
    out: Path
    labels: Path | None = None
    runs: Mapping[str, Path] = field(default_factory=dict)
    count: int = 4
    cache: Path | None = None
    scans: Path | None = None
    model: str = ""
    between: str | None = None
    fluid: float = 0.0
    segmenter: Path | None = None

    @property
    def kept(self) -> Path:
        """The cache, or the folder of the tables."""
        return self.cache or self.out


class Recipe(ABC):
    """One way to train; an instance is registered for each system in ``training/recipes/__init__.py``."""

    #: What its configs are.
    config_class: ClassVar[type[RunConfig]]
    #: Whether several devices may train it.
    parallel: ClassVar[bool] = False
    #: Whether what it learns from is simulated.
    simulated: ClassVar[bool] = True
    #: Voxels that its networks work on.
    spacing_mm: ClassVar[float] = 1.0
    #: Whether its networks translate without diffusion, too, if ``steps`` 0 is asked for.
    without_diffusion: ClassVar[bool] = False
    #: What a user does with a finished run.
    next_step: ClassVar[str] = "the run lies in {out}. Next: sittranslate publish {out} --card ..."

    def parse(self, raw: dict[str, Any], *, seed: int | None = None, steps: int | None = None) -> Any:
        """See :meth:`RunConfig.from_dict`."""
        return self.config_class.from_dict(raw, seed=seed, steps=steps)

    @abstractmethod
    def trainer(self, config: Any, labels: Any, cache: Path, fabric: Fabric, options: RunOptions) -> Trainer:
        """The trainer of a config with its data.

        Args:
            labels: folder of label maps, or what else the recipe learns from.
            cache: where prepared data are kept.
        """

    def network(self, config: Any) -> nn.Module:
        """The network of a config, with fresh weights."""
        return systems.create(config.system, config.network)

    def finish(self, network: nn.Module) -> nn.Module:
        """A trained network as it is measured and shipped."""
        return network.eval()

    def package(
        self, config: Any, weights: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """Parameters and weights of the package of a run, for the text of a card."""
        return config.network, weights

    def towards(self, network: Any, source: str, target: str) -> tuple[Any, dict[str, float]]:
        """A network set to translate one way, and what is asked of it for that.

        Raises:
            InputError: it does not translate that way.
        """
        if (getattr(network, "source", ""), getattr(network, "target", "")) != (source, target):
            raise InputError(f"A network of these runs does not translate {source} to {target}.")
        return network, {}

    def write_results(self, trainer: Trainer, folder: Path) -> None:
        """Write what a finished run leaves beside its checkpoint; nothing by default."""

    def evaluate(self, request: EvaluationRequest) -> None:
        """Write the tables of the system and print them.

        Raises:
            InputError: there is nothing to measure, or the system has no table.
        """
        raise InputError(f"There are no tables for the system '{request.system}'.")

    # ---------------------------------------------------------------- the same for all
    def run(self, config: Any, labels: Any, folder: Path, options: RunOptions | None = None) -> Trainer:
        """Train a config in ``folder``, going on from its checkpoint if there is one.

        Raises:
            InputError: several devices for a recipe that trains on one, or data that are not there.
        """
        options = options or RunOptions()
        if options.devices * options.nodes > 1 and not self.parallel:
            raise InputError("This system trains on one device; leave --devices and --nodes out.")
        trainer = self.trainer(config, labels, options.cache or folder, options.launch(), options)
        trainer.train(folder, save_every=options.save_every)
        self.write_results(trainer, folder)
        return trainer

    def finished(self, folder: Path, *, step: int | None = None) -> tuple[Any, Any]:
        """Config and network of a run with its averaged weights, ready to translate.

        Raises:
            InputError: no run there, or one that has not reached its end (or the ``step`` that is enough).
        """
        config = self.parse(read_config(folder))
        network = self.network(config)
        network.load_state_dict(finished_weights(folder, config.total if step is None else step))
        return config, self.finish(network)
