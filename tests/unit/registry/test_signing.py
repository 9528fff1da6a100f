"""Signed versions: a signature says that the owner of a key vouches for exactly this record of this model."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import CliRunner

from bighead import config
from bighead.artifacts import put_bytes
from bighead.cli import main
from bighead.client.models import ModelsClient
from bighead.client.segments import SegmentsClient
from bighead.commands.signing import signing_key
from bighead.errors import ArtifactError, ConfigError
from bighead.events.schemas import platform_schemas
from bighead.events.types import (
    Attachment,
    CommandRejected,
    ModelRecord,
    ModelRegistered,
    RegisterModel,
    Signature,
    Tensor,
)
from bighead.registry.keys import new_secret_key, public_key, secret_key, trusted_keys
from bighead.registry.manifest import check_signature, check_trusted, manifest, signed
from tests.unit.registry.samples import GOOD_RECORD, MODEL, obey, record, register

SECRET = secret_key(new_secret_key())
PUBLIC = public_key(SECRET)
CARD = Attachment(
    name="card", kind="model_card", media_type="text/markdown", sha256="cd" * 32, size=12, uri="file:///card"
)
DESCRIBED = record(metrics={"auc": 1}, artifact_uri="file:///here", tags={"team": "ops"}, attachments=(CARD,))
SIGNED = signed(MODEL, DESCRIBED, SECRET)


def test_a_signed_version_is_registered_and_trusted_by_whoever_has_its_public_key() -> None:
    _, (event,) = obey(register("a", of=SIGNED))
    assert isinstance(event, ModelRegistered)
    check_trusted(MODEL, event.record, trusted_keys(f"{public_key(secret_key(new_secret_key()))}, {PUBLIC}"))


def test_a_signature_is_the_same_after_the_log() -> None:
    schema, written = fastavro.parse_schema(platform_schemas()[RegisterModel.FULL_NAME]), io.BytesIO()
    fastavro.schemaless_writer(written, schema, register("a", of=SIGNED).to_record())
    written.seek(0)
    read: Any = fastavro.schemaless_reader(written, schema, None)
    check_trusted(MODEL, RegisterModel.from_record(read).record, [PUBLIC])


def test_versions_that_are_registered_in_bulk_are_signed_as_a_single_one_is(tmp_path: Path) -> None:
    settings = config.load({"BIGHEAD_HOME": str(tmp_path)})
    artifact = put_bytes(settings.artifacts, "a model", b"model")
    for client in (ModelsClient(settings, "ada"), SegmentsClient(settings, "ada")):
        plain = client.registration(MODEL, DESCRIBED, artifact, "trained", None)
        command = client.registration(MODEL, DESCRIBED, artifact, "trained", SECRET)
        assert (plain.record.manifest_signature, command.actor, command.reason) == (None, "ada", "trained")
        assert (command.record.artifact_uri, command.record.artifact_sha256) == (artifact.uri, artifact.sha256)
        check_trusted(MODEL, command.record, [PUBLIC])


@pytest.mark.parametrize(
    "change",
    [
        {"artifact_sha256": "cd" * 32},
        {"artifact_size": 1235},
        {"golden": "[]"},
        {"parity": "{}"},
        {"metrics": {"auc": 0.5}},
        {"join": "flight"},
        {"tags": {"team": "other"}},
        {"trained_by": "somebody"},
        {"code_dirty_sha256": "ef" * 32},
        {"parent_version": 1},
        {"family": "other"},
        {"positive_label": "0"},
        {"decision_threshold": 0.4},
        {"model_type": "regression"},
        {"attachments": ()},
        {"attachments": (replace(CARD, sha256="ef" * 32),)},
        {"attachments": (replace(CARD, kind="chart", media_type="application/json"),)},
        {"signature": replace(GOOD_RECORD.signature, outputs=())},
        {"manifest_signature": SIGNED.manifest_signature and SIGNED.manifest_signature[::-1]},
        {"manifest_signature": "é"},
        {"manifest_signature": None},
        {"signing_key": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_record_is_refused_by_the_registry(change: dict[str, Any]) -> None:
    _, (event,) = obey(register("a", of=replace(SIGNED, **change)))
    assert isinstance(event, CommandRejected)


def test_a_signature_of_the_first_release_is_one_still() -> None:
    """Made by its code (c8255dd): whatever fields records were given since, what lacks them says the same."""
    first = ModelRecord(
        artifact_uri="memory://artifacts/sha256/ab/abc",
        artifact_sha256="ab" * 32,
        artifact_size=1234,
        signature=Signature(
            inputs=(
                Tensor(name="delay", type="FP32", source="request"),
                Tensor(name="carrier", type="BYTES", shape=(2,)),
            ),
            outputs=(Tensor(name="late", type="FP32"),),
        ),
        golden='[{"inputs": {"delay": 3.0}}]',
        parity='{"max_abs_diff": 1e-07}',
        join="flight",
        join_epoch=3,
        join_hash="h",
        metrics={"auc": 0.75, "rows": 10},
        config='{"seed": 7}',
        training_data='{"test": {"rows": 5}}',
        code_version="abc",
        environment="lock",
        started_ms=1000,
        finished_ms=2000,
        signing_key="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        manifest_signature=("kTp8/1OFgh/66cu8vN6LJ83uWOkiPFJHAXiUcAdWMvZSw1OGEC3rb0psqiWGLgnKkjT8bherkiFixecP12sjBA=="),
    )
    check_signature("delays", first)


def test_a_signature_for_one_model_is_none_for_another() -> None:
    with pytest.raises(ArtifactError, match="or signed for another model; sign it again"):
        check_signature("other", SIGNED)


def test_where_the_artifact_and_its_attachments_lie_may_change() -> None:
    moved = replace(CARD, uri="s3://elsewhere/card")
    check_signature(MODEL, replace(SIGNED, artifact_uri="s3://elsewhere/abc", attachments=(moved,)))


def test_the_manifest_is_what_it_was_when_versions_were_first_signed() -> None:
    """Other bytes would make every signature wrong that was ever given."""
    head, _, text = manifest(MODEL, GOOD_RECORD).decode().partition("\n")
    assert head == "bighead model manifest 1"
    assert json.loads(text) == {
        "model": MODEL,
        "record": {
            "artifact_sha256": "ab" * 32,
            "artifact_size": 1234,
            "signature": {
                "inputs": [{"name": "delay", "type": "FP32", "source": "request"}],
                "outputs": [{"name": "late", "type": "FP32"}],
            },
            "golden": GOOD_RECORD.golden,
            "parity": GOOD_RECORD.parity,
            "started_ms": 1_000,
            "finished_ms": 2_000,
        },
    }
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_an_unsigned_version_is_registered_and_trusted_only_where_no_key_is_asked_for() -> None:
    check_signature(MODEL, GOOD_RECORD)
    with pytest.raises(ArtifactError, match="its manifest is not signed"):
        check_trusted(MODEL, GOOD_RECORD, [PUBLIC])
    with pytest.raises(
        ArtifactError, match=f"signed by the key .*, which this server does not trust; .*{re.escape(PUBLIC[:9])}"
    ):
        check_trusted(MODEL, signed(MODEL, GOOD_RECORD, secret_key(new_secret_key())), [PUBLIC])


def test_a_key_pair_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "models.key"
    made = CliRunner().invoke(main, ["models", "keygen", str(path), "--json"])
    assert made.exit_code == 0, made.output
    assert "PRIVATE" not in made.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert CliRunner().invoke(main, ["models", "keygen", str(path)]).exit_code == 2

    monkeypatch.setenv("BIGHEAD_SIGNING_KEY_FILE", str(path))
    secret = signing_key()
    assert secret is not None
    assert public_key(secret) == json.loads(made.output)["public_key"]
    monkeypatch.setenv("BIGHEAD_SIGNING_KEY", path.read_text())
    with pytest.raises(ConfigError, match="both set"):
        signing_key()
    monkeypatch.delenv("BIGHEAD_SIGNING_KEY_FILE")
    assert signing_key() is not None
    assert path.read_text() not in str(config.variables(config.load()))


def test_what_is_no_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGHEAD_SIGNING_KEY", "hunter2")
    with pytest.raises(ConfigError) as refused:
        signing_key()
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="entry 2 of BIGHEAD_MODEL_KEYS has 7 characters"):
        trusted_keys(f"{PUBLIC},hunter2")
