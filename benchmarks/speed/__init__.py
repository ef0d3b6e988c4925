"""Speed side by side with peers: the same work, the same answer, one process, CPU-seconds and wall.

``measuring`` times ours and the peer's in turns, ``races`` says what is compared, ``peers`` how others do it,
``figures`` what has no peer (slider, memory, growth); ``report`` makes table, JSON and plot. Nothing is a timed test.
"""
