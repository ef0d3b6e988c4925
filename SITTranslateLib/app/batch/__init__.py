"""``sittranslate batch``: many scans, one model, a BIDS derivative dataset.

``scans`` finds what there is to do and ``names`` says what each result is called; ``job`` translates one scan in a
process of its own; ``machine`` and ``cluster`` run many jobs; ``dataset`` describes the whole, ``summary`` reports it.
A result counts as done when its sidecar stands, which is written last.
"""
