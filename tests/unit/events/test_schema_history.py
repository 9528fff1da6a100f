"""The contracts: generated code is fresh, and no schema breaks a promise that a release made."""

import copy
from pathlib import Path
from typing import Any

import pytest

from infra import codegen, schema_history

NAME = "bighead.v1.RegisterModel"
RELEASED = codegen.registered_schemas()


@pytest.fixture
def current() -> dict[str, Any]:
    return copy.deepcopy(dict(RELEASED))


@pytest.fixture
def history() -> dict[str, dict[int, Any]]:
    return {name: {1: copy.deepcopy(schema)} for name, schema in RELEASED.items()}


def field(schema: Any, name: str) -> Any:
    return next(row for row in schema["fields"] if row["name"] == name)


def test_the_schemas_keep_every_promise_of_the_releases() -> None:
    assert schema_history.broken_promises(RELEASED, schema_history.released(schema_history.HISTORY)) == []


def test_generated_code_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert codegen.main(["--check"]) == 0, capsys.readouterr().err


def test_an_added_field_without_default_names_type_field_and_remedy(current: Any, history: Any) -> None:
    field(current[NAME], "record")["type"]["fields"].append({"name": "licence", "type": "string", "doc": "Licence."})
    [problem] = schema_history.broken_promises(current, history)
    assert problem.startswith(f"{NAME}, field record.licence: now cannot read what version 1 wrote.")
    assert "Give an added field a default" in problem


def test_an_added_field_with_a_default_is_welcome(current: Any, history: Any) -> None:
    current[NAME]["fields"].append({"name": "licence", "type": "string", "default": "", "doc": "Licence."})
    assert schema_history.broken_promises(current, history) == []


def test_a_removed_required_field_is_found(current: Any, history: Any) -> None:
    current[NAME]["fields"].remove(field(current[NAME], "model"))
    [problem] = schema_history.broken_promises(current, history)
    assert problem.startswith(f"{NAME}, field model: version 1 cannot read what is written now.")


def test_a_removed_optional_field_is_no_problem(current: Any, history: Any) -> None:
    optional = field(field(current[NAME], "record")["type"], "metrics")
    field(current[NAME], "record")["type"]["fields"].remove(optional)
    assert schema_history.broken_promises(current, history) == []


@pytest.mark.parametrize("wider", ["long", "double", ["null", "int"]])
def test_even_a_wider_type_is_refused(current: Any, history: Any, wider: Any) -> None:
    field(current["bighead.v1.DeployModel"], "version")["type"] = wider
    [problem] = schema_history.broken_promises(current, history)
    assert problem.startswith("bighead.v1.DeployModel, field version: version 1 cannot read what is written now.")


def test_a_type_that_changes_is_refused_in_both_directions(current: Any, history: Any) -> None:
    field(current["bighead.v1.DeployModel"], "version")["type"] = "string"
    assert len(schema_history.broken_promises(current, history)) == 2


def test_every_released_version_counts(current: Any, history: Any) -> None:
    history[NAME][2] = copy.deepcopy(history[NAME][1])
    history[NAME][2]["fields"].append({"name": "licence", "type": "string", "default": ""})
    field_now = {"name": "licence", "type": "long", "default": 0}
    current[NAME]["fields"].append(field_now)
    problems = schema_history.broken_promises(current, history)
    assert len(problems) == 2
    assert all("licence" in problem and "version 2" in problem for problem in problems)


def test_a_type_that_was_released_may_not_vanish(current: Any, history: Any) -> None:
    del current[NAME]
    assert schema_history.broken_promises(current, history) == [
        f"{NAME} was released and its schema is gone: put schemas/RegisterModel.avsc back"
    ]


def test_recording_adds_what_is_new_and_nothing_else(current: Any, history: Any) -> None:
    assert schema_history.new_versions(current, history) == {}
    current[NAME]["fields"].append({"name": "licence", "type": "string", "default": "", "doc": "Licence."})
    current["bighead.v1.New"] = {"type": "record", "name": "New", "namespace": "bighead.v1", "fields": []}
    assert set(schema_history.new_versions(current, history)) == {"RegisterModel.2.avsc", "New.1.avsc"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"name": "Other", "fields": []}', "expected the name of the file, 'Thing'"),
        ('{"name": "Thing", "fields": []}', "the record has no doc"),
        ('{"name": "Thing", "doc": "d", "fields": [{"name": "a", "type": "long"}]}', "field 'a' has no doc"),
        (
            '{"name": "Thing", "doc": "d", "fields": [{"name": "a", "type": ["null", "long"], "doc": "d"}]}',
            "field 'a' is optional and has no default",
        ),
        ('{"name": "Thing", "doc": "d", "fields": [{"name": "a", "type": "long", "doc": "d"}]}', "'time' is None"),
    ],
)
def test_a_schema_that_breaks_the_rules_of_the_folder_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    (tmp_path / "Thing.avsc").write_text(text)
    with pytest.raises(codegen.ContractError, match=rule):
        codegen.read_schemas(tmp_path)
