"""The model host: a worker process that keeps models in memory, its JSON-lines protocol, and its client.

``client`` (numpy only) starts the worker, sends ``requests`` and hands out events; ``presenter`` is what the module's
window and the web page do with it; ``worker`` is the process; ``jobs`` what it can do, the only file here that imports
torch. Slicer and the command line hold the same client::

    from SITTranslateLib.host.client import HostClient
    from SITTranslateLib.host.requests import TranslateRequest

    with HostClient() as host:
        result = host.run(TranslateRequest(scan, "brain-ageing-t1w", {"age": 10}))
"""
