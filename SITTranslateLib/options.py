"""How a translation is computed: one set of options from every entry point down to the record of a result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as fields_of
from numbers import Integral
from typing import Any

from SITTranslateLib.arguments import shown
from SITTranslateLib.errors import InputError

#: Precisions of a network's convolutions; fields are always float32.
PRECISIONS = ("float32", "bfloat16", "float16")
#: Largest ensemble; more would take longer than anybody waits.
LARGEST_ENSEMBLE = 64
_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:[0-9]{1,3})?")


@dataclass(frozen=True)
class TranslationOptions:
    """Options of the computation, in addition to the scan, the model and its attributes.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``; whether the machine has it is found out when the model
            is loaded.
        seed: of systems that draw random numbers; the same seed gives the same bytes.
        precision: of the network's convolutions: ``float32``, or ``bfloat16``, which takes half the time on processors
            that have it and changes the result a little (measured in docs/speed.md), or ``float16`` for GPUs with too
            little memory.
        ensemble: number of answers that the maps of uncertainty are made of, each of which takes as long as a
            translation; 1 for no such map.
        force: translate although the scan does not suit the model; what was overridden is kept in the provenance.

    Raises:
        InputError: a value makes no sense.
    """

    device: str = "auto"
    seed: int = 0
    precision: str = "float32"
    ensemble: int = 1
    force: bool = False

    def __post_init__(self) -> None:
        check_device(self.device)
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**63:
            raise InputError(f"The seed {shown(self.seed)} is not a whole number from 0 to 2^63.")
        if not isinstance(self.precision, str) or self.precision not in PRECISIONS:
            raise InputError(f"The precision '{shown(self.precision)}' is not one of {', '.join(PRECISIONS)}.")
        if not _is_whole(self.ensemble) or not 1 <= self.ensemble <= LARGEST_ENSEMBLE:
            raise InputError(
                f"An ensemble of {shown(self.ensemble)} is not possible: ask for 2 to {LARGEST_ENSEMBLE} answers, "
                "or 1 for no map."
            )
        if not isinstance(self.force, bool):
            raise InputError(f"Whether to force must be true or false, not '{shown(self.force)}'.")
        # NumPy's whole numbers are none to JSON.
        for name in ("seed", "ensemble"):
            object.__setattr__(self, name, int(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TranslationOptions:
        """The options among some values, by name; those that are missing are the usual ones.

        Raises:
            InputError: a value makes no sense.
        """
        return cls(**{f.name: values[f.name] for f in fields_of(cls) if f.name in values})

    def changed(self, **values: Any) -> TranslationOptions:
        """With other values for those that are not None.

        Raises:
            InputError: a value makes no sense.
        """
        return replace(self, **{name: value for name, value in values.items() if value is not None})


def check_device(name: object) -> None:
    """Refuse what names no device of any machine.

    Raises:
        InputError: not ``auto``, ``cpu``, ``cuda`` or ``mps``, with or without a number.
    """
    if not isinstance(name, str) or not _DEVICE.fullmatch(name):
        raise InputError(f"There is no device '{shown(name)}'; use auto, cpu or cuda.")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
