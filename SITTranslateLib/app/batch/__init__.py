"""``sittranslate batch``: many scans, one model, a BIDS derivative dataset.

``scans`` finds the scans and ``names`` names each result; ``job`` translates one scan in its
own process; ``machine`` and ``cluster`` run many jobs; ``dataset`` describes the whole, ``summary`` reports it.
A result counts as done when its sidecar exists, which is written last.
"""
