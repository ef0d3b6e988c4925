"""Scans with known truth: tissue contrasts, ageing, lesions, scanners, from label maps of heads."""

from __future__ import annotations

from SITTranslateLib.simulation.ageing import RATES, Ageing, Rate, ageing
from SITTranslateLib.simulation.contrast import SEQUENCES
from SITTranslateLib.simulation.deformation import DeformationRange
from SITTranslateLib.simulation.head import procedural_head
from SITTranslateLib.simulation.labels import LabelMap, read_label_map
from SITTranslateLib.simulation.pair import SimulatedPair, network_grid, simulate_pair
from SITTranslateLib.simulation.scan import SimulatedScans, simulate_contrasts, simulate_scan
from SITTranslateLib.simulation.scanner import SCANNERS, Scanner, ScannerRange, draw_scanner
from SITTranslateLib.simulation.subject import Subject, brain_mask, load_subject, prepare_subject
from SITTranslateLib.simulation.tissue import TISSUES, Tissue

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
    "ageing",
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
