"""Attachments: what is stored beside an artifact, what is refused, and what comes back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bighead import config
from bighead.cli import main
from bighead.client.attachments import read_attachment, store_attachment, store_files
from bighead.config import Settings
from bighead.errors import ArtifactError, CommandRefused, InvalidInput
from bighead.events.types import Attachment
from bighead.registry.attachments import KINDS, MOST, AttachmentFile
from bighead.registry.proof import check_record
from bighead.registry.records import record_from_json, record_with_files
from tests.unit.registry.samples import GOOD_RECORD, record

CARD = Attachment(
    name="card", kind="model_card", media_type="text/markdown", sha256="ab" * 32, size=12, uri="file:///x"
)
CHART = replace(CARD, name="roc", kind="chart", media_type="application/json")
TEN_MB = 10 * 1024 * 1024


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load({"BIGHEAD_HOME": str(tmp_path)})


def test_what_was_stored_comes_back_and_is_checked_on_each_read(settings: Settings) -> None:
    card = store_attachment(settings, "card", "model_card", b"# Delays")
    check_record(record(attachments=(card,)))
    assert (card.media_type, card.size, read_attachment(settings, card)) == ("text/markdown", 8, b"# Delays")
    Path(card.uri.removeprefix("file://")).write_bytes(b"# delays")
    with pytest.raises(ArtifactError, match=r"attachment 'card' cannot be read: .* holds other bytes"):
        read_attachment(settings, card)


def test_a_record_cannot_make_a_reader_open_another_place(settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"# Delays")
    card = replace(store_attachment(settings, "card", "model_card", b"# Other"), uri=f"file://{secret}")
    assert read_attachment(settings, card) == b"# Other"
    with pytest.raises(CommandRefused, match="expected 64 lower-case hex digits"):
        read_attachment(settings, replace(card, sha256="../../../secret"))


@pytest.mark.parametrize(
    ("attachments", "reason"),
    [
        ([replace(CARD, kind="video")], "'video' is no kind of attachment; expected one of model_card, chart"),
        ([replace(CARD, size=TEN_MB)], "has 10,485,760 bytes; a model_card has at least 1 and at most 262,144"),
        ([replace(CARD, size=0)], "has 0 bytes"),
        ([replace(CHART, media_type="image/svg+xml")], "is 'image/svg\\+xml'; expected application/json: charts are"),
        ([replace(CARD, sha256="AB" * 32)], "expected 64 lower-case hex digits"),
        ([replace(CARD, name="<script>")], "cannot name an attachment"),
        ([replace(CARD, uri="")], "has no uri"),
        ([CHART, CHART], "has 2 attachments named 'roc'"),
        ([CARD, replace(CARD, name="other")], "has 2 attachments of the kind 'model_card'; expected one"),
        ([replace(CHART, name=f"chart{one}") for one in range(MOST + 1)], "has 65 attachments; at most 64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_registry_refuses_what_it_would_not_show(attachments: list[Attachment], reason: str) -> None:
    check_record(record(attachments=(CARD, CHART)))
    with pytest.raises(CommandRefused, match=reason):
        check_record(record(attachments=tuple(attachments)))


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("model_card", b"x" * TEN_MB, "has 10,485,760 bytes; a model_card has at least 1 and at most 262,144"),
        ("model_card", b"", "has 0 bytes"),
        ("model_card", b"\xff\xfe", "is not UTF-8 text"),
        ("chart", b"<svg><script>alert(1)</script></svg>", "is not JSON"),
        ("chart", b"[" * 100_000, "is not JSON"),
        ("chart", b'{"a": NaN}', "NaN is no number in JSON"),
        ("video", b"x", "is no kind of attachment"),
    ],
)
def test_bad_content_is_not_stored(settings: Settings, kind: str, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        store_attachment(settings, "it", kind, content)
    assert not Path(settings.artifacts).exists()


def test_a_record_names_files_which_are_all_read_before_one_is_stored(settings: Settings, tmp_path: Path) -> None:
    by_hand = GOOD_RECORD.to_record() | {
        "attachments": [
            {"name": "card", "kind": "model_card", "file": "card.md"},
            {"name": "environment", "kind": "environment", "file": "environment.json"},
        ]
    }
    read, files = record_with_files(json.dumps(by_hand))
    assert read == GOOD_RECORD
    (tmp_path / "card.md").write_text("# Delays")
    with pytest.raises(InvalidInput, match=r"'environment': .*environment.json cannot be read: No such file"):
        store_files(settings, files, tmp_path)
    assert not Path(settings.artifacts).exists()
    (tmp_path / "environment.json").write_text("{}")
    assert [read_attachment(settings, one) for one in store_files(settings, files, tmp_path)] == [b"# Delays", b"{}"]
    with pytest.raises(InvalidInput, match=r"'card' is a file that was not stored: card.md"):
        record_from_json(json.dumps(by_hand))


def test_a_file_that_is_too_large_is_not_read(settings: Settings, tmp_path: Path) -> None:
    with (tmp_path / "card.md").open("wb") as file:
        file.truncate(TEN_MB)
    with pytest.raises(InvalidInput, match=r"card.md has 10,485,760 bytes; a model_card has at most 262,144"):
        store_files(settings, [AttachmentFile("card", "model_card", "card.md")], tmp_path)


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("model_card", b"x" * TEN_MB, "it has 10,485,760 bytes; a model_card has at most 262,144"),
        ("chart", b'{"form": "pie"}', "'it' of the kind 'chart': the chart's form is 'pie'; expected one of line"),
        ("chart", b"<svg><script>alert(1)</script></svg>", "is not JSON without NaN or infinity"),
        ("trees", b"{}", "the list of trees's trees is None"),
        ("video", b"{}", "'video' is no kind of attachment"),
    ],
)
def test_the_command_line_says_what_is_wrong_and_stores_nothing(
    tmp_path: Path, kind: str, content: bytes, reason: str
) -> None:
    (tmp_path / "it").write_bytes(content)
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    attachments = [{"name": "it", "kind": kind, "file": "it"}]
    (tmp_path / "record.json").write_text(json.dumps(GOOD_RECORD.to_record() | {"attachments": attachments}))
    command = ["models", "register", "delay", "--artifact", str(tmp_path / "model.onnx")]
    command += ["--record", str(tmp_path / "record.json"), "--reason", "first"]
    result = CliRunner().invoke(main, command, env={"BIGHEAD_HOME": str(tmp_path / "home")})
    assert result.exit_code != 0
    assert reason in " ".join(result.output.split())
    assert not (tmp_path / "home" / "artifacts").exists()


@pytest.mark.parametrize("given", [3, [3], [{"name": "card"}], [{"name": "card", "kind": 1, "file": "x"}]])
def test_a_mistake_in_attachments_is_named(given: Any) -> None:
    with pytest.raises(InvalidInput, match="the record's attachment is"):
        record_with_files(json.dumps(GOOD_RECORD.to_record() | {"attachments": given}))


def test_what_a_record_lists_comes_back_from_json_the_same() -> None:
    listed = record(attachments=(CARD, CHART), tags={"team": "ops"}, parent_version=1)
    assert record_from_json(json.dumps(listed.to_record())) == listed
    assert set(KINDS) >= {CARD.kind, CHART.kind}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{", "training_data is not JSON"),
        ("[]", "training_data is a JSON list; expected an object"),
        ({"train": "flights"}, r"training_data.train is 'flights'; expected an object"),
        ({"train": {"table": 3}}, r"training_data.train.table is 3"),
        ({"test": {"rows": -1}}, r"training_data.test.rows is -1; expected a whole number"),
        ({"test": {"version": True}}, r"training_data.test.version is True"),
        ({"train": {"from_ms": 2, "to_ms": 1}}, "goes from 2 to 1: it ends first"),
        ({"train": {"sources": ["a"]}}, r"train.sources is \['a'\]; expected versions by table"),
        ({"train": {"positions": {"a/0": "x"}}}, r"train.positions is .* expected next offsets by topic/partition"),
    ],
)
def test_training_data_has_its_documented_shape(data: Any, reason: str) -> None:
    with pytest.raises(CommandRefused, match=reason):
        check_record(record(training_data=data if isinstance(data, str) else json.dumps(data)))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"table": "of an earlier release"},
        {"train": {"rows": 10}, "test": {"table": "flights", "version": 3, "from_ms": 5, "to_ms": 5, "kept": "too"}},
        {"train": {"to_ms": 5, "sources": {"flights/arrived": 0}, "positions": {"flights.arrived.v1/0": 12}}},
    ],
)
def test_training_data_may_say_what_is_known(data: Any) -> None:
    check_record(record(training_data=json.dumps(data)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decision_threshold": 1.5}, "decision_threshold is 1.5"),
        ({"decision_threshold": float("nan")}, "decision_threshold is nan"),
        ({"parent_version": 0}, "parent_version is 0"),
        ({"code_dirty_sha256": "yes"}, "code_dirty_sha256 is 'yes'"),
    ],
)
def test_a_description_that_cannot_be_is_refused(change: Any, reason: str) -> None:
    with pytest.raises(CommandRefused, match=reason):
        check_record(record(**change))
