"""Hostile inputs, made by rule and seed: volumes in memory, scan files, DICOM series, packages, protocol lines.

``volumes`` and ``lines`` are hypothesis strategies; ``seeds`` writes small honest scans in every format and
``damage`` alters them; ``corpus`` numbers the cases, ``outcome`` says how one ended and ``run`` runs many of them in a
process of its own, so that even a crash in a C++ library is a finding and not the end of the tests.
"""
