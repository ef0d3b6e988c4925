"""Prescribed change: volume changes by region, given as numbers, and the diffeomorphism that realises them.

It needs no training: ``changes`` reads the prescribed changes, ``presets`` has tables with their sources, ``regions``
locates each region and ``solver`` finds the velocity.
"""
