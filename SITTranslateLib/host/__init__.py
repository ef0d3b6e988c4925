"""The model host: a worker process that keeps models in memory, its JSON-lines protocol, and its client.

``client`` (numpy only) starts the worker, sends requests and hands out events; ``worker`` is the process; ``jobs`` what
it can do, the only file here that imports torch. Slicer and the command line hold the same client::

    from SITTranslateLib.host.client import HostClient

    with HostClient() as host:
        result = host.run("translate", volume=scan, model="brain-ageing-t1w", attributes={"age": 10})
"""
