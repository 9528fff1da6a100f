"""A server with keys loads what one of them vouches for, and refuses the rest before it looks at the file."""

from dataclasses import replace
from pathlib import Path

import pytest

from bighead.events.types import ModelRecord
from bighead.inference.loading import LoadFailed, load
from bighead.registry.keys import new_secret_key, public_key, secret_key
from bighead.registry.manifest import signed
from tests.unit.serving.models import damaged, times_stored

SECRET = secret_key(new_secret_key())
KEYS = (public_key(SECRET),)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> ModelRecord:
    return signed("m", times_stored(tmp_path_factory.mktemp("model"), 2.0), SECRET)


def refusal(record: ModelRecord, name: str = "m") -> tuple[str, str]:
    with pytest.raises(LoadFailed) as failed:
        load(name, 1, record, trusted=KEYS)
    return failed.value.step, str(failed.value)


def test_a_signed_model_is_loaded(record: ModelRecord) -> None:
    loaded, steps = load("m", 1, record, trusted=KEYS)
    assert loaded.version == 1
    assert list(steps) == ["signature", "fetch", "verify", "load", "golden", "warm"]


def test_without_keys_the_signature_is_not_asked_for(record: ModelRecord) -> None:
    assert load("m", 1, replace(record, signing_key=None, manifest_signature=None))[0].version == 1


def test_what_nobody_trusted_signed_is_refused(record: ModelRecord) -> None:
    missing = refusal(replace(record, signing_key=None, manifest_signature=None))
    other = refusal(signed("m", record, secret_key(new_secret_key())))
    assert (missing[0], other[0]) == ("signature", "signature")
    assert "its manifest is not signed" in missing[1]
    assert "which this server does not trust" in other[1]


def test_a_changed_manifest_is_refused(record: ModelRecord) -> None:
    for changed in (replace(record, golden="[]"), replace(record, finished_ms=1)):
        step, why = refusal(changed)
        assert step == "signature"
        assert "the record was changed after it was signed" in why
    assert "signed for another model" in refusal(record, "other")[1]


def test_a_changed_artifact_is_refused_with_and_without_a_record_that_fits_it(
    record: ModelRecord, tmp_path: Path
) -> None:
    swapped = times_stored(tmp_path, 3.0)
    fitting = replace(record, artifact_sha256=swapped.artifact_sha256, artifact_size=swapped.artifact_size)
    assert refusal(replace(fitting, artifact_uri=swapped.artifact_uri))[0] == "signature"
    assert refusal(replace(record, artifact_uri=swapped.artifact_uri))[0] == "fetch"
    assert refusal(damaged(signed("m", times_stored(tmp_path, 4.0), SECRET)))[0] == "fetch"
