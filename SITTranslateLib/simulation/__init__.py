"""Scans with known truth: tissue contrasts, ageing, lesions, scanners, from label maps of heads.

Names are imported at their first use: who needs only the labels does not wait for SciPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SITTranslateLib.simulation.ageing import RATES, Ageing, Rate
    from SITTranslateLib.simulation.contrast import SEQUENCES
    from SITTranslateLib.simulation.deformation import DeformationRange
    from SITTranslateLib.simulation.head import procedural_head
    from SITTranslateLib.simulation.labels import LabelMap, read_label_map
    from SITTranslateLib.simulation.pair import SimulatedPair, network_grid, simulate_pair
    from SITTranslateLib.simulation.scan import SimulatedScans, simulate_contrasts, simulate_scan
    from SITTranslateLib.simulation.scanner import SCANNERS, Scanner, ScannerRange, draw_scanner
    from SITTranslateLib.simulation.subject import Subject, brain_mask, load_subject, prepare_subject
    from SITTranslateLib.simulation.tissue import TISSUES, Tissue

#: Module of each name. The function of a module's own name is left out: importing the module would hide it.
_HOME = {
    "RATES": "ageing",
    "SCANNERS": "scanner",
    "SEQUENCES": "contrast",
    "TISSUES": "tissue",
    "Ageing": "ageing",
    "DeformationRange": "deformation",
    "LabelMap": "labels",
    "Rate": "ageing",
    "Scanner": "scanner",
    "ScannerRange": "scanner",
    "SimulatedPair": "pair",
    "SimulatedScans": "scan",
    "Subject": "subject",
    "Tissue": "tissue",
    "brain_mask": "subject",
    "draw_scanner": "scanner",
    "load_subject": "subject",
    "network_grid": "pair",
    "prepare_subject": "subject",
    "procedural_head": "head",
    "read_label_map": "labels",
    "simulate_contrasts": "scan",
    "simulate_pair": "pair",
    "simulate_scan": "scan",
}

__all__ = [
    "RATES",
    "SCANNERS",
    "SEQUENCES",
    "TISSUES",
    "Ageing",
    "DeformationRange",
    "LabelMap",
    "Rate",
    "Scanner",
    "ScannerRange",
    "SimulatedPair",
    "SimulatedScans",
    "Subject",
    "Tissue",
    "brain_mask",
    "draw_scanner",
    "load_subject",
    "network_grid",
    "prepare_subject",
    "procedural_head",
    "read_label_map",
    "simulate_contrasts",
    "simulate_pair",
    "simulate_scan",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
