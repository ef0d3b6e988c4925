"""The field engine compiled by numba: the same results as the torch form, in one pass each.

Imported only where numba is installed (the extra ``speed``); :mod:`SITTranslateLib.fields.operations` falls back to
torch without it. Every kernel works on layers ``[first, last)`` of its output and releases the interpreter's lock,
so that :mod:`SITTranslateLib.fields.threads` can hand slabs to threads.
"""
