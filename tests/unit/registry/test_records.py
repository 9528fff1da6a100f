"""Records that people write as JSON files."""

import json
from typing import Any

import pytest

from bighead.errors import InvalidInput
from bighead.registry.proof import check_record
from bighead.registry.records import record_from_json
from tests.unit.registry.samples import GOOD_RECORD, record

BY_HAND: dict[str, Any] = {
    "signature": {
        "inputs": [{"name": "delay", "type": "FP32", "source": "request"}],
        "outputs": [{"name": "late", "type": "FP32"}],
    },
    "golden": [{"inputs": {"delay": 3.0}, "outputs": {"late": 0.5}}],
    "parity": {"max_abs_diff": 1e-7, "tolerance": 1e-5, "rows": 100},
    "started_ms": 1_000,
    "finished_ms": 2_000,
}


def test_what_a_job_wrote_comes_back_the_same() -> None:
    assert record_from_json(json.dumps(GOOD_RECORD.to_record())) == GOOD_RECORD


def test_by_hand_the_artifact_and_defaults_may_be_left_out_and_json_be_json() -> None:
    parsed = record_from_json(json.dumps(BY_HAND))
    check_record(record(signature=parsed.signature, golden=parsed.golden, parity=parsed.parity))
    assert (parsed.artifact_sha256, parsed.join, dict(parsed.metrics)) == ("", None, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON list; expected an object"),
        (json.dumps(BY_HAND | {"metric": 1}), "unknown fields: metric"),
        (json.dumps({"golden": []}), "lacks finished_ms, parity, signature, started_ms"),
        (json.dumps(BY_HAND | {"signature": {"inputs": [{"name": "x"}], "outputs": []}}), "signature.inputs is"),
        (json.dumps(BY_HAND | {"signature": 3}), "signature.inputs is None"),
    ],
)
def test_a_mistake_is_named(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        record_from_json(text)
