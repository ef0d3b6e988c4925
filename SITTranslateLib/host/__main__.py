"""``python -m SITTranslateLib.host --folder PRIVATE``: the worker process."""

from __future__ import annotations

import sys

from SITTranslateLib.host.worker import main

if __name__ == "__main__":
    sys.exit(main())
