"""Prescribed change: volume changes by region, given as numbers, and the diffeomorphism that realises them.

It needs no training: ``changes`` reads what is asked for, ``presets`` has tables with their sources, ``regions`` says
where each region lies and ``solver`` finds the velocity.
"""
