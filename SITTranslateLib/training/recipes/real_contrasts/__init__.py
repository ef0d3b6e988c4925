"""MR contrasts from each other, trained on real scans of one person in several contrasts."""
