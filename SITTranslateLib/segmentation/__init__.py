"""Tissue probabilities of a head in any contrast: a structure map common to two scans of one person."""

from __future__ import annotations

from SITTranslateLib.segmentation.tissues import CLASS_OF_LABEL, CLASSES, SPACING_MM, normalised

__all__ = ["CLASSES", "CLASS_OF_LABEL", "SPACING_MM", "normalised"]
