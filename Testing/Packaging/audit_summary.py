"""``python Testing/Packaging/audit_summary.py AUDIT.json``: what pip-audit found, if it could look anything up.

pip-audit ends well where it could not look up a single package, for example without a network: nothing known is not the
same as nothing there. Packages that come from elsewhere than PyPI (the processor's own torch) can never be looked up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

#: Share of the packages that must have been looked up for an audit to count.
LEAST_LOOKED_UP = 0.9


def summary(report: Path) -> tuple[int, str]:
    """Exit code and a line: 0 if nothing is known, 1 if something is, 2 if too little was looked up to say."""
    if not report.is_file():
        return 2, "AUDIT: pip-audit wrote no report."
    packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    asked = [p for p in packages if "skip_reason" not in p]
    weak = [f"{p['name']} {p['version']} ({', '.join(v['id'] for v in p['vulns'])})" for p in asked if p["vulns"]]
    line = f"AUDIT: {len(asked)} of {len(packages)} packages were looked up"
    if weak:
        return 1, f"{line}; known weaknesses: {'; '.join(weak)}."
    if len(asked) < LEAST_LOOKED_UP * len(packages):
        return 2, f"{line}, too few to say anything; is there a network?"
    return 0, f"{line}; no weakness of these is known."


if __name__ == "__main__":
    code, line = summary(Path(sys.argv[1]))
    sys.stdout.write(line + "\n")
    sys.exit(code)
