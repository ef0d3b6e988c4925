"""Speed side by side with peers: the same work, the same answer, one process, CPU-seconds and wall.

``measuring`` times ours and the peer's in turns, ``races`` says what is compared, ``peers`` how others do it,
``front`` holds error against time, ``figures`` what has no peer, ``growth`` how cost grows; ``report`` makes table,
JSON and plot, ``pages`` writes ``docs/speed.md`` anew. Nothing is a timed test.
"""
