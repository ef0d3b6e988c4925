"""The nodes of a result carry what they carried, so that scenes saved before open as before."""

from __future__ import annotations

import json

from golden import recording
from golden.comparing import differences

from SITTranslateLib.scene.headless.application import Application


def test_nodes_of_a_result_say_what_they_said(app: Application) -> None:
    golden = json.loads(recording.RECORD.read_text(encoding="utf-8"))["scene"]
    assert len(golden) >= 7
    assert list(differences(golden, json.loads(json.dumps(recording.scene_nodes())))) == []
