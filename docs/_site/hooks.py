"""What the site needs beyond ``docs``: the screenshots, which lie where Slicer's extension index looks for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]
#: Links of the pages as they read in the repository, and where they lead on the site.
ELSEWHERE = {
    "../Resources/Screenshots/": "screenshots/",
    "../CONTRIBUTING.md": "contributing.md",
    "../LICENSE": "https://github.com/SITTranslate/SlicerSITTranslate/blob/main/LICENSE",
    "../CODE_OF_CONDUCT.md": "https://github.com/SITTranslate/SlicerSITTranslate/blob/main/CODE_OF_CONDUCT.md",
    "../CHANGELOG.md": "https://github.com/SITTranslate/SlicerSITTranslate/blob/main/CHANGELOG.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the screenshots and the contributors' guide."""
    for picture in sorted((REPOSITORY / "Resources" / "Screenshots").glob("*.png")):
        files.append(File.generated(config, f"screenshots/{picture.name}", abs_src_path=str(picture)))
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    inside = guide.replace("](docs/", "](").replace("](CODE_OF_CONDUCT.md", "](../CODE_OF_CONDUCT.md")
    inside = inside.replace("](CHANGELOG.md", "](../CHANGELOG.md").replace("](LICENSE", "](../LICENSE")
    files.append(File.generated(config, "contributing.md", content=inside))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links out of ``docs``, as they read in the repository, become links of the site."""
    for link, place in ELSEWHERE.items():
        markdown = markdown.replace(f"]({link}", f"]({place}")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Roles of docstrings (``:func:``), which Markdown does not know, leave only the name."""
    return re.sub(r":(?:func|class|data|mod|meth|attr):(<code>)(?:[\w.]*~)?", r"\1", html)
