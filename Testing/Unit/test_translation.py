"""The record of a translation, and what earlier and later versions wrote of it."""

from __future__ import annotations

import json

import pytest
from synthetic_translation import PROVENANCE, synthetic_translation

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.results import describe_translation, described_translation
from SITTranslateLib.translation import PARTS, NoiseFloor, Provenance


def test_a_record_comes_back_from_json_as_it_was() -> None:
    from dataclasses import replace

    made = replace(PROVENANCE, warnings=("a", "b"), noise_floor=NoiseFloor("T1w>T2w", 0.2, 0.5, 0.9))
    assert Provenance.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_the_floor_of_earlier_records_is_taken_from_their_attributes() -> None:
    record = PROVENANCE.to_dict() | {"attributes": {"age": 20.0, "floor_mm": 0.25, "floor_p95_mm": 0.7}}
    del record["noise_floor"]
    made = Provenance.from_dict(record)
    assert made.attributes == {"age": 20.0}
    assert made.noise_floor == NoiseFloor("", 0.25, 0.7)
    assert "0.25 mm on average and 0.7 mm in 5 %" in made.noise_floor.sentence()


def test_keys_of_later_versions_are_left_out() -> None:
    assert Provenance.from_dict(PROVENANCE.to_dict() | {"not yet": 1}) == PROVENANCE


@pytest.mark.parametrize("record", [{}, {"package": "a"}, PROVENANCE.to_dict() | {"attributes": None}])
def test_a_record_that_lacks_something_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Provenance.from_dict(record)


def test_the_worker_answers_with_the_same_type(tmp_path) -> None:
    before = synthetic_translation()
    after = described_translation(tmp_path, describe_translation(tmp_path, "1-1", before))
    assert after.provenance == before.provenance and after.field_origin is before.field_origin
    for part in PARTS:
        assert (getattr(after, part.name).array == getattr(before, part.name).array).all(), part.name
