"""Without trame-slicer the command says how to get it, before it does anything."""

from __future__ import annotations

import importlib.util

import pytest

from SITTranslateLib.app.main import run


@pytest.mark.skipif(importlib.util.find_spec("trame_slicer") is not None, reason="trame-slicer is installed here")
def test_one_sentence_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["view", "nowhere"]) == 2
    told = capsys.readouterr().err
    assert "make view" in told and "'.[view]'" in told and told.count("\n") == 1
